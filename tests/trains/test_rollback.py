from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interlock.manifest import Manifest, ObjectRef
from interlock.trains.change import FieldConflict, FieldWrite
from interlock.trains.entries import CREATED_BY, Mutation
from interlock.trains.fields import ABSENT, FieldPath, ListKey, get, put
from interlock.trains.order import depends_on
from interlock.trains.rollback import (
    Decision,
    Standing,
    fields_back,
    restore,
    restore_all,
    rollback_order,
    to_take_back,
)

REF = ObjectRef("apps/v1", "Deployment", "payments", "a")
IMAGE = FieldPath.of("spec", "template", "spec", "containers", ListKey("name", "app"), "image")
NOTE = FieldPath.of("metadata", "annotations", "interlock.internal/release")
AT = datetime(2026, 3, 1, tzinfo=UTC)


def deployment(image: str = "a:2", *, uid: str = "u", note: str | None = None, replicas: int = 2) -> Manifest:
    return Manifest.of(
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {
                "name": "a",
                "namespace": "payments",
                "uid": uid,
                "resourceVersion": "9",
                "annotations": {} if note is None else {"interlock.internal/release": note},
            },
            "spec": {
                "replicas": replicas,
                "template": {
                    "spec": {
                        "containers": [{"name": "istio-proxy", "image": "p"}, {"name": "app", "image": image}]
                    }
                },
            },
        }
    )


def write(before: object = "a:1", after: object = "a:2", path: FieldPath = IMAGE) -> FieldWrite:
    return FieldWrite(path, before, after, None)


def mutation(*writes: FieldWrite, **changes: Any) -> Mutation:
    done = Mutation(REF, "u", "done", 1, deployment("a:1"), writes or (write(),), 2, AT, 1)
    return replace(done, **changes)


def test_a_field_as_the_run_wrote_it_gets_its_former_value_and_all_else_stays() -> None:
    step = restore(deployment("a:2", replicas=7), mutation())
    assert step.patched == deployment("a:1", replicas=7)
    assert (step.restored, step.conflicts) == ((IMAGE,), ())
    assert step.patched.resource_version == "9"


def test_a_field_as_before_needs_nothing() -> None:
    step = restore(deployment("a:1"), mutation())
    assert (step.patched, step.restored, step.conflicts) == (None, (), ())


def test_a_field_that_somebody_else_changed_is_left_and_named() -> None:
    step = restore(deployment("a:3"), mutation())
    assert step.patched is None
    assert step.conflicts == (FieldConflict(REF, IMAGE, "a:2", "a:3"),)


def test_fields_are_restored_one_by_one() -> None:
    step = restore(deployment("a:3", note="2"), mutation(write(), write(ABSENT, "2", NOTE)))
    assert step.patched == deployment("a:3")
    assert step.restored == (NOTE,)
    assert [conflict.path for conflict in step.conflicts] == [IMAGE]


def test_a_field_that_was_absent_is_removed() -> None:
    step = restore(deployment(note="2"), mutation(write(ABSENT, "2", NOTE)))
    assert step.patched is not None
    assert get(step.patched.raw, NOTE) is ABSENT


@pytest.mark.parametrize(
    ("live", "found", "left"),
    [
        (deployment("a:2", note="2"), ("a:2", "2"), ("a:1", ABSENT)),
        (deployment("a:1"), ("a:1", ABSENT), ("a:1", ABSENT)),  # taken back already
        (deployment("a:3", note="2"), ("a:3", "2"), ("a:3", ABSENT)),  # somebody else's image stays
    ],
)
def test_each_field_that_the_run_wrote_is_told_as_it_was_found_and_as_it_was_left(
    live: Manifest, found: tuple[object, ...], left: tuple[object, ...]
) -> None:
    done = mutation(write(), write(ABSENT, "2", NOTE), write(ABSENT, "run", CREATED_BY))
    told = list(fields_back(restore_all({REF: live}, [done]), {REF: live}, [done]))
    expected = [
        FieldWrite(path, *two) for path, two in zip((IMAGE, NOTE), zip(found, left, strict=True), strict=True)
    ]
    assert told == [(REF, each) for each in expected]


def test_an_object_that_goes_or_comes_back_is_told_field_by_field() -> None:
    live = deployment("a:2")
    created = mutation(write(ABSENT, "a:2"), before=None)
    steps = restore_all({REF: live}, [created])
    assert list(fields_back(steps, {REF: live}, [created])) == [(REF, FieldWrite(IMAGE, "a:2", ABSENT))]


ENV = FieldPath.of(*IMAGE.steps[:-1], "env")


@pytest.mark.parametrize(
    ("were", "others", "left"),
    [
        (ABSENT, [], ABSENT),
        ([], [], []),
        (ABSENT, [{"name": "THEIRS", "value": "1"}], [{"name": "THEIRS", "value": "1"}]),
        ([{"name": "LOG"}], [], [{"name": "LOG"}]),
    ],
)
def test_what_led_to_a_field_that_was_absent_goes_with_it_unless_it_was_there_or_holds_more(
    were: object, others: list[Any], left: object
) -> None:
    before = Manifest.of(put(deployment().raw, ENV, were))
    live = Manifest.of(put(deployment().raw, ENV, [{"name": "LOG", "value": "debug"}, *others]))
    log = FieldPath.of(*ENV.steps, ListKey("name", "LOG"), "value")
    step = restore(live, mutation(write(ABSENT, "debug", log), before=before))
    assert step.patched is not None
    assert get(step.patched.raw, ENV) == left


def test_a_field_that_the_run_removed_comes_back() -> None:
    step = restore(deployment(), mutation(write("1", ABSENT, NOTE)))
    assert step.patched == deployment(note="1")


def test_a_container_that_somebody_removed_is_a_conflict() -> None:
    live = deployment()
    live.raw["spec"]["template"]["spec"]["containers"].pop()
    (conflict,) = restore(live, mutation()).conflicts
    assert conflict.found is ABSENT


def test_a_field_that_can_no_longer_be_told_apart_is_a_conflict() -> None:
    live = deployment()
    live.raw["spec"]["template"]["spec"]["containers"].append({"name": "app", "image": "x"})
    step = restore(live, mutation())
    assert (step.patched, len(step.conflicts)) == (None, 1)


def test_an_object_that_is_gone_or_was_replaced_is_a_conflict() -> None:
    assert [str(c) for c in restore(None, mutation()).conflicts] == ["Deployment/a is gone"]
    (conflict,) = restore(deployment(uid="v"), mutation()).conflicts
    assert str(conflict) == "Deployment/a was replaced: its uid is v, expected u"


def test_what_the_run_created_is_deleted_under_its_uid() -> None:
    created = mutation(before=None)
    assert restore(deployment(), created).delete
    assert restore(None, created).conflicts == ()
    other = restore(deployment(uid="v"), created)
    assert (other.delete, len(other.conflicts)) == (False, 1)


def test_an_object_whose_creation_has_no_outcome_is_not_deleted() -> None:
    step = restore(deployment(), mutation(before=None, uid="", state="intent"))
    assert (step.delete, len(step.conflicts)) == (False, 1)


@pytest.mark.parametrize("live", ["a:1", "a:2", "a:3"])
def test_several_mutations_of_an_object_go_back_to_what_the_first_one_found(live: str) -> None:
    steps = restore_all({REF: deployment(live)}, [mutation(), mutation(write("a:2", "a:3"))])
    assert len(steps) == 1
    assert (steps[0].patched or deployment(live)) == deployment("a:1")
    assert steps[0].conflicts == ()


def test_a_conflict_is_named_once_however_many_mutations_meet_it() -> None:
    (step,) = restore_all({REF: deployment("a:9")}, [mutation(), mutation(write("a:2", "a:3"))])
    assert (step.patched, len(step.conflicts)) == (None, 1)


def test_an_object_without_uid_in_the_journal_is_deleted_if_it_says_that_this_run_created_it() -> None:
    mark = write(ABSENT, "run-1", CREATED_BY)
    live = Manifest.of(put(deployment().raw, CREATED_BY, "run-1"))
    assert restore(live, mutation(mark, before=None, uid="", state="intent")).delete
    other = Manifest.of(put(deployment().raw, CREATED_BY, "run-2"))
    assert not restore(other, mutation(mark, before=None, uid="", state="intent")).delete


def test_what_the_run_deleted_is_created_again_as_it_was_without_what_the_api_server_gives() -> None:
    deleted = mutation(write("a:1", ABSENT), before=deployment("a:1", note="1"), deletes=True)
    step = restore(None, deleted)
    assert step.recreate is not None
    assert step.recreate.raw["metadata"] == {
        "name": "a",
        "namespace": "payments",
        "annotations": {"interlock.internal/release": "1"},
    }
    assert step.recreate.spec == deployment("a:1").spec
    assert restore(deployment("a:1"), deleted).recreate is None
    assert restore(deployment("a:1", uid="v"), deleted).conflicts == ()
    assert len(restore(deployment("a:2", uid="v"), deleted).conflicts) == 1


def test_what_was_created_and_then_changed_is_deleted() -> None:
    (step,) = restore_all({REF: deployment("a:2")}, [mutation(before=None), mutation()])
    assert (step.delete, step.patched) == (True, None)


values = st.sampled_from(["1", "2", "3", ABSENT])


@settings(deadline=None)
@given(st.lists(st.tuples(values, values), min_size=1, max_size=4), st.data())
def test_a_rollback_never_writes_a_field_that_somebody_else_changed(
    pairs: list[tuple[Any, Any]], data: st.DataObject
) -> None:
    fields = [FieldPath.of("spec", f"f{n}") for n in range(len(pairs))]
    found = {f"f{n}": v for n in range(len(pairs)) if (v := data.draw(values)) is not ABSENT}
    live = Manifest.of({**deployment().raw, "spec": found})
    taken = mutation(*(write(b, a, f) for f, (b, a) in zip(fields, pairs, strict=True)))
    step = restore(live, taken)
    result = (step.patched or live).raw
    for field, (before, after) in zip(fields, pairs, strict=True):
        was = get(live.raw, field)
        assert get(result, field) == (before if was in (before, after) else was)
        assert (field in {c.path for c in step.conflicts}) == (was not in (before, after))
    # Taking back what was taken back changes nothing.
    assert restore(Manifest.of(result), taken).patched is None


CHAIN: dict[str, tuple[str, ...]] = {"a": (), "b": ("a",), "c": ("b",), "d": ("a",)}
UP = Standing(moved=True, verified=True)
MOVED = Standing(moved=True)
BAD = Standing(moved=True, failed="CrashLoopBackOff")


def test_the_order_of_a_rollback_is_the_reverse_of_the_dependencies() -> None:
    assert rollback_order(CHAIN, {"a", "b", "c", "d"}) == ("d", "c", "b", "a")


def test_a_service_that_did_not_move_still_orders_those_around_it() -> None:
    assert rollback_order({"c": ("b",), "b": ("a",), "a": ()}, {"a", "c"}) == ("c", "a")


def test_all_dependencies_are_found() -> None:
    assert depends_on(CHAIN, "c") == {"a", "b"}


def test_a_train_that_arrived_stays() -> None:
    board = {"a": UP, "b": Standing(changes=False, verified=True)}
    assert to_take_back(CHAIN, board) == Decision()


@pytest.mark.parametrize(
    ("why", "standing", "reason"),
    [
        ("it failed", BAD, "b failed: CrashLoopBackOff"),
        ("it is not verified", MOVED, "b is not verified"),
        ("it did not move", Standing(), "b did not move"),
        ("it did not move though verified", Standing(verified=True), "b did not move"),
        ("its live release is not verified", Standing(changes=False), "b is not verified"),
    ],
)
def test_a_service_that_did_not_arrive_takes_back_all_that_moved(
    why: str, standing: Standing, reason: str
) -> None:
    decision = to_take_back(CHAIN, {"a": UP, "b": standing, "d": UP})
    assert decision.reason == reason
    assert decision.back == tuple(s for s in ("d", "b", "a") if s != "b" or standing.moved)


def test_a_stopped_line_takes_back_a_train_even_if_each_service_arrived() -> None:
    decision = to_take_back(CHAIN, {"a": UP, "b": UP}, failed="stopped by ann")
    assert (decision.back, decision.reason) == (("b", "a"), "stopped by ann")


def test_within_the_scope_of_a_service_only_it_and_its_dependents_go_back() -> None:
    board = {"a": UP, "b": BAD, "c": UP, "d": UP}
    decision = to_take_back(CHAIN, board, scope="service")
    assert decision.back == ("c", "b")
    assert [name for name, why in decision.kept if "verified" in why] == ["d", "a"]


def test_a_failed_service_that_did_not_move_still_takes_its_dependents_back() -> None:
    board = {"a": UP, "b": Standing(changes=False, failed="not ready"), "c": UP, "d": UP}
    assert to_take_back(CHAIN, board, scope="service").back == ("c",)


def test_nothing_goes_back_past_an_irreversible_release() -> None:
    board = {"a": UP, "b": UP, "c": BAD, "d": UP}
    decision = to_take_back(CHAIN, board, irreversible={"b"})
    assert decision.back == ("d", "c")
    assert decision.kept == (
        ("b", "its release is irreversible"),
        ("a", "b depends on it, and its release is irreversible"),
    )


def test_an_irreversible_release_that_did_not_move_keeps_nothing() -> None:
    board = {"a": UP, "b": Standing(failed="refused"), "d": UP}
    assert to_take_back(CHAIN, board, irreversible={"b"}).back == ("d", "a")
