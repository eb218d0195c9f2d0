"""Locks that runs which have ended still hold; on a cluster in memory."""

from __future__ import annotations

from memory_cluster import MemoryCluster
from moved_train import DAG, HOLDER, NOW, RUN, SANDBOX, deployment, moved

from interlock.clients.abandoned import (
    look,
    release_left,
    run_of,
)
from interlock.clients.journal import JournalStore
from interlock.clients.locks import all_held, take_all
from interlock.trains.entries import Head


async def test_a_lock_that_was_taken_anew_since_the_look_is_not_released() -> None:
    cluster = await moved()
    found = await look(cluster, SANDBOX, (), NOW)
    await JournalStore(cluster, "interlock").close(found.heads[0], NOW, "all-new")
    await take_all(cluster, "payments", "interlock", ["a"], HOLDER, NOW)
    assert await release_left(cluster, SANDBOX, found.leases, NOW) == [f"payments.b, held by {HOLDER}"]


async def test_locks_are_released_only_where_the_journal_is_closed_or_missing() -> None:
    cluster = MemoryCluster(deployment("a"))
    for service, holder in (("a", f"{DAG}/open"), ("b", f"{DAG}/closed"), ("c", f"{DAG}/missing")):
        await take_all(cluster, "payments", "interlock", [service], holder, NOW)
    store = JournalStore(cluster, "interlock")
    for run in ("open", "closed"):
        await store.open(Head(DAG, run, "payments", "sandbox", {}, NOW))
    await store.close(Head(DAG, "closed", "payments", "sandbox", {}, NOW), NOW, "all-new")
    found = await look(cluster, SANDBOX, (), NOW)
    assert found.holders == (f"{DAG}/closed", f"{DAG}/missing", f"{DAG}/open")

    released = await release_left(cluster, SANDBOX, found.leases, NOW)

    assert released == [
        f"payments.b, held by {DAG}/closed",
        f"payments.c, held by {DAG}/missing",
    ]
    assert [lease.name for lease in await all_held(cluster, "interlock")] == ["payments.a"]


def test_a_holder_names_a_run() -> None:
    assert run_of(HOLDER) == (DAG, RUN)
    assert run_of("dag/with/slashes") == ("dag", "with/slashes")
    assert run_of("somebody") is None
