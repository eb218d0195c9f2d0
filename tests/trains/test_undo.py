"""Taking a finished run back: the plan that its journal gives."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from interlock.manifest import Manifest, ObjectRef
from interlock.trains.entries import Mutation, ServiceJournal
from interlock.trains.fields import FieldPath
from interlock.trains.model import Service, Train
from interlock.trains.plan import FieldWrite, PlanError
from interlock.trains.undo import make_undo

IMAGE = FieldPath.parse("spec.template.spec.containers[name=app].image")


def _service(name: str, *after: str) -> Service:
    minute = timedelta(minutes=1)
    return Service(name, f"registry.internal/{name}", "Deployment", name, "app", after, minute, minute)


TRAIN = Train("t", "", False, ("sandbox",), (_service("a"), _service("b", "a"), _service("c", "b")))


def _live(name: str, image: str) -> Manifest:
    return Manifest.of(
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": name, "namespace": "n", "uid": f"uid-{name}"},
            "spec": {"template": {"spec": {"containers": [{"name": "app", "image": image}]}}},
        }
    )


def _moved(name: str) -> ServiceJournal:
    before = _live(name, "old")
    write = FieldWrite(IMAGE, "old", "new")
    at = datetime(2026, 1, 1, tzinfo=UTC)
    mutation = Mutation(before.ref, before.uid, "done", 1, before, (write,), 2, at, 1)
    return ServiceJournal(name, (mutation,))


def _world(images: dict[str, str]) -> dict[ObjectRef, Manifest | None]:
    return {(m := _live(name, image)).ref: m for name, image in images.items()}


def test_an_undo_goes_from_new_to_old_in_reverse_dependency_order() -> None:
    journals = {name: _moved(name) for name in "abc"}
    plan = make_undo(TRAIN.reversed(), "sandbox", journals, _world(dict.fromkeys("abc", "new")))
    assert [change.service for change in plan.changes] == ["c", "b", "a"]
    assert {(w.before, w.after) for change in plan.changes for w in change.writes} == {("new", "old")}


def test_a_later_change_is_named_and_refuses_the_undo() -> None:
    journals = {name: _moved(name) for name in "ab"}
    with pytest.raises(PlanError, match=r"b: superseded by a later change: .*found newer, expected new"):
        make_undo(TRAIN.reversed(), "sandbox", journals, _world({"a": "new", "b": "newer"}))


def test_an_object_that_is_gone_is_named() -> None:
    gone = dict.fromkeys(_world({"a": "new"}))
    with pytest.raises(PlanError, match="a: Deployment/a is gone"):
        make_undo(TRAIN.reversed(), "sandbox", {"a": _moved("a")}, gone)


def test_a_run_that_was_taken_back_has_nothing_to_undo() -> None:
    back = _moved("a").ended("rolled-back")
    with pytest.raises(PlanError, match="nothing to take back"):
        make_undo(TRAIN.reversed(), "sandbox", {"a": back}, _world({"a": "old"}))


def test_reversing_a_train_twice_gives_the_same_edges() -> None:
    assert TRAIN.reversed().reversed() == TRAIN
    assert {s.name: s.after for s in TRAIN.reversed().services} == {"a": ("b",), "b": ("c",), "c": ()}
