"""Runs that can't end themselves, on a cluster in memory; a real one is in the tests of the sandbox."""

from __future__ import annotations

from dataclasses import replace

from memory_cluster import MemoryCluster
from moved_train import DAG, HOLDER, IMAGE, NOW, RUN, SANDBOX, deployment, image, moved, ref

from interlock.clients.abandoned import BY, Ended, end_run, look, release_left, run_of
from interlock.clients.journal import JournalStore
from interlock.clients.locks import all_held, take_all
from interlock.clients.workloads import BACK
from interlock.trains.entries import Head, run_hash
from interlock.trains.fields import put
from interlock.trains.lock import FENCE

WHY = "the run was deleted with its journal open"
HASH = run_hash(DAG, RUN)


async def _end(cluster: MemoryCluster) -> Ended:
    (head,) = (await look(cluster, SANDBOX)).heads
    return await end_run(cluster, SANDBOX, head, WHY, NOW)


async def test_what_was_moved_goes_back_in_reverse_order() -> None:
    cluster = await moved()
    assert [await image(cluster, name) for name in "ab"] == ["a:2", "b:2"]

    done = await _end(cluster)

    assert [await image(cluster, name) for name in "ab"] == ["a:1", "b:1"]
    restored = [line.partition(":")[0] for line in done.did if "restored" in line]
    assert restored == ["b", "a"]
    assert done.not_whole == []
    assert await all_held(cluster, "interlock") == []
    head = await JournalStore(cluster, "interlock").head(HASH)
    assert head is not None
    assert head.closed
    assert head.stop is not None
    assert (head.stop.by, head.stop.why) == (BY, WHY)
    assert (await look(cluster, SANDBOX)).heads == ()


async def test_a_late_write_of_the_dead_run_finds_another_stamp() -> None:
    cluster = await moved()
    await _end(cluster)
    live = await cluster.get(ref("a"))
    assert live is not None
    assert live.annotations[FENCE].endswith(BACK)


async def test_a_field_that_somebody_changed_is_left_and_named() -> None:
    cluster = await moved()
    live = await cluster.get(ref("a"))
    assert live is not None
    await cluster.replace(type(live).of(put(live.raw, IMAGE, "a:hotfix")))

    done = await _end(cluster)

    assert await image(cluster, "a") == "a:hotfix"
    assert await image(cluster, "b") == "b:1"
    (problem,) = done.not_whole
    assert problem.startswith("a: ")
    assert "a:hotfix" in problem
    journal = (await JournalStore(cluster, "interlock").service(HASH, "a")).journal
    assert journal.outcome == "not-whole"
    assert await all_held(cluster, "interlock") == []


async def test_a_service_that_another_run_took_over_is_not_whole_and_the_rest_goes_back() -> None:
    cluster = await moved()
    await cluster.merge(ref("b"), {"metadata": {"annotations": {FENCE: "7"}}})

    done = await _end(cluster)

    assert [await image(cluster, name) for name in "ab"] == ["a:1", "b:2"]
    assert [line.partition(":")[0] for line in done.not_whole] == ["b"]


async def test_a_service_that_did_not_move_can_not_begin_any_more() -> None:
    cluster = await moved()
    store = JournalStore(cluster, "interlock")
    (head,) = await store.open_heads()
    other = replace(head, run_id="manual__2")
    await store.open(other)
    done = await end_run(cluster, SANDBOX, other, WHY, NOW)
    assert done.not_whole == []
    journal = (await store.service(other.run, "a")).journal
    assert journal.outcome == "failed"
    assert WHY in journal.reason


async def test_ending_a_run_twice_changes_nothing_more() -> None:
    cluster = await moved()
    (head,) = (await look(cluster, SANDBOX)).heads
    await end_run(cluster, SANDBOX, head, WHY, NOW)
    before = await cluster.get(ref("a"))
    again = await end_run(cluster, SANDBOX, head, WHY, NOW)
    assert await cluster.get(ref("a")) == before
    assert again.not_whole == []


async def test_journals_of_another_environment_are_left_alone() -> None:
    cluster = await moved()
    assert (await look(cluster, replace(SANDBOX, name="production"))).heads == ()


async def test_locks_are_released_only_where_the_journal_is_closed_or_missing() -> None:
    cluster = MemoryCluster(deployment("a"))
    for service, holder in (("a", f"{DAG}/open"), ("b", f"{DAG}/closed"), ("c", f"{DAG}/missing")):
        await take_all(cluster, "payments", "interlock", [service], holder, NOW)
    store = JournalStore(cluster, "interlock")
    for run in ("open", "closed"):
        await store.open(Head(DAG, run, "payments", "sandbox", {}, NOW))
    await store.close(run_hash(DAG, "closed"))
    holders = (await look(cluster, SANDBOX)).holders
    assert holders == (f"{DAG}/closed", f"{DAG}/missing", f"{DAG}/open")

    released = await release_left(cluster, SANDBOX, [*holders, "somebody"], NOW)

    assert released == [
        f"payments.b, held by {DAG}/closed",
        f"payments.c, held by {DAG}/missing",
    ]
    assert [lease.name for lease in await all_held(cluster, "interlock")] == ["payments.a"]


def test_a_holder_names_a_run() -> None:
    assert run_of(HOLDER) == (DAG, RUN)
    assert run_of("dag/with/slashes") == ("dag", "with/slashes")
    assert run_of("somebody") is None
