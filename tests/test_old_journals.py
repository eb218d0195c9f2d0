"""Journals of runs that closed long ago, and what is removed of them; on a cluster in memory."""

from __future__ import annotations

from datetime import timedelta

from memory_cluster import MemoryCluster
from moved_train import DAG, NOW, RUN, moved

from interlock.clients.journal import JournalStore, Written
from interlock.clients.old_journals import remove_old
from interlock.manifest import ObjectRef
from interlock.trains.entries import Head, ServiceJournal, head_name, run_hash, service_name
from interlock.trains.journal import STATE_LABEL

HASH = run_hash(DAG, RUN)


async def test_only_what_was_closed_long_ago_is_removed() -> None:
    cluster = await moved()
    store = JournalStore(cluster, "interlock")
    for run, days in (("old", 31), ("recent", 29)):
        head = Head(DAG, run, "payments", "sandbox", {}, NOW - timedelta(days=99))
        await store.open(head)
        await store.write(head.run, Written(ServiceJournal("a"), ""))
        await store.close(head, NOW - timedelta(days=days), "all-new")
    reopened = Head(DAG, "reopened", "payments", "sandbox", {}, NOW - timedelta(days=99))
    await store.open(reopened)
    await store.close(reopened, NOW - timedelta(days=99), "all-new")
    await store.open(reopened)

    removed = await remove_old(cluster, "interlock", NOW, timedelta(days=30))

    assert removed == [head_name(run_hash(DAG, "old"))]
    assert await store.head(run_hash(DAG, "old")) is None
    assert (await store.service(run_hash(DAG, "old"), "a")).version == ""
    for run in ("recent", "reopened", RUN):
        assert await store.head(run_hash(DAG, run)) is not None
    assert (await store.service(run_hash(DAG, "recent"), "a")).version
    assert (await store.service(HASH, "a")).journal.moved


async def test_a_journal_that_says_nothing_of_its_closing_is_kept_from_now_on() -> None:
    cluster = await moved()
    (head,) = await JournalStore(cluster, "interlock").open_heads()
    where = ObjectRef("v1", "Secret", "interlock", head_name(head.run))
    await cluster.merge(where, {"metadata": {"labels": {STATE_LABEL: "closed"}}})
    days = timedelta(days=30)

    assert await remove_old(cluster, "interlock", NOW, days) == []
    assert await remove_old(cluster, "interlock", NOW + days, days) == []
    assert await remove_old(cluster, "interlock", NOW + days * 1.1, days) == [where.name]
    assert (await JournalStore(cluster, "interlock").service(HASH, "a")).version == ""


async def test_a_journal_that_was_opened_anew_meanwhile_stays() -> None:
    cluster = await moved()
    (head,) = await JournalStore(cluster, "interlock").open_heads()
    await JournalStore(cluster, "interlock").close(head, NOW - timedelta(days=99), "all-new")

    class Late(MemoryCluster):
        """Opens the journal anew between the look and the deletion."""

        async def delete(self, ref: ObjectRef, uid: str, resource_version: str = "") -> None:
            await JournalStore(self, "interlock").open(head)
            await super().delete(ref, uid, resource_version)

    cluster.__class__ = Late
    assert await remove_old(cluster, "interlock", NOW, timedelta(days=30)) == []
    assert await JournalStore(cluster, "interlock").open_heads() != []
    assert (await JournalStore(cluster, "interlock").service(HASH, "a")).journal.moved


async def test_what_is_left_of_a_run_whose_head_somebody_deleted_is_kept_as_long() -> None:
    cluster = await moved()
    names = (head_name(HASH), service_name(HASH, "a"))
    head, part = (ObjectRef("v1", "Secret", "interlock", name) for name in names)
    made = NOW - timedelta(days=29)
    await cluster.merge(part, {"metadata": {"creationTimestamp": made.isoformat()}})
    found = await cluster.get(head)
    assert found is not None
    await cluster.delete(head, found.uid)

    await remove_old(cluster, "interlock", NOW, timedelta(days=30))
    assert await JournalStore(cluster, "interlock").headless() == {HASH: ["a", "b"]}

    await remove_old(cluster, "interlock", NOW + timedelta(days=2), timedelta(days=30))
    assert await JournalStore(cluster, "interlock").headless() == {HASH: ["b"]}
