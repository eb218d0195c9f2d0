"""What the waits of a service leave of a try, and that nothing of an earlier try is left."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.execution_time.xcom import XCom
from airflow.triggers.base import TaskFailedEvent, TaskSkippedEvent, TaskSuccessEvent, TriggerEvent
from memory_cluster import MemoryCluster
from moved_train import planned
from train_in_memory import TrainInMemory

from interlock.runs.run import LOCKED_KEY, ROLLOUT_KEY
from interlock.triggers.kubernetes import SoakTrigger
from interlock.triggers.train_service import PreflightTrigger, VerifyTrigger

ROLLED_OUT = {"ready_at": "2026-03-01T12:00:00+00:00", "baseline": {}, "generation": 2}


@pytest.fixture
def train(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> TrainInMemory:
    """A train in its second try, what it sets kept beside what its tasks pushed."""
    train = TrainInMemory(MemoryCluster(), monkeypatch, tmp_path)
    train.plan_is(planned())
    train.ti.try_number = 2
    train.ti.xcoms["a.promote", ROLLOUT_KEY] = ROLLED_OUT

    def keep(key: str, value: Any, *, dag_id: str, task_id: str, run_id: str) -> None:
        train.ti.xcoms[task_id, key] = value

    monkeypatch.setattr(XCom, "set", staticmethod(keep))
    return train


async def _ends(trigger: Any, train: TrainInMemory, task: str, key: str) -> TriggerEvent:
    """The trigger's last event; before it, the record of an earlier try is gone."""
    train.ti.task_id = f"a.{task}"
    train.ti.xcoms[f"a.{task}", key] = {"at": "then", "held": 15, "try_number": 1}
    trigger.task_instance = train.ti
    [event] = [event async for event in trigger.run()]
    assert train.ti.xcoms[f"a.{task}", key] == {"try_number": 2}
    assert isinstance(event, TaskSuccessEvent | TaskFailedEvent)
    return event


async def test_a_wait_that_refuses_leaves_its_reason_and_its_try(train: TrainInMemory) -> None:
    train.ti.xcoms["lock", LOCKED_KEY] = None
    for trigger, task, key in (
        (PreflightTrigger(train="payments", service="a"), "preflight", "preflight"),
        (VerifyTrigger(train="payments", service="a"), "verify", "soak"),
    ):
        event = await _ends(trigger, train, task, key)
        assert isinstance(event, TaskFailedEvent)
        assert event.xcoms is not None
        left = event.xcoms[key]
        assert "holds no locks" in left["failed"]
        assert left["try_number"] == 2


async def test_a_preflight_of_a_service_that_is_not_on_board_skips_itself(train: TrainInMemory) -> None:
    trigger = PreflightTrigger(train="payments", service="somewhere-else")
    train.ti.task_id = "somewhere-else.preflight"
    trigger.task_instance = train.ti
    [event] = [event async for event in trigger.run()]
    assert isinstance(event, TaskSkippedEvent)


@pytest.mark.parametrize(
    ("event", "left"),
    [
        (TaskSuccessEvent(xcoms={"soak": {"held": 1}}), {"held": 1}),
        (TaskFailedEvent(xcoms={"soak": {"failed": "it crashed"}}), {"failed": "it crashed"}),
    ],
)
async def test_a_soak_leaves_its_try_and_the_rollout_that_it_watched(
    monkeypatch: pytest.MonkeyPatch, train: TrainInMemory, event: TriggerEvent, left: dict[str, Any]
) -> None:
    async def run(self: SoakTrigger) -> AsyncIterator[TriggerEvent]:
        yield event

    monkeypatch.setattr(SoakTrigger, "run", run)
    found = await _ends(VerifyTrigger(train="payments", service="a"), train, "verify", "soak")
    assert isinstance(found, TaskSuccessEvent | TaskFailedEvent)
    assert found.xcoms == {"soak": {**left, "ready_at": ROLLED_OUT["ready_at"], "try_number": 2}}
