"""First each verdict by itself, then whole trains, generated, with a failure at any point of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from services_in_memory import AT, IMAGE, NOTE, WRITES, ref, workload

from interlock.manifest import Manifest
from interlock.trains.change import Change, FieldConflict, FieldWrite
from interlock.trains.entries import Mutation, ServiceJournal
from interlock.trains.outcome import ServiceOutcome, judge, still_moved, verdict

CHANGE = Change("a", ref("a"), WRITES)


MUTATION = Mutation(ref("a"), "u", "done", 1, workload("a", "1"), WRITES, 2, AT, 1)


JOURNAL = ServiceJournal("a", (MUTATION,))


def judged(live: Manifest | None, journal: ServiceJournal | None = JOURNAL) -> ServiceOutcome:
    return judge(CHANGE, journal, {ref("a"): live})


def test_a_service_with_all_fields_as_planned_is_new() -> None:
    assert judged(workload("a", "2")) == ServiceOutcome("a", "new")


def test_a_service_with_all_fields_as_before_is_old() -> None:
    assert judged(workload("a", "1")) == ServiceOutcome("a", "old")
    assert judged(workload("a", "1"), None) == ServiceOutcome("a", "old")


def test_a_service_still_moved_is_one_whose_rollback_came_to_no_end() -> None:
    moved = ServiceJournal("a", (MUTATION,))
    assert still_moved([moved, ServiceJournal("b")]) == ("a",)
    assert still_moved([moved.ended("rolled-back"), moved.ended("not-whole", "somebody changed it")]) == ()


def test_a_service_with_nothing_to_change_is_unchanged() -> None:
    assert judge(Change("a", ref("a"), ()), None, {}) == ServiceOutcome("a", "unchanged")


def test_a_service_that_somebody_else_changed_is_not_whole_and_says_where() -> None:
    found = judged(workload("a", "3", note="2"))
    assert found.state == "not-whole"
    assert str(found) == f"a is not whole: {FieldConflict(ref('a'), IMAGE, '2', '3')}"


def test_a_service_that_is_half_new_is_not_whole() -> None:
    found = judged(workload("a", "1", note="2"))
    assert found.state == "not-whole"
    assert found.reason == f"new is Deployment/a {NOTE}; old is Deployment/a {IMAGE}"


def test_a_service_whose_object_is_gone_or_replaced_is_not_whole() -> None:
    assert judged(None) == ServiceOutcome("a", "not-whole", "Deployment/a is gone")
    assert "was replaced" in judged(workload("a", "2", uid="v")).reason


def test_a_service_whose_rollout_is_not_complete_is_not_whole() -> None:
    assert "0 of 1 updated replicas" in judged(workload("a", "2", available=0)).reason
    assert judged(workload("a", "1", available=0)).state == "not-whole"


def test_only_a_rollout_that_goes_on_may_be_over_in_a_moment() -> None:
    assert judged(workload("a", "2", available=0)).settling
    assert not judged(workload("a", "2")).settling
    assert not judged(workload("a", "3", available=0)).settling
    failed = workload("a", "2", available=0)
    condition = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}
    status = {**failed.raw["status"], "conditions": [condition]}
    assert not judged(Manifest.of({**failed.raw, "status": status})).settling


def test_a_service_that_was_in_trouble_before_the_run_is_as_before_when_it_is_so_again() -> None:
    before = replace(MUTATION, before=workload("a", "1", available=0))
    assert judged(workload("a", "1", available=0), ServiceJournal("a", (before,))).state == "old"
    assert judged(workload("a", "2", available=0), ServiceJournal("a", (before,))).state == "not-whole"


def test_a_retried_service_is_judged_by_what_its_first_try_found_and_its_last_one_wrote() -> None:
    again = replace(MUTATION, writes=(FieldWrite(NOTE, "2", "3", None), FieldWrite(IMAGE, "2", "3", None)))
    journal = ServiceJournal("a", (MUTATION, again))
    assert [judged(workload("a", v), journal).state for v in "123"] == ["old", "not-whole", "new"]


def outcomes(*states: Any) -> list[ServiceOutcome]:
    return [ServiceOutcome(name, state) for name, state in zip("abc", states, strict=False)]


def test_a_run_is_all_new_or_all_old_or_not_whole() -> None:
    assert verdict(outcomes("new", "unchanged", "new")).state == "all-new"
    assert verdict(outcomes("old", "unchanged", "old")).state == "all-old"
    assert verdict(outcomes("old", "new")).state == "not-whole"
    assert verdict(outcomes("new", "not-whole")).state == "not-whole"


def test_a_run_that_changed_nothing_is_new_if_it_went_well_and_old_if_not() -> None:
    assert verdict(outcomes("unchanged")).state == "all-new"
    assert verdict(outcomes("unchanged"), ["a failed: not ready"]).state == "all-old"


def test_a_run_with_a_failure_never_succeeded() -> None:
    assert verdict(outcomes("new")).succeeded
    failed = verdict(outcomes("new"), ["a failed: slow"])
    assert (failed.state, failed.succeeded) == ("all-new", False)
    assert failed.text == "all new: a is new. Failed: a failed: slow"


def test_what_stays_although_the_run_failed_makes_the_run_not_whole_and_says_why() -> None:
    journal = JOURNAL.ended("kept", "its release is irreversible")
    kept = judged(workload("a", "2"), journal)
    assert kept == ServiceOutcome("a", "kept", "its release is irreversible")
    assert judged(workload("a", "3"), journal).state == "not-whole"
    found = verdict([kept], ["b failed: slow"])
    assert (found.state, found.succeeded) == ("not-whole", False)
    assert found.text == "not whole: a is kept: its release is irreversible. Failed: b failed: slow"


def test_a_verdict_names_each_service() -> None:
    mixed = [ServiceOutcome("a", "old"), ServiceOutcome("b", "not-whole", "Deployment/b is gone")]
    assert verdict(mixed).text == "not whole: a is old; b is not whole: Deployment/b is gone"
