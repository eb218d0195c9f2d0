"""A run as its tasks and waits see it."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import pytest
from airflow.sdk import DAG
from airflow.sdk.exceptions import AirflowFailException
from memory_cluster import MemoryCluster
from moved_train import IMAGE, SANDBOX, planned, ref
from train_in_memory import TrainInMemory

from interlock.operators import train as train_operators
from interlock.operators.train import PlanOperator
from interlock.runs import run as runs
from interlock.runs.run import ENVIRONMENT_KEY, HASH_KEY, PLAN_KEY, Run
from interlock.trains.change import Change, FieldWrite
from interlock.trains.environments import Environment
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


def test_a_run_knows_its_environment_also_once_the_file_is_broken(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    train = TrainInMemory(MemoryCluster(), monkeypatch, tmp_path)
    train.plan_is(planned())
    kept = replace(SANDBOX, namespace="as planned")
    train.ti.xcoms["plan", ENVIRONMENT_KEY] = asdict(kept)
    assert Run.of("payments", train.context).environment.namespace == "payments"
    file = tmp_path / "environments.yaml"
    for text in ("environments: [", "environments:\n  sandbox: {kubernetes: k}\n", ""):
        file.write_text(text)
        train.ti.xcoms["plan", ENVIRONMENT_KEY] = asdict(kept)
        assert Run.of("payments", train.context).environment == kept
        train.ti.xcoms["plan", ENVIRONMENT_KEY] = None
        with pytest.raises(AirflowFailException, match=r"environments\.yaml:\d: "):
            Run.of("payments", train.context)
    file.unlink()
    train.ti.xcoms["plan", ENVIRONMENT_KEY] = asdict(kept)
    assert Run.of("payments", train.context).environment == kept


def test_a_plan_leaves_the_environment_that_it_is_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    train = TrainInMemory(MemoryCluster(), monkeypatch, tmp_path)
    run = Run.of("payments", train.context)
    monkeypatch.setattr(train_operators, "tell_plan", lambda *_, **__: None)
    monkeypatch.setattr(PlanOperator, "skip", lambda *_: None)
    with DAG("train", schedule=None):
        task = PlanOperator(task_id="plan", train="payments")
    task._finish(train.context, run, planned(), dry_run=False)
    assert Environment.of_json(train.ti.pushed[ENVIRONMENT_KEY]) == run.environment
