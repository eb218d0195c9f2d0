"""Runs that can't end themselves, on a cluster in memory; a real one is in the tests of the sandbox."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime, timedelta

import pytest
from memory_cluster import MemoryCluster
from moved_train import DAG, HOLDER, IMAGE, NOW, RUN, SANDBOX, deployment, image, moved, ref

from interlock.cli import status
from interlock.clients.abandoned import (
    BY,
    Ended,
    close_run,
    end_run,
    look,
    note_paused,
)
from interlock.clients.journal import JournalStore, Reopened
from interlock.clients.kubernetes import KubernetesError
from interlock.clients.locks import all_held, take_all
from interlock.clients.workloads import BACK
from interlock.evidence.statement import Run, make_statement
from interlock.manifest import Manifest, ObjectRef
from interlock.trains.entries import run_hash
from interlock.trains.fields import put
from interlock.trains.journal import KIND_LABEL, STATE_LABEL
from interlock.trains.lock import FENCE
from interlock.trains.plan import Plan

WHY = "the run was deleted with its journal open"


HASH = run_hash(DAG, RUN)


async def _end(cluster: MemoryCluster) -> Ended:
    (head,) = (await look(cluster, SANDBOX, (), NOW)).heads
    done = await end_run(cluster, SANDBOX, head, WHY, NOW)
    assert await JournalStore(cluster, "interlock").open_heads() != []
    await close_run(cluster, SANDBOX, head, done, NOW)
    return done


async def test_what_was_moved_goes_back_in_reverse_order() -> None:
    cluster = await moved()
    assert [await image(cluster, name) for name in "ab"] == ["a:2", "b:2"]

    done = await _end(cluster)

    assert [await image(cluster, name) for name in "ab"] == ["a:1", "b:1"]
    restored = [line.partition(":")[0] for line in done.did if "restored" in line]
    assert restored == ["b", "a"]
    assert done.not_whole == {}
    assert await all_held(cluster, "interlock") == []
    head = await JournalStore(cluster, "interlock").head(HASH)
    assert head is not None
    assert head.closed
    assert head.stop is not None
    assert (head.stop.by, head.stop.why) == (BY, WHY)
    assert (await look(cluster, SANDBOX, (), NOW)).heads == ()


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
    ((service, problem),) = done.not_whole.items()
    assert service == "a"
    assert "a:hotfix" in problem
    journal = (await JournalStore(cluster, "interlock").service(HASH, "a")).journal
    assert journal.outcome == "not-whole"
    assert await all_held(cluster, "interlock") == []


async def test_a_service_that_another_run_took_over_is_not_whole_and_the_rest_goes_back() -> None:
    cluster = await moved()
    await cluster.merge(ref("b"), {"metadata": {"annotations": {FENCE: "7"}}})

    done = await _end(cluster)

    assert [await image(cluster, name) for name in "ab"] == ["a:1", "b:2"]
    assert list(done.not_whole) == ["b"]


async def test_a_service_that_did_not_move_can_not_begin_any_more() -> None:
    cluster = await moved()
    store = JournalStore(cluster, "interlock")
    (head,) = await store.open_heads()
    other = replace(head, run_id="manual__2")
    await store.open(other)
    done = await end_run(cluster, SANDBOX, other, WHY, NOW)
    # Another run moved them: what is live is not as before, and this run's journal says nothing of it.
    assert all("journal does not say that it moved" in why for why in done.not_whole.values())
    assert list(done.not_whole) == ["a", "b"]
    journal = (await store.service(other.run, "a")).journal
    assert journal.outcome == "failed"
    assert WHY in journal.reason


async def test_ending_a_run_twice_changes_nothing_more() -> None:
    cluster = await moved()
    (head,) = (await look(cluster, SANDBOX, (), NOW)).heads
    await end_run(cluster, SANDBOX, head, WHY, NOW)
    before = await cluster.get(ref("a"))
    again = await end_run(cluster, SANDBOX, head, WHY, NOW)
    assert await cluster.get(ref("a")) == before
    assert again.not_whole == {}


async def test_what_is_said_for_the_record_names_each_service_and_is_allowed_to_be_said() -> None:
    cluster = await moved()
    live = await cluster.get(ref("a"))
    assert live is not None
    await cluster.replace(type(live).of(put(live.raw, IMAGE, "a:hotfix")))
    (head,) = (await look(cluster, SANDBOX, (), NOW)).heads
    said = (await end_run(cluster, SANDBOX, head, WHY, NOW)).statement(head, WHY)

    assert (said["train"], said["environment"], said["reason"]) == ("payments", "sandbox", WHY)
    assert said["whole"] is False
    assert said["order"] == ["b", "a"]
    found = {item["service"]: item["verdict"] for item in said["services"]}  # type: ignore[attr-defined]
    assert found == {"b": "old", "a": "not-whole"}
    statement = make_statement("rollback", run=Run(head.dag_id, head.run_id), fields=said, at=NOW)
    assert statement.dropped == 0
    assert statement.run.hash == head.run


async def test_a_run_that_is_started_over_while_the_watchdog_waits_is_left_to_itself() -> None:
    cluster = await moved()
    (head,) = (await look(cluster, SANDBOX, (), NOW)).heads
    done = await end_run(cluster, SANDBOX, head, WHY, NOW, patience=0)
    later = NOW + timedelta(minutes=1)
    assert isinstance(await take_all(cluster, "payments", "interlock", ["a", "b"], HOLDER, later), dict)
    store = JournalStore(cluster, "interlock")
    await store.open(replace(head, opened_at=later, stop=None))

    with pytest.raises(Reopened, match="started over"):
        await close_run(cluster, SANDBOX, head, done, later)
    assert len(await all_held(cluster, "interlock")) == 2
    (reopened,) = await store.open_heads()
    assert reopened.opened_at == later


async def test_what_the_run_itself_decided_to_keep_stays() -> None:
    cluster = await moved()
    store = JournalStore(cluster, "interlock")
    (head,) = await store.open_heads()
    changes = Plan.from_json(head.plan).changes
    narrow = Plan.of("payments", "sandbox", changes, rollback="service")
    await store.open(replace(head, plan=narrow.to_json()))
    await store.keep(head.run, await store.service(head.run, "a"), "it is verified")
    (head,) = await store.open_heads()
    done = await end_run(cluster, SANDBOX, head, WHY, NOW, patience=0)
    assert [await image(cluster, name) for name in "ab"] == ["a:2", "b:1"]
    assert "a" in done.not_whole


async def test_an_object_that_a_webhook_denies_keeps_no_other_service_from_going_back() -> None:
    class Denying(MemoryCluster):
        async def replace(self, manifest: Manifest, *, dry_run: bool = False) -> Manifest:
            if manifest.ref == ref("b"):
                raise KubernetesError("admission webhook denied the request", 422, "Invalid")
            return await super().replace(manifest, dry_run=dry_run)

    cluster = Denying()
    cluster.__dict__ |= (await moved()).__dict__
    (head,) = (await look(cluster, SANDBOX, (), NOW)).heads
    done = await end_run(cluster, SANDBOX, head, WHY, NOW, patience=0)
    assert [await image(cluster, name) for name in "ab"] == ["a:1", "b:2"]
    assert "webhook denied" in done.failed["b"]


async def test_a_head_that_can_not_be_read_hides_no_other_run() -> None:
    cluster = await moved()
    damaged = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": "journal-damaged",
            "namespace": "interlock",
            "labels": {KIND_LABEL: "run", STATE_LABEL: "open"},
        },
        "data": {},
    }
    await cluster.create(Manifest.of(damaged))
    store = JournalStore(cluster, "interlock")
    elsewhere = replace((await store.open_heads())[0], run_id="r", environment="gone")
    await store.open(elsewhere)
    found = await look(cluster, SANDBOX, ("sandbox", "other"), NOW)
    assert [head.run_id for head in found.heads] == [RUN]
    assert ["journal-damaged" in why for why in found.unreadable] == [True]
    assert [head.environment for head in found.strays] == ["gone"]
    assert any("UNREADABLE" in line for line in await status(cluster, SANDBOX))


async def test_a_paused_dag_is_noted_once_and_until_it_goes_on() -> None:
    cluster = await moved()
    later = NOW + timedelta(minutes=2)

    async def noted(paused: bool, now: datetime) -> str:
        (head,) = (await look(cluster, SANDBOX, (), NOW)).heads
        return await note_paused(cluster, SANDBOX, head, paused, now)

    assert await noted(False, NOW) == ""
    assert await noted(True, NOW) == await noted(True, later) == "2026-03-01T12:00:00+00:00"
    assert any("PAUSED since 2026-03-01T12:00" in line for line in await status(cluster, SANDBOX))
    assert await noted(False, later) == ""
    assert not any("PAUSED" in line for line in await status(cluster, SANDBOX))


async def test_journals_of_another_environment_are_left_alone() -> None:
    cluster = await moved()
    assert (await look(cluster, replace(SANDBOX, name="production"), (), NOW)).heads == ()


def _whole(name: str, *, replicas: int = 1) -> Manifest:
    live = deployment(name).raw
    counts = dict.fromkeys(("replicas", "updatedReplicas", "availableReplicas"), replicas)
    return Manifest.of({**live, "status": {"observedGeneration": 99, **counts}})


async def test_a_rollout_that_is_not_seen_ready_is_not_called_whole() -> None:
    cluster = await moved(_whole("a"), _whole("b"))
    live = await cluster.get(ref("a"))
    assert live is not None
    status = {**live.raw["status"], "availableReplicas": 0}
    await cluster.replace(Manifest.of({**live.raw, "status": status}))
    (head,) = (await look(cluster, SANDBOX, (), NOW)).heads

    done = await end_run(cluster, SANDBOX, head, WHY, NOW, patience=0)

    assert await image(cluster, "a") == "a:1"
    assert list(done.not_whole) == ["a"]
    assert done.not_whole["a"].startswith("taken back, not yet seen ready: ")
    assert done.statement(head, WHY)["whole"] is False
    await close_run(cluster, SANDBOX, head, done, NOW)
    assert (await JournalStore(cluster, "interlock").service(HASH, "a")).journal.outcome == "not-whole"


async def test_a_rollout_that_comes_to_its_end_meanwhile_is_whole() -> None:
    class Slow(MemoryCluster):
        """Its controllers finish before the second look."""

        looks = 0

        async def get_all(self, refs: Iterable[ObjectRef]) -> dict[ObjectRef, Manifest | None]:
            found = await super().get_all(refs)
            if len(found) == 2:  # the look at both, after each was restored
                self.looks += 1
                for one in filter(None, found.values()):
                    counts = dict.fromkeys(("replicas", "updatedReplicas", "availableReplicas"), 1)
                    seen = {"observedGeneration": one.generation, **counts}
                    await self.replace(Manifest.of({**one.raw, "status": seen}))
            return found

    cluster = await moved(_whole("a"), _whole("b"))
    for name in "ab":
        live = await cluster.get(ref(name))
        assert live is not None
        await cluster.replace(Manifest.of({**live.raw, "status": {"observedGeneration": 0}}))
    cluster.__class__ = Slow
    assert isinstance(cluster, Slow)
    (head,) = (await look(cluster, SANDBOX, (), NOW)).heads
    done = await end_run(cluster, SANDBOX, head, WHY, NOW, patience=10)
    assert done.not_whole == {}
    assert done.verdict.state == "all-old"
    assert cluster.looks == 2


async def test_what_somebody_does_after_the_write_is_seen() -> None:
    cluster = await moved()
    (head,) = (await look(cluster, SANDBOX, (), NOW)).heads
    await end_run(cluster, SANDBOX, head, WHY, NOW)
    live = await cluster.get(ref("a"))
    assert live is not None
    await cluster.replace(type(live).of(put(live.raw, IMAGE, "a:hotfix")))

    again = await end_run(cluster, SANDBOX, head, WHY, NOW)

    assert list(again.not_whole) == ["a"]
    assert "a:hotfix" in again.not_whole["a"]
