"""Runs that can no longer end themselves: what they moved goes back, and their locks are given up.

A train's own tasks take it back. A run that was deleted, or that ended without its `close`, has none that
could: its journal stays open. What is done here follows from the journal alone, in the reverse of the plan's
order, and is safe to repeat.

One Airflow to a journal namespace: to another one, this one's runs would look deleted.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from interlock.clients import locks
from interlock.clients.ending import end, turn_back
from interlock.clients.journal import JournalStore, Written
from interlock.clients.kubernetes import KubernetesClient, KubernetesError
from interlock.clients.settled import judged
from interlock.clients.workloads import Refused, take_back
from interlock.manifest import Manifest
from interlock.trains.entries import Head, run_hash
from interlock.trains.lock import holder_in
from interlock.trains.model import Environment
from interlock.trains.outcome import RunOutcome, ServiceOutcome, verdict
from interlock.trains.plan import Plan
from interlock.trains.resume import transitions
from interlock.trains.rollback import Decision, Standing, to_take_back

BY = "train_watchdog"
PATIENCE_SECONDS = 120.0
"""A rollback is a rollout like any other; the watchdog comes again every two minutes."""
RECENT = timedelta(days=2)
"""For how long after its beginning it is looked at whether Airflow shows a run as what it was."""


@dataclass(frozen=True)
class Found:
    """What one environment has of runs.

    Attributes:
        heads: the open journals.
        leases: the locks that somebody holds.
        unreadable: open journals whose head can't be read, why.
        strays: open journals in its namespace whose environment no file names any more.
        headless: by run hash, the services whose journals are there although their run's head is gone.
        gone_back: runs that ended otherwise than all new, not long ago.
    """

    heads: tuple[Head, ...]
    leases: tuple[Manifest, ...]
    unreadable: tuple[str, ...] = ()
    strays: tuple[Head, ...] = ()
    headless: Mapping[str, list[str]] = field(default_factory=dict)
    gone_back: tuple[Head, ...] = ()

    @property
    def holders(self) -> tuple[str, ...]:
        """Who holds locks."""
        return tuple(sorted({holder_in(lease) for lease in self.leases}))


@dataclass
class Ended:
    """What was done for one run, and what was seen of it afterwards.

    Attributes:
        verdict: how its services were seen then, by what is live.
        did: each thing that was done, as text.
        restored: the fields that were restored, by service.
        refused: the services that could not be taken back, and why.
        failed: the services whose restoring the API server rejected just now, and why.
    """

    verdict: RunOutcome = field(default_factory=lambda: verdict(()))
    did: list[str] = field(default_factory=list)
    restored: dict[str, tuple[str, ...]] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)

    @property
    def not_whole(self) -> dict[str, str]:
        """The services that aren't as before, and why."""
        return {
            found.service: f"it stays: {found.reason}" if found.state == "kept" else found.reason
            for found in self.verdict.services
            if found.state in ("not-whole", "kept")
        }

    def statement(self, head: Head, why: str) -> dict[str, object]:
        """What was done and seen, for the record: the fields of a `rollback` statement."""
        return {
            "train": head.train,
            "environment": head.environment,
            "reason": why,
            "outcome": f"ended by {BY}",
            "whole": self.verdict.state != "not-whole",
            "order": list(self.restored),
            "restored": [{"path": path} for paths in self.restored.values() for path in paths],
            "services": [
                {"service": found.service, "verdict": found.state, "reason": found.reason}
                for found in self.verdict.services
            ],
        }


def run_of(holder: str) -> tuple[str, str] | None:
    """The DAG id and run id in a holder's name; None if it isn't a run."""
    dag_id, slash, run_id = holder.partition("/")
    return (dag_id, run_id) if dag_id and slash and run_id else None


async def look(
    client: KubernetesClient, environment: Environment, known: Collection[str], now: datetime
) -> Found:
    """The environment's open journals, what has ended not long ago, and who holds locks.

    Args:
        client: an opened client.
        environment: the environment.
        known: the names of all environments.
        now: the present.
    """
    store = JournalStore(client, environment.journal_namespace)
    heads, unreadable = await store.open_runs()
    leases = await locks.all_held(client, environment.journal_namespace)
    return Found(
        tuple(head for head in heads if head.environment == environment.name),
        tuple(leases),
        tuple(unreadable),
        tuple(head for head in heads if head.environment not in (environment.name, *known)),
        await store.headless(),
        tuple(head for head in await store.gone_back(now - RECENT) if head.environment == environment.name),
    )


async def end_run(
    client: KubernetesClient,
    environment: Environment,
    head: Head,
    why: str,
    now: datetime,
    patience: float = PATIENCE_SECONDS,
) -> Ended:
    """Stop the run's line, take back what it moved, and look; its journal stays open until `close_run`.

    Args:
        client: an opened client.
        environment: where the run went.
        head: the run.
        why: why it can't end itself.
        now: the present.
        patience: for how many seconds rollouts that go on are waited for, all of them together.

    Raises:
        KubernetesError: the API server refused or is away; this can be repeated.
    """
    store = JournalStore(client, environment.journal_namespace)
    plan, done = Plan.from_json(head.plan), Ended()
    services = [change.service for change in plan.changes]

    def judge(journals: Mapping[str, Written]) -> Decision:
        standings = {
            change.service: Standing(
                changes=change.moves,
                moved=journals[change.service].journal.moved,
                # The run itself has decided that it stays.
                verified=journals[change.service].journal.outcome == "kept",
            )
            for change in plan.changes
        }
        return to_take_back(
            plan.edges, standings, failed=why, scope=plan.rollback, irreversible=plan.irreversible
        )

    if head.stop is None:
        done.did.append(f"raised the stop flag: {why}")
    decision = await turn_back(store, head, services, judge, by=BY, why=why, now=now)
    for service in decision.back:
        await _back(client, store, head.run, service, done)
    journals = await store.services(head.run, services)
    # What could not go back is another's by now, and not waited for.
    unmoved = {**done.refused, **done.failed}
    awaited = [change for change in plan.changes if change.service not in unmoved]
    found = {one.service: one for one in await judged(client, awaited, journals, patience=patience)}
    done.verdict = verdict(
        [
            _seen(found[change.service])
            if change.service in found
            else ServiceOutcome(change.service, "not-whole", unmoved[change.service])
            for change in plan.changes
        ],
        [why],
    )
    return done


async def close_run(
    client: KubernetesClient, environment: Environment, head: Head, done: Ended, now: datetime
) -> list[str]:
    """Close the run's journal as it was seen, and release its locks; what was done, as text."""
    store = JournalStore(client, environment.journal_namespace)
    journals = await store.services(head.run, [found.service for found in done.verdict.services])
    released = await end(client, environment.journal_namespace, head, journals, done.verdict, now)
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
    client: KubernetesClient, environment: Environment, leases: Iterable[Manifest], now: datetime
) -> list[str]:
    """Release what runs that ended still hold, where their journal is closed or was never opened.

    Args:
        client: an opened client.
        environment: the environment.
        leases: the locks as they were read before it was known that their holders have ended: one that was
            taken anew since stays.
        now: the present.
    """
    store = JournalStore(client, environment.journal_namespace)
    released = []
    for lease in leases:
        run = run_of(holder_in(lease))
        line = await store.line(run_hash(*run)) if run else None
        if run and (line is None or line.closed):
            names = await locks.give_back(client, [lease], now)
            released += [f"{name}, held by {holder_in(lease)}" for name in names]
    return released


def _seen(found: ServiceOutcome) -> ServiceOutcome:
    if found.settling:
        return replace(found, reason=f"taken back, not yet seen ready: {found.reason}")
    return found


async def _back(client: KubernetesClient, store: JournalStore, run: str, service: str, done: Ended) -> None:
    written = await store.service(run, service)
    if not written.journal.moved or written.journal.outcome == "kept":
        return
    try:
        taken = await take_back(
            client, store, run, written, transitions=transitions(written.journal.mutations)
        )
    except Refused as refused:
        ended = written.journal.ended("not-whole", str(refused))
        await store.write(run, Written(ended, written.version))
        done.refused[service] = str(refused)
        return
    except KubernetesError as error:
        if not 400 <= error.status < 500:
            raise
        # It is this object that is refused, by a webhook say: the others are not to wait for it.
        done.failed[service] = str(error)
        return
    done.restored[service] = taken.restored
    done.did += [f"{service}: restored {path}" for path in taken.restored]
    if taken.conflicts:
        done.refused[service] = "; ".join(map(str, taken.conflicts))
