"""What a run may do from where its journals are: the decisions, case by case."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from moved_train import IMAGE, NOW, deployment, ref

from interlock.manifest import Manifest
from interlock.trains.change import Change, FieldWrite
from interlock.trains.entries import Head, Mutation, ServiceJournal, Stop
from interlock.trains.resume import (
    ending,
    failed_tasks,
    held,
    recorded,
    refusal,
    stays,
    too_early,
    transitions,
    was_whole,
)

CHANGE = Change("a", ref("a"), (FieldWrite(IMAGE, "a:1", "a:2", None),))
NOTHING = Change("a", ref("a"), ())
HEAD = Head("promotion_train__payments", "manual__1", "payments", "sandbox", {}, NOW)
STOP = Stop("a", "it failed", "then")


def mutation(**fields: Any) -> Mutation:
    made = Mutation(ref("a"), "uid-of-a", "done", 1, deployment("a"), CHANGE.writes, 2, NOW, 1)
    return replace(made, **fields)


MOVED = ServiceJournal("a", (mutation(),))


def live(image: str) -> dict[Any, Manifest | None]:
    raw = deployment("a").raw
    container = {"name": "app", "image": image}
    return {ref("a"): Manifest.of({**raw, "spec": {"template": {"spec": {"containers": [container]}}}})}


@pytest.mark.parametrize(
    ("journal", "found", "said"),
    [
        (None, "a:1", ""),
        (None, "a:2", "the plan no longer holds"),
        (MOVED, "a:2", ""),
        (MOVED, "a:1", ""),
        (MOVED, "a:3", "was changed since"),
        (MOVED.ended("kept"), "a:2", ""),
        (MOVED.ended("rolled-back"), "a:1", ""),
        (MOVED.ended("rolled-back"), "a:2", "the plan no longer holds"),
        (MOVED.ended("not-whole", "why"), "a:2", r"not whole \(why\)"),
    ],
)
def test_a_run_goes_on_only_from_where_its_journal_says_it_is(
    journal: ServiceJournal | None, found: str, said: str
) -> None:
    journals = {"a": journal} if journal else {}
    why = refusal([CHANGE], journals, live(found))
    if said:
        with pytest.raises(AssertionError, match=said):
            raise AssertionError(why)
    else:
        assert why == ""


@pytest.mark.parametrize(
    ("head", "journal", "said"),
    [
        (None, MOVED, "the run's own journal is gone"),
        (None, ServiceJournal("a"), "changed nothing"),
        (HEAD, ServiceJournal("a"), "changed nothing"),
        (HEAD, MOVED, "not stopped"),
        (replace(HEAD, closed=True, stop=STOP), MOVED, "undo_train__payments"),
        (replace(HEAD, stop=STOP), MOVED.ended("kept", "it is irreversible"), "it is irreversible"),
        (replace(HEAD, stop=STOP), MOVED, ""),
        (replace(HEAD, stop=STOP), MOVED.ended("rolled-back"), ""),
        (replace(HEAD, stop=STOP), MOVED.ended("not-whole"), ""),
    ],
)
def test_a_service_goes_back_only_in_an_open_run_whose_line_is_stopped(
    head: Head | None, journal: ServiceJournal, said: str
) -> None:
    why = stays(head, journal)
    assert said in why
    assert bool(said) == bool(why)


@pytest.mark.parametrize("state", ["running", "success", "failed", "up_for_retry", "deferred"])
@pytest.mark.parametrize("task", ["rollback.decide", "close"])
def test_nothing_moves_once_the_run_ends(task: str, state: str) -> None:
    why = ending({task: state})
    assert "clear the task `lock`" in why
    assert ("this run has ended" in why) == ((task, state) in {("close", "success"), ("close", "failed")})
    assert ending({task: None, "a.promote": state}) == ""


@pytest.mark.parametrize(
    ("states", "said"),
    [
        ({"a.verify": "success", "b.verify": "success"}, ""),
        ({"a.verify": "success", "b.verify": "skipped"}, "comes after b, not verified"),
        ({"a.verify": "deferred", "b.verify": None}, "comes after a, b, not verified"),
        ({}, "the train's file was changed"),
    ],
)
def test_a_service_moves_only_behind_all_that_the_plan_has_before_it(
    states: dict[str, str | None], said: str
) -> None:
    why = too_early(replace(CHANGE, after=("a", "b")), states)
    assert said in why
    assert bool(said) == bool(why)
    assert too_early(CHANGE, states) == ""


@pytest.mark.parametrize(
    ("change", "journal", "state"),
    [
        (CHANGE, MOVED, "new"),
        (CHANGE, ServiceJournal("a"), "old"),
        (NOTHING, ServiceJournal("a"), "unchanged"),
        (CHANGE, MOVED.ended("rolled-back"), "old"),
        (CHANGE, ServiceJournal("a").ended("failed"), "old"),
        (CHANGE, MOVED.ended("kept"), "kept"),
        (CHANGE, MOVED.ended("not-whole"), "not-whole"),
    ],
)
def test_an_ended_run_is_where_its_journal_says(change: Change, journal: ServiceJournal, state: str) -> None:
    assert recorded(change, journal).state == state


@pytest.mark.parametrize(
    ("soak", "journal", "proven"),
    [
        ({"held": 15, "generation": 2}, MOVED, True),
        ({"held": 15, "generation": 3}, MOVED, True),
        ({"held": 15, "generation": 1}, MOVED, False),
        ({"held": 15}, MOVED, False),
        ({"failed": "it crashed", "generation": 2}, MOVED, False),
        ({}, MOVED, False),
        # Only what goes with the workload was written, or the answer to its write is not known.
        ({"held": 15, "generation": 7}, ServiceJournal("a"), True),
        ({"held": 15, "generation": 7}, ServiceJournal("a", (mutation(after_generation=None),)), True),
    ],
)
def test_a_soak_proves_what_it_watched(soak: Any, journal: ServiceJournal, proven: bool) -> None:
    assert held(soak, CHANGE, journal) is proven


def test_what_was_written_under_several_locks_goes_back_under_the_latest() -> None:
    assert transitions([mutation(transitions=3), mutation(transitions=2)]) == 3


def test_a_workload_is_as_whole_as_it_was() -> None:
    assert not was_whole([mutation()])
    assert was_whole([mutation(before=None)])


def test_what_failed_by_itself_is_named_and_not_what_could_not_run_after_it() -> None:
    assert failed_tasks({"b.verify": "failed", "arrived": "upstream_failed"}) == ["task b.verify"]
    assert failed_tasks({"arrived": "upstream_failed", "close": None}) == ["task arrived"]
    assert failed_tasks({"a.verify": "success"}) == []
