"""The environment check's operators, sensors, wait and gate, with an environment that tests make."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import (
    AirflowException,
    AirflowFailException,
    AirflowSkipException,
    TaskDeferred,
)
from airflow.triggers.base import TaskFailedEvent, TaskSuccessEvent
from memory_cluster import MemoryCluster
from moved_train import deployment
from train_in_memory import TrainInMemory

from interlock.environment.check import AREAS, Area, Check
from interlock.hooks.environment import EnvironmentHook
from interlock.operators import evidence
from interlock.operators.environment import (
    AreaCheckOperator,
    EnvironmentPassedOperator,
    EnvironmentReportOperator,
    GithubCheckOperator,
    StoreCheckOperator,
    ToolsCheckOperator,
    VaultCheckOperator,
    environment_asset,
)
from interlock.operators.train import PlanOperator
from interlock.sensors.environment import AreaSensor, GithubSensor, StoreSensor, ToolsSensor, VaultSensor
from interlock.trains.model import TrainFileError
from interlock.triggers.environment import AreaInOrderTrigger

OPERATORS = (GithubCheckOperator, VaultCheckOperator, ToolsCheckOperator, StoreCheckOperator)
SENSORS = (GithubSensor, VaultSensor, ToolsSensor, StoreSensor)
SOON = (datetime.now(UTC) + timedelta(days=1)).isoformat()
"""Made when the suite begins, which may be long before the test."""


def check(area: str = "vault", status: Any = "ok", severity: Any = "error") -> Check:
    return Check(f"{area}.thing", "a thing", "somewhere", status, "it is so", "mend it", severity)


FINDING, UNSEEN = check(status="finding"), check(status="not-checked")
WARNING, NOTE = check(status="finding", severity="warning"), check(status="not-checked", severity="note")


class World:
    """What each look finds, one after the other, and what was told."""

    def __init__(self) -> None:
        self.looks: list[list[Check] | Exception] = [[check()]]
        self.asked: list[tuple[str, str, str]] = []
        self.xcoms: dict[str, Any] = {}
        self.recorded: list[Any] = []

    def look(self, hook: EnvironmentHook, area: Area) -> list[Check]:
        self.asked.append((area, hook.environment, hook.pull_requests))
        found = self.looks.pop(0) if len(self.looks) > 1 else self.looks[0]
        if isinstance(found, Exception):
            raise found
        return found

    def context(self, **more: Any) -> Any:
        def push(key: str, value: Any) -> None:
            self.xcoms[key] = json.loads(json.dumps(value))

        def pull(task_ids: str, key: str) -> Any:
            return self.xcoms.get(f"{task_ids}/{key}")

        return {"ti": SimpleNamespace(xcom_push=push, xcom_pull=pull), **more}


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    found = World()
    monkeypatch.setattr(EnvironmentHook, "check", lambda self, area: found.look(self, area))
    monkeypatch.setattr(evidence, "record", lambda context, said, **more: found.recorded.extend(said))
    return found


# Operators


@pytest.mark.parametrize(("operator", "area"), list(zip(OPERATORS, AREAS, strict=True)))
def test_each_operator_looks_at_its_area(world: World, operator: type[AreaCheckOperator], area: str) -> None:
    made = operator(task_id="x", environment="sandbox", pull_requests="a/b#1")
    assert made.execute(world.context()) == [check().as_json()]
    assert world.asked == [(area, "sandbox", "a/b#1")]
    assert world.xcoms["checks"] == [check().as_json()]


@pytest.mark.parametrize("checks", [[check(), WARNING, NOTE], []])
def test_warnings_and_notes_fail_no_task(world: World, checks: list[Check]) -> None:
    world.looks = [checks]
    assert len(VaultCheckOperator(task_id="x", environment="e").execute(world.context())) == len(checks)


@pytest.mark.parametrize(
    ("checks", "error"),
    [
        ([check(), FINDING], AirflowFailException),
        ([check(), UNSEEN], AirflowException),
        ([UNSEEN, FINDING], AirflowException),
    ],
)
def test_what_could_not_be_seen_is_tried_again_and_a_finding_is_not(
    world: World, checks: list[Check], error: type[Exception]
) -> None:
    world.looks = [checks]
    with pytest.raises(AirflowException) as failed:
        VaultCheckOperator(task_id="x", environment="e").execute(world.context())
    assert type(failed.value) is error
    assert "vault.thing: a thing [somewhere]: it is so. mend it" in str(failed.value)
    assert world.xcoms["checks"] == [one.as_json() for one in checks]


def test_an_environment_that_the_form_does_not_name_is_skipped(world: World) -> None:
    for operator in (
        VaultCheckOperator(task_id="x", environment="a", only="b"),
        EnvironmentReportOperator(task_id="y", environment="a", only="b", checked_by=[]),
    ):
        with pytest.raises(AirflowSkipException):
            operator.execute(world.context())
    assert world.asked == world.recorded == []


def test_a_wrong_file_fails_the_task_with_its_line(world: World) -> None:
    world.looks = [TrainFileError([])]
    with pytest.raises(AirflowFailException):
        VaultCheckOperator(task_id="x", environment="e").execute(world.context())


# The report


def report(world: World, told: dict[str, list[Check] | None], **more: Any) -> dict[str, Any]:
    for area, checks in told.items():
        if checks is not None:
            world.xcoms[f"{area}/checks"] = [one.as_json() for one in checks]
    asset = environment_asset("sandbox")
    operator = EnvironmentReportOperator(
        task_id="report", environment="sandbox", checked_by=list(AREAS), outlets=[asset], **more
    )
    events = {asset: SimpleNamespace(extra=None)}
    try:
        return {
            "returned": operator.execute(world.context(outlet_events=events)),
            "event": events[asset].extra,
        }
    except AirflowFailException as error:
        assert events[asset].extra is None
        return {"failed": str(error)}


def all_ok() -> dict[str, list[Check] | None]:
    return {area: [check(area)] for area in AREAS}


def test_what_passed_is_told_by_the_asset_and_recorded(world: World) -> None:
    done = report(world, all_ok())
    assert done["event"] == done["returned"]
    assert done["event"]["verdict"] == "passed"
    assert datetime.now(UTC) - datetime.fromisoformat(done["event"]["at"]) < timedelta(minutes=1)
    (said,) = world.recorded
    assert said.predicate_type == "environment-check"
    assert said.fields["verdict"] == "passed"
    assert len(said.evidence["checks"]) == 4
    assert world.xcoms["page"].startswith("# Environment check: sandbox\n")


@pytest.mark.parametrize("told", [[FINDING], [UNSEEN], [], None])
def test_what_did_not_pass_fails_and_is_recorded_all_the_same(world: World, told: list[Check] | None) -> None:
    done = report(world, {**all_ok(), "vault": told})
    assert "NOT-PASSED" in done["failed"]
    (said,) = world.recorded
    assert said.fields["verdict"] == "not-passed"
    assert said.fields["blocking"] == ["vault.thing" if told else "vault.looked-at"]


def test_nothing_is_recorded_where_no_evidence_is_wanted(world: World) -> None:
    report(world, all_ok(), evidence_conn_id=None)
    assert world.recorded == []


# The gate


@pytest.mark.parametrize(
    ("hours", "passes"),
    [((2.0,), True), ((23.9,), True), ((24.1,), False), ((1.0, 30.0), False), ((), False)],
)
def test_the_gate_opens_if_the_last_check_that_passed_is_not_too_old(
    hours: tuple[float, ...], passes: bool
) -> None:
    gate = EnvironmentPassedOperator(task_id="gate", environment="sandbox")
    assert gate.inlets == [environment_asset("sandbox")]
    events = [
        SimpleNamespace(extra={"at": (datetime.now(UTC) - timedelta(hours=ago)).isoformat()}) for ago in hours
    ]
    context: Any = {"inlet_events": {environment_asset("sandbox"): events}}
    if passes:
        assert gate.execute(context) == events[-1].extra
    else:
        with pytest.raises(AirflowFailException, match="Run the DAG environment_check"):
            gate.execute(context)


@pytest.mark.parametrize(
    ("within", "hours", "params", "refused"),
    [
        ("24h", 1.0, {}, ""),
        ("24h", 25.0, {}, "passed its last check 25.0 hours ago, and at most 24 are allowed"),
        ("24h", None, {}, "has not passed a check yet"),
        ("24h", None, {"dry_run": True}, ""),
        (None, None, {}, ""),
    ],
)
def test_a_train_is_planned_only_for_an_environment_that_passed_where_it_says_so(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    within: str | None,
    hours: float | None,
    params: dict[str, Any],
    refused: str,
) -> None:
    train = TrainInMemory(MemoryCluster(deployment("a"), deployment("b")), monkeypatch, tmp_path)
    if within:
        file = tmp_path / "environments.yaml"
        file.write_text(file.read_text() + f"    checked_within: {within}\n")
    asset, made = environment_asset("sandbox"), []
    ago = None if hours is None else datetime.now(UTC) - timedelta(hours=hours)
    events = {asset: [SimpleNamespace(extra={"at": ago.isoformat()})] if ago else []}
    train.context |= {
        "dag_run": SimpleNamespace(conf={}, clear_number=0),
        "params": {"environment": "sandbox", "a": "1.1.0", **params},
        "inlet_events": events,
    }
    monkeypatch.setattr(
        PlanOperator, "_finish", lambda self, context, run, plan, *, dry_run: made.append(plan)
    )
    operator = PlanOperator(task_id="plan", train="payments")
    if refused:
        with pytest.raises(AirflowFailException, match=refused):
            operator.execute(train.context)
    else:
        operator.execute(train.context)
    assert len(made) == (not refused)


# Sensors and the wait


@pytest.mark.parametrize(("sensor", "area"), list(zip(SENSORS, AREAS, strict=True)))
@pytest.mark.parametrize(("checks", "done"), [([check(), NOTE], True), ([FINDING], False), ([UNSEEN], False)])
def test_a_sensor_waits_while_something_keeps_the_area_from_passing(
    world: World, sensor: type[AreaSensor], area: str, checks: list[Check], done: bool
) -> None:
    world.looks = [checks]
    assert sensor(task_id="x", environment="sandbox").poke(world.context()) is done
    assert world.asked == [(area, "sandbox", "")]


def test_a_deferrable_sensor_waits_in_the_triggerer(world: World) -> None:
    sensor = GithubSensor(
        task_id="x", environment="e", pull_requests="a/b#1", deferrable=True, timeout=60, poke_interval=7
    )
    with pytest.raises(TaskDeferred) as deferred:
        sensor.execute(world.context())
    path, arguments = deferred.value.trigger.serialize()
    assert path == "interlock.triggers.environment.AreaInOrderTrigger"
    left = datetime.fromisoformat(arguments.pop("deadline")) - datetime.now(UTC)
    assert timedelta(seconds=50) < left <= timedelta(seconds=60)
    assert arguments == {
        "area": "github",
        "environment": "e",
        "pull_requests": "a/b#1",
        "again_seconds": 7.0,
    }


def trigger(**changes: Any) -> AreaInOrderTrigger:
    given = {
        "area": "vault",
        "environment": "e",
        "pull_requests": "",
        "again_seconds": 0.01,
        "deadline": SOON,
    }
    return AreaInOrderTrigger(**(given | changes))


def test_the_wait_serializes_to_exactly_its_arguments() -> None:
    path, arguments = trigger().serialize()
    assert path.rpartition(".")[2] == "AreaInOrderTrigger"
    assert trigger(**arguments).serialize() == (path, arguments)


async def _last(wait: AreaInOrderTrigger) -> Any:
    (event,) = [event async for event in wait.run()]
    return event


async def test_the_wait_looks_until_it_is_in_order(world: World) -> None:
    world.looks = [[UNSEEN], [FINDING], [check()]]
    event = await _last(trigger())
    assert isinstance(event, TaskSuccessEvent)
    assert event.xcoms == {"checks": [check().as_json()]}
    assert len(world.asked) == 3


@pytest.mark.parametrize(
    ("looks", "changes"),
    [
        ([[FINDING]], {"deadline": "2026-01-01T00:00:00+00:00"}),
        ([TrainFileError([])], {}),
    ],
)
async def test_the_wait_fails_after_its_deadline_or_by_a_wrong_file(
    world: World, looks: list[list[Check] | Exception], changes: dict[str, str]
) -> None:
    world.looks = looks
    assert isinstance(await _last(trigger(**changes)), TaskFailedEvent)
    assert len(world.asked) == 1
