"""A run's end, killed between any two of its writes: the next try, or the watchdog, ends it as it is."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException
from memory_cluster import MemoryCluster
from moved_train import DAG, IMAGE, NOW, RUN, SANDBOX, deployment, moved, ref
from train_in_memory import TrainInMemory

from interlock.clients.abandoned import close_run, end_run, look, release_left
from interlock.clients.journal import JournalStore
from interlock.clients.locks import all_held
from interlock.manifest import Manifest, ObjectRef
from interlock.operators.train_end import CloseOperator
from interlock.runs.run import DRY_KEY
from interlock.trains.entries import run_hash
from interlock.trains.fields import put
from interlock.trains.journal import VERDICT_LABEL
from interlock.trains.plan import Plan

HASH = run_hash(DAG, RUN)
WRITES = 4
"""Of an end with one service not whole: its journal, the run's, two locks."""


class Killed(Exception):
    """The process is gone."""


class Mortal(MemoryCluster):
    """Its client is killed at the write after so many more."""

    left: int | None = None

    def _keep(self, ref: ObjectRef, raw: Mapping[str, Any], dry_run: bool = False) -> Manifest:
        if self.left is not None:
            if not self.left:
                raise Killed
            self.left -= 1
        return super()._keep(ref, raw, dry_run)


def complete(name: str) -> Manifest:
    counts = dict.fromkeys(("replicas", "updatedReplicas", "availableReplicas"), 1)
    return Manifest.of({**deployment(name).raw, "status": {"observedGeneration": 99, **counts}})


async def mortal() -> Mortal:
    cluster = await moved(complete("a"), complete("b"))
    cluster.__class__ = Mortal
    assert isinstance(cluster, Mortal)
    return cluster


async def available(cluster: MemoryCluster, count: int) -> None:
    live = await cluster.get(ref("a"))
    assert live is not None
    status = {**live.raw["status"], "availableReplicas": count}
    await cluster.replace(Manifest.of({**live.raw, "status": status}))


async def label(cluster: MemoryCluster) -> str:
    """How the run is labelled, once it is closed and agrees with its services' journals."""
    store = JournalStore(cluster, "interlock")
    head = await cluster.get(ObjectRef("v1", "Secret", "interlock", f"journal-{HASH}"))
    found = await store.services(HASH, ["a", "b"])
    assert head is not None
    assert await store.open_heads() == []
    assert await all_held(cluster, "interlock") == []
    said = head.labels[VERDICT_LABEL]
    not_whole = [name for name, written in found.items() if written.journal.outcome == "not-whole"]
    assert (said == "not-whole") is bool(not_whole), (said, not_whole)
    return said


@pytest.mark.parametrize("at", range(WRITES + 1))
async def test_the_watchdog_ends_what_a_killed_one_began(at: int) -> None:
    cluster = await mortal()
    await available(cluster, 0)
    (head,) = (await look(cluster, SANDBOX, (), NOW)).heads
    done = await end_run(cluster, SANDBOX, head, "it was deleted", NOW, patience=0)
    assert list(done.not_whole) == ["a"]
    cluster.left = at
    if at < WRITES:
        with pytest.raises(Killed):
            await close_run(cluster, SANDBOX, head, done, NOW)
    else:
        await close_run(cluster, SANDBOX, head, done, NOW)
    cluster.left = None
    await available(cluster, 1)

    found = await look(cluster, SANDBOX, (), NOW)
    for head in found.heads:
        done = await end_run(cluster, SANDBOX, head, "it was deleted", NOW, patience=0)
        assert done.not_whole == {}
        await close_run(cluster, SANDBOX, head, done, NOW)
    await release_left(cluster, SANDBOX, (await look(cluster, SANDBOX, (), NOW)).leases, NOW)

    # Until the journal was closed nobody had said how the run ended.
    assert await label(cluster) == ("all-old" if at < 2 else "not-whole")


@pytest.mark.parametrize("at", range(WRITES + 1))
def test_a_further_try_of_close_ends_what_a_killed_one_began(
    at: int, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    cluster = asyncio.run(mortal())
    train = TrainInMemory(cluster, monkeypatch, tmp_path)
    train.plan_is(Plan.from_json(asyncio.run(train.head()).plan))
    train.arrived()
    train.ti.states["rollback.decide"] = "success"
    train.ti.xcoms["plan", DRY_KEY] = False
    asyncio.run(train.complete("a", "b"))

    async def somebody_sets(value: str) -> None:
        live = await cluster.get(ref("a"))
        assert live is not None
        await cluster.replace(Manifest.of(put(live.raw, IMAGE, value)))
        await train.complete("a")

    def close() -> None:
        CloseOperator(task_id="close", train="payments").execute(train.context)

    asyncio.run(somebody_sets("a:hotfix"))
    cluster.left = at
    with pytest.raises(Killed if at < WRITES else AirflowFailException):
        close()
    cluster.left = None
    asyncio.run(somebody_sets("a:2"))
    if at < 2:
        close()
    else:
        with pytest.raises(AirflowFailException, match="a is not whole"):
            close()

    assert asyncio.run(label(cluster)) == ("all-new" if at < 2 else "not-whole")
