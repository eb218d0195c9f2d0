"""The watchdog's task on a cluster in memory: what it ends, what it reports, what it goes past."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import BaseHook, Connection
from airflow.sdk.exceptions import AirflowFailException, AirflowNotFoundException
from memory_cluster import MemoryCluster
from moved_train import image, moved

from interlock.clients.journal import JournalStore
from interlock.hooks.kubernetes import InterlockKubernetesHook
from interlock.operators.watchdog import WatchdogOperator

ENVIRONMENTS = """
environments:
  sandbox: {kubernetes: interlock_kubernetes, namespace: payments}
"""


class Airflow:
    """What the watchdog asks Airflow: each run's state, whether its DAG is paused."""

    def __init__(self, *, paused: bool = False, **states: str) -> None:
        self.paused = paused
        self.states = states

    def get_dr_count(self, dag_id: str, run_ids: list[str]) -> int:
        return sum(run in self.states for run in run_ids)

    def get_dagrun_state(self, dag_id: str, run_id: str) -> str:
        return self.states[run_id]

    def get_dag(self, dag_id: str) -> Any:
        return SimpleNamespace(is_paused=self.paused)


@pytest.fixture(autouse=True)
def include(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A project with one environment, whose evidence goes to the spool."""

    def get(conn_id: str) -> Connection:
        raise AirflowNotFoundException(conn_id)

    monkeypatch.setattr(BaseHook, "get_connection", staticmethod(get))
    monkeypatch.setenv("AIRFLOW__INTERLOCK__SPOOL", str(tmp_path / "spool"))
    monkeypatch.setenv("INTERLOCK_INCLUDE", str(tmp_path))
    (tmp_path / "environments.yaml").write_text(ENVIRONMENTS)
    return tmp_path


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> MemoryCluster:
    cluster = asyncio.run(moved())
    monkeypatch.setattr(InterlockKubernetesHook, "get_conn", lambda self: cluster)
    return cluster


def watch(airflow: Airflow) -> None:
    context = {"ti": airflow, "dag_run": SimpleNamespace(dag_id="train_watchdog", run_id="scheduled__1")}
    WatchdogOperator(task_id="watch").execute(context)


def test_a_wrong_number_of_days_fails_the_cleanup_and_nothing_else(
    monkeypatch: pytest.MonkeyPatch, cluster: MemoryCluster
) -> None:
    monkeypatch.setenv("AIRFLOW__INTERLOCK__JOURNAL_DAYS", "a month")
    with pytest.raises(AirflowFailException, match=r"\[interlock\] journal_days is 'a month'"):
        watch(Airflow())
    assert asyncio.run(_ends(cluster)) == (["a:1", "b:1"], [])


async def _ends(cluster: MemoryCluster) -> tuple[list[str], list[Any]]:
    """The images, and the journals that are still open."""
    store = JournalStore(cluster, "interlock")
    return [await image(cluster, name) for name in "ab"], await store.open_heads()
