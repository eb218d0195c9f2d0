"""The wait for locks, cut short: what it holds by then stays in its run's name and in nobody's way."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from airflow.triggers.base import TaskFailedEvent, TaskSuccessEvent
from memory_cluster import MemoryCluster
from moved_train import DAG, HOLDER, IMAGE, NOW, RUN, SANDBOX, deployment, ref
from train_in_memory import ENVIRONMENTS, TRAIN

from interlock.clients import abandoned, locks
from interlock.hooks.kubernetes import InterlockKubernetesHook
from interlock.manifest import Manifest, ObjectRef
from interlock.runs.run import LOCKED_KEY
from interlock.trains.lock import HeldBy, holder_in, transitions
from interlock.trains.plan import Change, FieldWrite, Plan
from interlock.triggers import train
from interlock.triggers.train import LockTrigger
from tests.triggers.live_cluster import LiveCluster, ending, until

OTHER = "promotion_train__payments/manual__2"
PLAN = Plan.of(
    "payments",
    "sandbox",
    [Change(name, ref(name), (FieldWrite(IMAGE, f"{name}:1", f"{name}:2", None),)) for name in ("a", "b")],
)


class _Slow(LiveCluster):
    """Stops at a write of a lease, until its writer is cancelled."""

    at: str | None = None
    reached = False

    async def create(self, manifest: Manifest, *, dry_run: bool = False) -> Manifest:
        if manifest.kind == "Lease" and manifest.name == self.at:
            self.reached = True
            await asyncio.Event().wait()
        return await super().create(manifest, dry_run=dry_run)


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> _Slow:
    (tmp_path / "trains").mkdir()
    (tmp_path / "trains" / "payments.yaml").write_text(TRAIN)
    (tmp_path / "environments.yaml").write_text(ENVIRONMENTS)
    monkeypatch.setenv("INTERLOCK_INCLUDE", str(tmp_path))
    monkeypatch.setattr("interlock.clients.watch.LINGER_SECONDS", 0.0)
    cluster = _Slow(deployment("a"), deployment("b"))

    async def connect(_: InterlockKubernetesHook) -> _Slow:
        return cluster

    monkeypatch.setattr(InterlockKubernetesHook, "get_conn_async", connect)
    return cluster


def lock() -> LockTrigger:
    since = datetime.now(UTC).isoformat()
    return LockTrigger(train="payments", dag_id=DAG, run_id=RUN, plan=PLAN.to_json(), since=since)


async def take(cluster: MemoryCluster, holder: str, *services: str) -> dict[str, int] | HeldBy:
    return await locks.take_all(cluster, "payments", "interlock", services, holder, NOW)


async def holders(cluster: MemoryCluster) -> dict[str, str]:
    held = await locks.all_held(cluster, "interlock")
    return {lease.name.removeprefix("payments."): holder_in(lease) for lease in held}


def given_back(cluster: MemoryCluster, service: str) -> bool:
    lease = cluster._objects[ObjectRef(*locks.API, "interlock", f"payments.{service}")]
    return lease["spec"]["holderIdentity"] == ""


async def cut_short(cluster: _Slow) -> None:
    """End a wait, as a triggerer does that stops, when it has taken the first of two locks."""
    cluster.at = "payments.b"
    waits = asyncio.create_task(ending(lock()))
    await until(lambda: cluster.reached)
    waits.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waits
    cluster.at = None


async def test_locks_of_a_wait_that_was_cut_short_are_in_the_runs_name_and_it_takes_the_rest_later(
    cluster: _Slow,
) -> None:
    await cut_short(cluster)
    assert await holders(cluster) == {"a": HOLDER}
    event = await ending(lock())
    assert isinstance(event, TaskSuccessEvent)
    # Counted up again: whoever of the first try lives on is fenced off.
    assert event.xcoms[LOCKED_KEY]["transitions"] == {"a": 2, "b": 1}
    assert await holders(cluster) == {"a": HOLDER, "b": HOLDER}


async def test_a_wait_that_was_cut_short_says_in_its_log_where_its_locks_are(
    cluster: _Slow, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []

    class Log:
        def warning(self, text: str, *values: object) -> None:
            said.append(text % values)

    monkeypatch.setattr(LockTrigger, "log", Log())
    await cut_short(cluster)
    assert len(said) == 1
    assert f"locks that {HOLDER} holds by now stay its own" in said[0]


async def test_the_watchdog_finds_and_releases_what_a_run_that_ended_had_taken_of_its_locks(
    cluster: _Slow,
) -> None:
    await cut_short(cluster)
    found = await abandoned.look(cluster, SANDBOX, (), NOW)
    assert (found.heads, found.holders) == ((), (HOLDER,))
    released = await abandoned.release_left(cluster, SANDBOX, found.leases, NOW)
    assert released == [f"payments.a, held by {HOLDER}"]
    assert await holders(cluster) == {}


async def test_two_runs_cut_short_with_a_lock_each_do_not_wait_for_each_other_for_ever(
    cluster: _Slow,
) -> None:
    await cut_short(cluster)
    assert isinstance(await take(cluster, OTHER, "b"), dict)
    waits = asyncio.create_task(ending(lock()))
    await until(lambda: given_back(cluster, "a"))
    assert isinstance(await take(cluster, OTHER, "a", "b"), dict)
    await locks.release_all(cluster, "interlock", OTHER, NOW)
    assert isinstance(await waits, TaskSuccessEvent)


class _Overtaken(MemoryCluster):
    """Lets the run's next try take its lock just before an earlier one gives it back."""

    overtake: Callable[[], Any] | None = None

    async def replace(self, manifest: Manifest, *, dry_run: bool = False) -> Manifest:
        if self.overtake is not None and holder_in(manifest) == "":
            overtake, self.overtake = self.overtake, None
            await overtake()
        return await super().replace(manifest, dry_run=dry_run)


async def test_an_earlier_try_gives_back_no_lock_that_the_run_has_taken_anew() -> None:
    cluster = _Overtaken()
    assert isinstance(await take(cluster, OTHER, "b"), dict)
    cluster.overtake = lambda: take(cluster, HOLDER, "a")
    assert isinstance(await take(cluster, HOLDER, "a", "b"), HeldBy)
    leases = {lease.name: lease for lease in await locks.held_by(cluster, "interlock", HOLDER)}
    assert {name: transitions(lease) for name, lease in leases.items()} == {"payments.a": 2}


async def test_a_wait_outlives_an_api_server_that_is_away(
    cluster: _Slow, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train, "AGAIN_SECONDS", 0.02)
    assert isinstance(await take(cluster, OTHER, "b"), dict)
    waits = asyncio.create_task(ending(lock()))
    await until(lambda: "Lease" in cluster.watched)
    cluster.away = True
    await until(lambda: cluster.refused >= 3)
    assert not waits.done()
    cluster.away = False
    await locks.release_all(cluster, "interlock", OTHER, NOW)
    assert isinstance(await waits, TaskSuccessEvent)


async def test_a_wait_whose_watch_has_died_fails(cluster: _Slow) -> None:
    assert isinstance(await take(cluster, OTHER, "b"), dict)
    waits = asyncio.create_task(ending(lock()))
    await until(lambda: "Lease" in cluster.watched)
    cluster.break_watches("Lease")
    assert isinstance(await waits, TaskFailedEvent)
    assert await holders(cluster) == {"b": OTHER}
