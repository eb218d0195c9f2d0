"""A train's tasks outside Airflow: a cluster in memory, and of a task instance only XComs and states."""

from __future__ import annotations

from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.exceptions import TaskDeferred
from memory_cluster import MemoryCluster
from moved_train import DAG, RUN, ref

from interlock.clients.journal import JournalStore
from interlock.manifest import Manifest
from interlock.operators import train_back, train_end, train_service
from interlock.runs.run import LOCKED_KEY, PLAN_KEY, ROLLOUT_KEY, SOAK_KEY, Run, locked
from interlock.trains.entries import Head, ServiceJournal, run_hash
from interlock.trains.plan import Plan

HASH = run_hash(DAG, RUN)
TRAIN = """
environments: [sandbox]
defaults: {deadline: 1m, soak: 1s}
services:
  a: {image: registry.internal/a}
  b: {image: registry.internal/b, after: [a]}
"""
ENVIRONMENTS = """
environments:
  sandbox:
    kubernetes: interlock_kubernetes
    namespace: payments
    journal_namespace: interlock
    vault: interlock_vault
    evidence: {mode: spool, store: interlock_evidence}
"""


@dataclass
class Ti:
    """What the tasks ask of their task instance."""

    states: dict[str, str | None] = field(default_factory=dict)
    xcoms: dict[tuple[str, str], Any] = field(default_factory=dict)
    pushed: dict[str, Any] = field(default_factory=dict)
    dag_id: str = DAG
    run_id: str = RUN
    task_id: str = ""
    try_number: int = 1

    def xcom_pull(self, *, task_ids: str, key: str = "return_value", map_indexes: int | None = None) -> Any:
        return self.xcoms.get((task_ids, key))

    def xcom_push(self, *, key: str, value: Any) -> None:
        self.pushed[key] = value

    def get_task_states(self, *, dag_id: str, run_ids: list[str]) -> dict[str, dict[str, str | None]]:
        return {run_ids[0]: self.states}


class TrainInMemory:
    """One run of the train a, b (b after a) in the environment `sandbox`."""

    def __init__(self, cluster: MemoryCluster, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        self.cluster = cluster
        self.store = JournalStore(cluster, "interlock")
        self.ti = Ti()
        self.context: dict[str, Any] = {"ti": self.ti, "params": {}}
        self.told: list[dict[str, Any]] = []
        (folder / "trains").mkdir()
        (folder / "trains" / "payments.yaml").write_text(TRAIN)
        (folder / "environments.yaml").write_text(ENVIRONMENTS)
        monkeypatch.setenv("INTERLOCK_INCLUDE", str(folder))

        @asynccontextmanager
        async def client(_: Run) -> Any:
            yield cluster

        monkeypatch.setattr(Run, "client", client)
        for module in (train_back, train_service):
            monkeypatch.setattr(
                module, "tell", lambda context, run, *said, log: self.told.extend(s.fields for s in said)
            )
        monkeypatch.setattr(
            train_end, "tell_end", lambda *_, **__: self.told.append({"sealed": True}), raising=True
        )

    def plan_is(self, plan: Plan) -> None:
        """Plan and lock of the run, as their tasks leave them."""
        self.ti.xcoms["plan", PLAN_KEY] = plan.to_json()
        self.ti.xcoms["lock", LOCKED_KEY] = locked(plan, dict.fromkeys("ab", 1))

    def arrived(self) -> None:
        """Each service was promoted, and held."""
        for name in "ab":
            self.ti.states |= {f"{name}.{task}": "success" for task in ("preflight", "promote", "verify")}
            self.ti.xcoms[f"{name}.promote", ROLLOUT_KEY] = {"ready_at": "then"}
            self.ti.xcoms[f"{name}.verify", SOAK_KEY] = {"held": 1, "ready_at": "then", "generation": 2}

    async def head(self) -> Head:
        """The run's head, which must be there."""
        found = await self.store.head(HASH)
        assert found is not None
        return found

    async def journal(self, name: str) -> ServiceJournal:
        """What the run's journal says of a service."""
        return (await self.store.service(HASH, name)).journal

    async def complete(self, *names: str) -> None:
        """Let the controllers do their work: the rollouts are complete."""
        for name in names:
            live = await self.cluster.get(ref(name))
            assert live is not None
            counts = dict.fromkeys(("replicas", "updatedReplicas", "availableReplicas"), 1)
            status = {"observedGeneration": live.generation, **counts}
            await self.cluster.replace(Manifest.of({**live.raw, "status": status}))


def waits(execute: Any, context: Any) -> bool:
    """Run a task; whether it then waits in the triggerer."""
    try:
        execute(context)
    except TaskDeferred:
        return True
    return False
