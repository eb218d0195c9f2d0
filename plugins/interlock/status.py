"""What `interlock status` shows: open journals, runs that ended not whole, held locks, waiting evidence."""

from __future__ import annotations

from pathlib import Path

from interlock.clients.journal import JournalStore
from interlock.clients.kubernetes import KubernetesClient
from interlock.clients.locks import all_held
from interlock.clients.spool import Spool, SpoolError
from interlock.trains import lock
from interlock.trains.change import Change
from interlock.trains.entries import Head, ServiceJournal, without_head
from interlock.trains.model import Environment
from interlock.trains.plan import Plan
from interlock.trains.view import text


async def status(client: KubernetesClient, environment: Environment) -> list[str]:
    """The environment's open journals and held locks, as lines.

    A run that still waits for its approval or its locks has no journal, and isn't among them.
    """
    store = JournalStore(client, environment.journal_namespace)
    lines = [f"environment {environment.name}"]
    found, unreadable = await store.open_runs()
    heads = [head for head in found if head.environment == environment.name]
    lines.append(f"open journals (runs that hold their locks): {len(heads)}")
    lines += [f"  UNREADABLE: {why}" for why in unreadable]
    for head in sorted(heads, key=lambda head: head.opened_at):
        lines.append(f"  {head.dag_id}/{head.run_id}, opened {head.opened_at.isoformat(timespec='seconds')}")
        if head.stop is not None:
            lines.append(f"    STOPPED by {head.stop.by} at {head.stop.at}: {head.stop.why}")
        if head.paused_since:
            lines.append(f"    PAUSED since {head.paused_since}: goes neither on nor back; unpause its DAG")
        lines += await _services(store, head)
    for run, services in (await store.headless()).items():
        lines.append(f"  {without_head(run, services)}")
    left = await store.left(environment.name)
    lines.append(f"runs that ended not whole: {len(left)}")
    for head in left:
        lines.append(f"  {name(head)}, opened {head.opened_at.isoformat(timespec='seconds')}")
        lines += await _services(store, head)
    held = await all_held(client, environment.journal_namespace)
    lines.append(f"held locks: {len(held)}")
    for lease in held:
        since = text(lease.raw, "spec", "acquireTime") or "an unknown time"
        lines.append(f"  {lease.name}, held by {lock.holder_in(lease)} since {since}")
    return lines


async def _services(store: JournalStore, head: Head) -> list[str]:
    plan = Plan.from_json(head.plan)
    journals = await store.services(head.run, [change.service for change in plan.changes])
    lines = [f"    it is the undo of {plan.undo_of}"] if plan.undo_of else []
    return lines + [
        f"    {change.service}: {_outcome(change, journals[change.service].journal)}"
        for change in plan.changes
    ]


def _outcome(change: Change, journal: ServiceJournal) -> str:
    """What the journal knows: whether a release soaks or is verified is known to its tasks alone."""
    if journal.outcome is None and not journal.moved:
        return "not moved yet" if change.moves else "was live already, nothing to do"
    if journal.outcome is None:
        moves = [mutation for mutation in journal.mutations if mutation.moves]
        at = max(mutation.at for mutation in moves).isoformat(timespec="seconds")
        if any(mutation.state == "intent" for mutation in moves):
            return f"is being written since {at}"
        return f"promoted at {at}; whether it is verified says its task {change.service}.verify"
    outcome = "NOT WHOLE" if journal.outcome == "not-whole" else journal.outcome
    return f"{outcome}: {journal.reason}" if journal.reason else outcome


def spool_lines(folder: Path) -> list[str]:
    """How many statements wait, and since when; nothing where there is no spool."""
    if not folder.is_dir():
        return []
    try:
        spool = Spool(folder)
        waiting, since = spool.count(), spool.since()
    except SpoolError as error:
        return [f"statements waiting: UNREADABLE: {error}"]
    if since is None:
        return ["statements waiting: 0"]
    return [f"statements waiting: {waiting}, the oldest since {since.isoformat(timespec='seconds')}"]


def name(head: Head) -> str:
    """A run's full name."""
    return f"{head.dag_id}/{head.run_id}"
