"""Judging services that are between two states just now."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from memory_cluster import MemoryCluster
from moved_train import moved, ref

from interlock.clients import settled
from interlock.clients.journal import JournalStore
from interlock.manifest import Manifest, ObjectRef
from interlock.trains.entries import Head
from interlock.trains.plan import Plan


class Counted(MemoryCluster):
    """A cluster whose rollouts are complete from the read with this number on."""

    def __init__(self, cluster: MemoryCluster, complete_at: int) -> None:
        self.__dict__ |= cluster.__dict__
        self.reads, self.complete_at = 0, complete_at

    async def get_all(self, refs: Iterable[ObjectRef]) -> dict[ObjectRef, Manifest | None]:
        self.reads += 1
        if self.reads == self.complete_at:
            for name in "ab":
                live = await self.get(ref(name))
                assert live is not None
                counts = dict.fromkeys(("replicas", "updatedReplicas", "availableReplicas"), 1)
                status = {"observedGeneration": live.generation, **counts}
                await self.replace(Manifest.of({**live.raw, "status": status}))
        return await super().get_all(refs)


async def _judged(cluster: Counted, patience: float) -> list[str]:
    store = JournalStore(cluster, "interlock")
    (head,) = await store.open_heads()
    assert isinstance(head, Head)
    changes = Plan.from_json(head.plan).changes
    journals = await store.services(head.run, ["a", "b"])
    return [o.state for o in await settled.judged(cluster, changes, journals, patience=patience)]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("complete_at", "patience", "reads", "states"),
    [(1, 60, 1, ["new", "new"]), (3, 60, 3, ["new", "new"]), (3, 0, 1, ["not-whole", "not-whole"])],
)
async def test_a_rollout_that_goes_on_is_given_time(
    monkeypatch: pytest.MonkeyPatch, complete_at: int, patience: float, reads: int, states: list[str]
) -> None:
    monkeypatch.setattr(settled, "AGAIN_SECONDS", 0.0)
    cluster = Counted(await moved(), complete_at)
    assert await _judged(cluster, patience) == states
    assert cluster.reads == reads


async def test_what_is_wrong_is_not_waited_for() -> None:
    cluster = Counted(await moved(), 0)
    for name in "ab":
        live = await cluster.get(ref(name))
        assert live is not None
        await cluster.delete(live.ref, live.uid)
    assert await _judged(cluster, 60) == ["not-whole", "not-whole"]
    assert cluster.reads == 1
