"""The watchdog's task on a cluster in memory: what it ends, what it reports, what it goes past."""

from __future__ import annotations

import asyncio
from contextlib import nullcontext
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException
from memory_cluster import MemoryCluster
from moved_train import DAG, RUN, image, moved

from interlock.clients.journal import JournalStore
from interlock.hooks.kubernetes import InterlockKubernetesHook
from interlock.operators.watchdog import WatchdogOperator
from interlock.trains.outcome import RunState

ENVIRONMENTS = """
environments:
  sandbox: {kubernetes: interlock_kubernetes, namespace: payments}
"""


class Airflow:
    """What the watchdog asks Airflow: each run's state, whether its DAG is paused."""

    def __init__(self, *, paused: bool = False, **states: str) -> None:
        self.paused = paused
        self.states = states
        self.pushed: dict[str, str] = {}

    def get_dr_count(self, dag_id: str, run_ids: list[str]) -> int:
        return sum(run in self.states for run in run_ids)

    def get_dagrun_state(self, dag_id: str, run_id: str) -> str:
        return self.states[run_id]

    def xcom_push(self, *, key: str, value: str) -> None:
        self.pushed[key] = value

    def get_dag(self, dag_id: str) -> Any:
        return SimpleNamespace(is_paused=self.paused)


@pytest.fixture(autouse=True)
def include(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, spool: Path) -> Path:
    """A project with one environment, whose evidence goes to the spool."""
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


def test_a_run_whose_train_has_no_file_that_loads_is_named_and_left_as_it_is(
    include: Path, cluster: MemoryCluster
) -> None:
    live = Airflow(**{RUN: "running"})
    for spoil, said in (
        (lambda file: file.write_text("services: 7"), "its file does not load: "),
        (lambda file: file.unlink(), "its file .*payments.yaml is gone"),
    ):
        (include / "trains").mkdir(exist_ok=True)
        spoil(include / "trains" / "payments.yaml")
        with pytest.raises(AirflowFailException, match=f"{DAG}/{RUN}: {said}(.|\n)*neither on nor back"):
            watch(live)
        images, heads = asyncio.run(_ends(cluster))
        assert images == ["a:2", "b:2"]
        assert [head.stop for head in heads] == [None]


def test_a_run_that_airflow_shows_as_success_is_named_when_it_is_taken_back(cluster: MemoryCluster) -> None:
    with pytest.raises(AirflowFailException, match=f"{DAG}/{RUN}: Airflow shows it as success"):
        watch(Airflow(**{RUN: "success"}))
    assert asyncio.run(_ends(cluster)) == (["a:1", "b:1"], [])


@pytest.mark.parametrize(
    ("verdict", "state", "named"),
    [
        ("all-old", "success", True),
        ("not-whole", "success", True),
        ("all-new", "success", False),
        ("all-old", "failed", False),
        ("all-old", "running", False),
        ("all-old", None, False),
    ],
)
def test_a_run_that_went_back_and_is_shown_as_success_is_named(
    cluster: MemoryCluster, verdict: RunState, state: str | None, named: bool
) -> None:
    store = JournalStore(cluster, "interlock")
    head = replace(asyncio.run(store.open_heads())[0], opened_at=datetime.now(UTC))
    asyncio.run(store.open(head))
    asyncio.run(store.close(head, datetime.now(UTC), verdict))
    airflow = Airflow(**({RUN: state} if state else {}))
    with pytest.raises(AirflowFailException, match="did not end all new") if named else nullcontext():
        watch(airflow)


def test_a_run_that_fails_the_watchdog_keeps_no_other_waiting(
    monkeypatch: pytest.MonkeyPatch, cluster: MemoryCluster
) -> None:
    head = asyncio.run(JournalStore(cluster, "interlock").open_heads())[0]
    spoilt = replace(head, run_id="a-first", plan={"version": 7})
    asyncio.run(JournalStore(cluster, "interlock").open(spoilt))
    with pytest.raises(AirflowFailException, match=f"{DAG}/a-first: "):
        watch(Airflow())
    images, heads = asyncio.run(_ends(cluster))
    assert images == ["a:1", "b:1"]
    assert [found.run_id for found in heads] == ["a-first"]


def test_a_run_whose_train_loads_is_left_alone(include: Path, cluster: MemoryCluster) -> None:
    (include / "trains").mkdir()
    services = "services: {a: {image: registry.internal/a}, b: {image: registry.internal/b}}"
    (include / "trains" / "payments.yaml").write_text(services)
    (include / "trains" / "other.yaml").write_text("services: 7")
    watch(Airflow(**{RUN: "running"}))
    with pytest.raises(AirflowFailException, match="its DAG is paused"):
        watch(Airflow(paused=True, **{RUN: "running"}))
    assert asyncio.run(_ends(cluster))[0] == ["a:2", "b:2"]


def test_an_environment_that_is_wrong_is_named_and_keeps_no_other_waiting(
    include: Path, cluster: MemoryCluster
) -> None:
    with (include / "environments.yaml").open("a") as file:
        file.write("  other: {namespace: payments}\n")
    with pytest.raises(
        AirflowFailException, match=r"environments\.yaml:4: environments\.other: 'kubernetes'"
    ):
        watch(Airflow())
    assert asyncio.run(_ends(cluster)) == (["a:1", "b:1"], [])


async def _ends(cluster: MemoryCluster) -> tuple[list[str], list[Any]]:
    """The images, and the journals that are still open."""
    store = JournalStore(cluster, "interlock")
    return [await image(cluster, name) for name in "ab"], await store.open_heads()
