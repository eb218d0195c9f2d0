"""Runs that can no longer end themselves: what they moved goes back, and their locks are given up.

A train's own tasks take it back. A run that was deleted, or that ended without its `close`, has none that
could: its journal stays open. What is done here follows from the journal alone, in the reverse of the plan's
order, and is safe to repeat.

One Airflow to a journal namespace: to another one, this one's runs would look deleted.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime

from interlock.clients import locks
from interlock.clients.journal import JournalStore, Written
from interlock.clients.kubernetes import KubernetesClient
from interlock.clients.workloads import Refused, take_back
from interlock.trains.entries import Head, head_name, run_hash
from interlock.trains.lock import holder_in, holder_of
from interlock.trains.model import Environment
from interlock.trains.plan import Plan
from interlock.trains.rollback import Standing, to_take_back

BY = "train_watchdog"


@dataclass(frozen=True)
class Found:
    """What one environment has of runs: the open journals, and the holders of locks."""

    heads: tuple[Head, ...]
    holders: tuple[str, ...]


@dataclass
class Ended:
    """What was done for one run.

    Attributes:
        did: each thing that was done, as text.
        restored: the fields that were restored, by service.
        not_whole: the services that aren't as before, and why.
    """

    did: list[str] = field(default_factory=list)
    restored: dict[str, tuple[str, ...]] = field(default_factory=dict)
    not_whole: dict[str, str] = field(default_factory=dict)

    def statement(self, head: Head, why: str) -> dict[str, object]:
        """What is to be said of it for the record: the fields of a `rollback` statement."""
        verdicts = [
            (service, "rolled-back", "") for service in self.restored if service not in self.not_whole
        ]
        verdicts += [(service, "not-whole", reason) for service, reason in self.not_whole.items()]
        return {
            "train": head.train,
            "environment": head.environment,
            "reason": why,
            "outcome": f"ended by {BY}",
            "whole": not self.not_whole,
            "order": list(self.restored),
            "restored": [{"path": path} for paths in self.restored.values() for path in paths],
            "services": [
                {"service": service, "verdict": verdict, "reason": reason}
                for service, verdict, reason in verdicts
            ],
        }


def run_of(holder: str) -> tuple[str, str] | None:
    """The DAG id and run id in a holder's name; None if it isn't a run."""
    dag_id, slash, run_id = holder.partition("/")
    return (dag_id, run_id) if dag_id and slash and run_id else None


async def look(client: KubernetesClient, environment: Environment) -> Found:
    """The environment's open journals, and who holds locks."""
    heads = await JournalStore(client, environment.journal_namespace).open_heads()
    leases = await locks.all_held(client, environment.journal_namespace)
    return Found(
        tuple(head for head in heads if head.environment == environment.name),
        tuple(sorted({holder_in(lease) for lease in leases})),
    )


async def end_run(
    client: KubernetesClient, environment: Environment, head: Head, why: str, now: datetime
) -> Ended:
    """Stop the run's line and take back what it moved; its journal stays open until `close_run`.

    Raises:
        KubernetesError: the API server refused or is away; this can be repeated.
    """
    store = JournalStore(client, environment.journal_namespace)
    done = Ended()
    await store.stop(head_name(head.run), by=BY, why=why, now=now)
    if head.stop is None:
        done.did.append(f"raised the stop flag: {why}")
    plan = Plan.from_json(head.plan) if head.plan else Plan.of(head.train, head.environment, [])
    # First nothing may begin any more, then everything goes back that can.
    journals = await store.services(head.run, [change.service for change in plan.changes])
    for written in journals.values():
        await store.seal(head.run, written, why)
    journals = await store.services(head.run, list(journals))
    standings = {
        change.service: Standing(changes=change.moves, moved=journals[change.service].journal.moved)
        for change in plan.changes
    }
    decision = to_take_back(
        plan.edges, standings, failed=why, scope=plan.rollback, irreversible=plan.irreversible
    )
    for service, reason in decision.kept:
        await store.keep(head.run, journals[service], reason)
        done.not_whole[service] = f"it stays: {reason}"
    for service in decision.back:
        await _back(client, store, head.run, service, done)
    return done


async def close_run(
    client: KubernetesClient, environment: Environment, head: Head, now: datetime, *, whole: bool
) -> list[str]:
    """Close the run's journal and release its locks; what was done, as text."""
    await JournalStore(client, environment.journal_namespace).close(head.run, now, whole=whole)
    holder = holder_of(head.dag_id, head.run_id)
    released = await locks.release_all(client, environment.journal_namespace, holder, now)
    return ["closed the journal", *(f"released {lease}" for lease in released)]


async def note_paused(
    client: KubernetesClient, environment: Environment, head: Head, paused: bool, now: datetime
) -> str:
    """Keep on the run's head since when its DAG is paused; that time, empty if it isn't."""
    if paused == bool(head.paused_since):
        return head.paused_since
    since = now if paused else None
    await JournalStore(client, environment.journal_namespace).pause(head.run, since)
    return since.isoformat(timespec="seconds") if since else ""


async def release_left(
    client: KubernetesClient, environment: Environment, holders: Iterable[str], now: datetime
) -> list[str]:
    """Release what runs that ended still hold, where their journal is closed or was never opened."""
    store = JournalStore(client, environment.journal_namespace)
    released = []
    for holder in holders:
        run = run_of(holder)
        if run is None:
            continue
        head = await store.head(run_hash(*run))
        if head is None or head.closed:
            names = await locks.release_all(client, environment.journal_namespace, holder, now)
            released += [f"{name}, held by {holder}" for name in names]
    return released


async def _back(client: KubernetesClient, store: JournalStore, run: str, service: str, done: Ended) -> None:
    written = await store.service(run, service)
    if not written.journal.moved:
        return
    transitions = written.journal.mutations[-1].transitions
    try:
        taken = await take_back(client, store, run, written, transitions=transitions)
    except Refused as refused:
        ended = written.journal.ended("not-whole", str(refused))
        await store.write(run, Written(ended, written.version))
        done.not_whole[service] = str(refused)
        return
    done.restored[service] = taken.restored
    done.did += [f"{service}: restored {path}" for path in taken.restored]
    if taken.conflicts:
        done.not_whole[service] = "; ".join(map(str, taken.conflicts))
