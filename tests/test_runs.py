"""A run as its tasks and waits see it."""

from __future__ import annotations

from pathlib import Path

import pytest
from memory_cluster import MemoryCluster
from moved_train import IMAGE, ref
from train_in_memory import TrainInMemory

from interlock.runs import run as runs
from interlock.runs.run import HASH_KEY, PLAN_KEY, Run
from interlock.trains.change import Change, FieldWrite
from interlock.trains.plan import Plan


def test_a_plan_is_read_once_by_a_process_until_it_is_made_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(runs, "_plans", {})
    train = TrainInMemory(MemoryCluster(), monkeypatch, tmp_path)
    pulls: list[str] = []
    pull = train.ti.xcom_pull

    def counted(*, task_ids: str, key: str = "return_value", map_indexes: int | None = None) -> object:
        pulls.append(key)
        return pull(task_ids=task_ids, key=key)

    monkeypatch.setattr(train.ti, "xcom_pull", counted)
    for tag in ("a:2", "a:3"):
        plan = Plan.of("payments", "sandbox", [Change("a", ref("a"), (FieldWrite(IMAGE, "a:1", tag, None),))])
        # What a worker pushed arrives in a triggerer as JSON.
        train.ti.xcoms |= {("plan", PLAN_KEY): plan.to_json(), ("plan", HASH_KEY): f'"{plan.hash}"'}
        for _ in range(3):
            assert Run.of("payments", train.context).plan == plan
    assert pulls.count(PLAN_KEY) == 2
    assert len(runs._plans) == 2
