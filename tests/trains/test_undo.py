"""Taking a finished run back: the plan that its journal gives."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from interlock.manifest import Manifest, ObjectRef
from interlock.trains.change import FieldWrite
from interlock.trains.entries import Mutation, ServiceJournal
from interlock.trains.fields import ABSENT, FieldPath, put
from interlock.trains.model import Service, Train
from interlock.trains.plan import Plan, PlanError, render
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


def test_a_service_that_the_file_has_no_more_is_named() -> None:
    journals = {name: _moved(name) for name in ("a", "old")}
    with pytest.raises(PlanError, match=r"old: the run moved it, and include/trains/.* has it no more"):
        make_undo(TRAIN.reversed(), "sandbox", journals, _world({"a": "new", "old": "new"}))


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


LOG = FieldPath.parse("spec.template.spec.containers[name=app].env[name=LOG].value")
DAY = FieldPath.parse("data.DAY")


def _configured(live: Manifest) -> ServiceJournal:
    """A run that added a variable to a's container and created a ConfigMap."""
    at = datetime(2026, 1, 1, tzinfo=UTC)
    before = _live("a", "new")
    added = Mutation(before.ref, before.uid, "done", 1, before, (FieldWrite(LOG, ABSENT, "debug"),), 2, at, 1)
    created = Mutation(live.ref, live.uid, "done", 1, None, (FieldWrite(DAY, ABSENT, "1"),), 2, at, 1)
    return ServiceJournal("a", (created, added))


def _config(day: str) -> Manifest:
    metadata = {"name": "a", "namespace": "n", "uid": "uid-config"}
    return Manifest.of({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"DAY": day}})


def _with_log(value: str) -> Manifest:
    return Manifest.of(put(_live("a", "new").raw, LOG, value))


def test_what_the_run_created_is_deleted_and_what_it_added_leaves_no_empty_parent() -> None:
    config, live = _config("1"), _with_log("debug")
    plan = make_undo(
        TRAIN.reversed(), "sandbox", {"a": _configured(config)}, {config.ref: config, live.ref: live}
    )
    (change,) = plan.changes
    assert [(str(step.ref), step.action) for step in change.steps] == [
        ("Deployment/a", "change"),
        ("ConfigMap/a", "delete"),
    ]
    (write,) = change.writes
    assert str(write.path) == "spec.template.spec.containers[name=app].env"
    assert (write.before, write.after) == ([{"name": "LOG", "value": "debug"}], ABSENT)


@pytest.mark.parametrize(("day", "log", "what"), [("2", "debug", "data.DAY"), ("1", "info", "LOG")])
def test_a_later_change_of_what_was_created_or_added_refuses_the_undo(day: str, log: str, what: str) -> None:
    config, live = _config(day), _with_log(log)
    with pytest.raises(PlanError, match=f"a: superseded by a later change: .*{what}"):
        make_undo(
            TRAIN.reversed(), "sandbox", {"a": _configured(config)}, {config.ref: config, live.ref: live}
        )


def test_an_irreversible_release_is_not_undone() -> None:
    with pytest.raises(PlanError, match="b: its release is irreversible"):
        make_undo(TRAIN.reversed(), "sandbox", {"b": _moved("b")}, _world({"b": "new"}), irreversible=("b",))


def test_the_plan_names_the_run_that_it_takes_back_and_the_hash_covers_that() -> None:
    made = [
        make_undo(TRAIN.reversed(), "sandbox", {"a": _moved("a")}, _world({"a": "new"}), run_id=run)
        for run in ("manual__1", "manual__2")
    ]
    assert made[0].hash != made[1].hash
    assert Plan.from_json(made[0].to_json()) == made[0]
    assert "Undo of manual__1: " in render(made[0]).splitlines()[1]
    assert made[0].titled("all new") == "undo of manual__1: all new"
    promotion = Plan.of("t", "sandbox", made[0].changes)
    assert promotion.titled("all new") == "all new"
    assert "undo_of" not in promotion.to_json()
