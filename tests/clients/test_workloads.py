"""Promoting a release of several objects and taking it back, on a cluster in memory.

The same on a real API server is in tests/clients/test_releases_on_a_real_api.py.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from memory_cluster import MemoryCluster
from moved_train import IMAGE, NOW, deployment

from interlock.clients.journal import JournalStore, Written
from interlock.clients.kubernetes import Conflict
from interlock.clients.workloads import Refused, promote, take_back
from interlock.manifest import Manifest, ObjectRef
from interlock.trains.change import Change, FieldWrite, ObjectChange
from interlock.trains.entries import CREATED_BY
from interlock.trains.fields import ABSENT, FieldPath, get, put
from interlock.trains.lock import FENCE

RUN = "0" * 12
DAY = FieldPath.of("data", "DAY")
OLD, NEW = (ObjectRef("v1", "ConfigMap", "payments", name) for name in ("old", "new"))
WORKLOAD = deployment("a").ref
CHANGE = Change(
    "a",
    WORKLOAD,
    (FieldWrite(IMAGE, "a:1", "a:2"),),
    objects=(
        ObjectChange(NEW, (FieldWrite(DAY, ABSENT, "9"),), "create"),
        ObjectChange(OLD, (FieldWrite(DAY, "1", "2"),)),
    ),
)


class Crash(Exception):
    """The worker dies here."""


class Cluster(MemoryCluster):
    """Notes the writes; dies at one of them, before or after it reached the API server."""

    def __init__(self) -> None:
        super().__init__(deployment("a"), config("1"))
        self.writes: list[str] = []
        self.dies_at, self.arrives, self.crashes = -1, False, True

    async def create(self, manifest: Manifest, *, dry_run: bool = False) -> Manifest:
        return await self._noted("create", manifest.ref, super().create(manifest, dry_run=dry_run))

    async def replace(self, manifest: Manifest, *, dry_run: bool = False) -> Manifest:
        return await self._noted("replace", manifest.ref, super().replace(manifest, dry_run=dry_run))

    async def delete(self, ref: ObjectRef, uid: str, resource_version: str = "") -> None:
        await self._noted("delete", ref, super().delete(ref, uid, resource_version))

    async def _noted(self, verb: str, ref: ObjectRef, call: Any) -> Any:
        self.writes.append(f"{verb} {ref.kind}/{ref.name if ref.kind != 'Secret' else 'journal'}")
        dies = self.crashes and len(self.writes) - 1 == self.dies_at
        if dies and not self.arrives:
            call.close()
            raise Crash
        answer = await call
        if dies:
            raise Crash
        return answer


def config(day: str) -> Manifest:
    metadata = {"name": "old", "namespace": "payments"}
    return Manifest.of({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"DAY": day}})


async def move(cluster: MemoryCluster, change: Change = CHANGE, transitions: int = 1) -> int:
    store = JournalStore(cluster, "interlock")
    return await promote(cluster, store, RUN, change, transitions=transitions, try_number=1, now=lambda: NOW)


async def written(cluster: MemoryCluster) -> Written:
    return await JournalStore(cluster, "interlock").service(RUN, "a")


async def back(cluster: MemoryCluster, transitions: int = 1) -> tuple[str, ...]:
    store = JournalStore(cluster, "interlock")
    done = await take_back(cluster, store, RUN, await written(cluster), transitions=transitions)
    assert done.conflicts == ()
    return done.restored


async def values(cluster: MemoryCluster) -> tuple[object, object, object]:
    """The image, and the key in both ConfigMaps; None for an object that isn't there."""
    found = await cluster.get_all([WORKLOAD, OLD, NEW])
    read = [(WORKLOAD, IMAGE), (OLD, DAY), (NEW, DAY)]
    return tuple(None if (live := found[ref]) is None else get(live.raw, path) for ref, path in read)  # type: ignore[return-value]


async def test_objects_are_written_in_order_each_stamped_by_one_request() -> None:
    cluster = Cluster()
    assert await move(cluster) == 2
    assert cluster.writes == [
        "create Secret/journal",
        "create ConfigMap/new",
        "replace ConfigMap/old",
        "replace Deployment/a",
        "replace Secret/journal",
    ]
    assert await values(cluster) == ("a:2", "2", "9")
    for live in (await cluster.get_all([WORKLOAD, OLD, NEW])).values():
        assert live is not None
        assert live.annotations[FENCE] == "1"
    journal = (await written(cluster)).journal
    assert [(m.ref, m.state) for m in journal.mutations] == [(r, "done") for r in (NEW, OLD, WORKLOAD)]
    assert all(m.uid for m in journal.mutations)


async def test_a_rollback_restores_configuration_first_and_deletes_last() -> None:
    cluster = Cluster()
    await move(cluster)
    cluster.writes.clear()
    await back(cluster)
    assert cluster.writes == [
        "replace ConfigMap/old",
        "replace Deployment/a",
        "delete ConfigMap/new",
        "replace Secret/journal",
    ]
    assert await values(cluster) == ("a:1", "1", None)


@pytest.mark.parametrize("arrives", [False, True])
@pytest.mark.parametrize("at", range(5))
async def test_a_worker_that_dies_at_any_write_goes_on_at_the_retry_or_goes_back(
    at: int, arrives: bool
) -> None:
    for retried in (True, False):
        cluster = Cluster()
        cluster.dies_at, cluster.arrives = at, arrives
        with pytest.raises(Crash):
            await move(cluster)
        if retried:
            await move(cluster)
            assert await values(cluster) == ("a:2", "2", "9")
            creations = [w for w in cluster.writes if w == "create ConfigMap/new"]
            assert len(creations) == (2 if at == 1 and not arrives else 1)
        if (await written(cluster)).journal.moved:
            await back(cluster)
        assert await values(cluster) == ("a:1", "1", None)


class Forgetful(Cluster):
    """The answer to one write is lost: the client sends it again, and finds its own write in the way."""

    async def _noted(self, verb: str, ref: ObjectRef, call: Any) -> Any:
        answer = await super()._noted(verb, ref, call)
        if len(self.writes) - 1 == self.dies_at and verb != "delete":
            raise Conflict(f"{ref} has moved on", 409)
        return answer


@pytest.mark.parametrize("at", range(5))
async def test_a_write_whose_answer_was_lost_is_found_as_made(at: int) -> None:
    cluster = Forgetful()
    cluster.dies_at = at
    cluster.crashes = False
    assert await move(cluster) == 2
    assert await values(cluster) == ("a:2", "2", "9")
    journal = (await written(cluster)).journal
    assert {m.state for m in journal.mutations} == {"done"}


async def test_of_two_tries_one_alone_gets_its_intent_into_the_journal() -> None:
    class Rival(MemoryCluster):
        async def create(self, manifest: Manifest, *, dry_run: bool = False) -> Manifest:
            if manifest.kind == "Secret" and "fence" not in self.__dict__:
                self.fence = True
                await promote(
                    self,
                    JournalStore(self, "interlock"),
                    RUN,
                    CHANGE,
                    transitions=1,
                    try_number=2,
                    now=lambda: NOW,
                )
            return await super().create(manifest, dry_run=dry_run)

    cluster = Rival(deployment("a"), config("1"))
    with pytest.raises(Refused, match="written by somebody else in between"):
        await move(cluster)
    assert await values(cluster) == ("a:2", "2", "9")


async def test_a_late_worker_is_refused_by_every_object_that_a_rollback_touched() -> None:
    cluster = Cluster()
    cluster.dies_at, cluster.arrives = 2, False  # the new ConfigMap is there, the old one not yet written
    with pytest.raises(Crash):
        await move(cluster)
    late = await cluster.get_all([WORKLOAD, OLD])
    await back(cluster)
    for live in late.values():
        assert live is not None
        with pytest.raises(Conflict):
            await cluster.replace(live)
    with pytest.raises(Refused, match="later than our '1'"):
        await move(cluster)
    assert await values(cluster) == ("a:1", "1", None)


async def test_what_a_late_worker_creates_it_deletes_again_once_it_finds_its_journal_ended() -> None:
    class Late(Cluster):
        async def create(self, manifest: Manifest, *, dry_run: bool = False) -> Manifest:
            if manifest.ref == NEW:  # right before the request, the run's rollback comes and goes
                store = JournalStore(cluster, "interlock")
                await take_back(cluster, store, RUN, await written(cluster), transitions=1)
            return await super().create(manifest, dry_run=dry_run)

    cluster = Late()
    only = replace(CHANGE, writes=(), objects=CHANGE.objects[:1])
    with pytest.raises(Refused, match="what was created in between is deleted"):
        await move(cluster, only)
    assert await values(cluster) == ("a:1", "1", None)
    assert (await written(cluster)).journal.outcome == "rolled-back"


async def test_an_object_that_somebody_else_created_meanwhile_is_neither_written_nor_deleted() -> None:
    cluster = Cluster()
    theirs = Manifest.of({**config("7").raw, "metadata": {"name": "new", "namespace": "payments"}})
    await MemoryCluster.create(cluster, theirs)
    with pytest.raises(Refused, match="ConfigMap/new is there already, and not by this run"):
        await move(cluster)
    assert await values(cluster) == ("a:1", "1", "7")
    assert cluster.writes == []


async def test_a_field_that_somebody_took_over_since_the_plan_is_not_taken_from_them() -> None:
    cluster = Cluster()
    live = await cluster.get(OLD)
    assert live is not None
    theirs = [{"manager": "ci", "operation": "Apply", "fieldsV1": {"f:data": {"f:DAY": {}}}}]
    owned = put(live.raw, FieldPath.of("metadata", "managedFields"), theirs)
    await MemoryCluster.replace(cluster, Manifest.of(owned))
    with pytest.raises(Refused, match=r"ConfigMap/old data.DAY is owned by ci.*Clear the task `plan`"):
        await move(cluster)
    assert (await values(cluster))[:2] == ("a:1", "1")


async def test_a_deletion_is_planned_journaled_and_taken_back_by_creating_the_object_again() -> None:
    cluster = Cluster()
    change = Change(
        "a",
        WORKLOAD,
        (FieldWrite(IMAGE, "a:1", "a:2"),),
        objects=(ObjectChange(OLD, (FieldWrite(DAY, "1", ABSENT),), "delete"),),
    )
    await move(cluster, change)
    assert cluster.writes[1:3] == ["replace Deployment/a", "delete ConfigMap/old"]
    assert await values(cluster) == ("a:2", None, None)
    await move(cluster, change)
    restored = await back(cluster)
    assert "ConfigMap/old, which this run deleted, is created again" in restored
    assert await values(cluster) == ("a:1", "1", None)


async def test_a_created_object_says_which_run_created_it() -> None:
    cluster = Cluster()
    await move(cluster)
    live = await cluster.get(NEW)
    assert live is not None
    assert get(live.raw, CREATED_BY) == RUN
