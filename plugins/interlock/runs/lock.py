"""Locking what a run is to move, wherever that is done: in a worker, or in the triggerer after a wait."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowFailException

from interlock.runs.run import APPROVED_KEY, Run
from interlock.trains import resume
from interlock.trains.entries import Head, Stop
from interlock.trains.lock import HeldBy, stamped
from interlock.trains.plan import Plan

if TYPE_CHECKING:
    from interlock.clients.kubernetes import KubernetesClient


def needs_approval(ti: Any, plan: Plan) -> None:
    """Refuse a plan that nobody has approved: an approval is an answer, about one plan, by its hash."""
    asked = ti.xcom_pull(task_ids="approve", key=APPROVED_KEY)
    answer = ti.xcom_pull(task_ids="approve")
    if asked == plan.hash and isinstance(answer, dict) and answer.get("chosen_options") == ["Approve"]:
        return
    if asked == plan.hash:
        why = ": nobody answered, the task `approve` was only marked as success"
    else:
        why = f": the approval was of plan {str(asked)[:12]}, which was made again since" if asked else ""
    raise AirflowFailException(
        f"plan {plan.hash[:12]} is not approved{why}. Clear the task `approve` with all that follows"
    )


async def lock_and_open(run: Run, client: KubernetesClient, now: datetime) -> dict[str, int] | HeldBy:
    """Take the locks of all services on board and open the journal; or say who is in the way."""
    from interlock.clients.journal import JournalStore, Written
    from interlock.clients.locks import release_all, take_all

    plan = run.needs_plan()
    board = [change.service for change in plan.changes]
    where = run.environment
    refs = {ref for change in plan.changes for ref in change.refs}
    live = await client.get_all(refs)
    above = {change.service: stamped(live[ref] for ref in change.refs) for change in plan.changes}
    taken = await take_all(client, where.namespace, where.journal_namespace, board, run.holder, now, above)
    if isinstance(taken, HeldBy):
        return taken
    store = JournalStore(client, where.journal_namespace)
    journals = await store.services(run.hash, board)
    # Read anew: nobody else changes it from now on.
    live = await client.get_all(refs)
    why = resume.refusal(plan.changes, {name: written.journal for name, written in journals.items()}, live)
    head = await store.head(run.hash)
    if head is not None and not why:
        why = resume.stopped_since(head, run.clear_number)
    if why:
        if head is None or head.closed or not any(written.journal.moved for written in journals.values()):
            await release_all(client, where.journal_namespace, run.holder, now)
        raise AirflowFailException(why)
    await store.open(_head(run, plan, now))
    for written in journals.values():
        again = resume.onward(written.journal)
        if written.version and again != written.journal:
            await store.write(run.hash, Written(again, written.version))
    return taken


async def head_of(run: Run, client: KubernetesClient, ti: Any, *, by: str, now: datetime) -> Head | None:
    """The run's head; made again, its line stopped, where it is gone while the run holds its locks.

    Somebody has deleted it, and what the services' journals still say can go back only under a head.

    Args:
        run: the run.
        client: an opened client.
        ti: the task instance that asks.
        by: which task that is.
        now: the present.

    Returns:
        None if the run has no journal, since it never locked, or ended long ago.
    """
    from interlock.clients.journal import JournalStore
    from interlock.clients.locks import held_by

    where = run.environment.journal_namespace
    store = JournalStore(client, where)
    head = await store.head(run.hash)
    if head is not None or not run.has_locked(ti) or not await held_by(client, where, run.holder):
        return head
    why = (
        f"Secret {run.head} of namespace {where}, the run's journal, was deleted while the run held its locks"
    )
    await store.open(
        replace(_head(run, run.needs_plan(), now), stop=Stop(by, why, now.isoformat(timespec="seconds")))
    )
    return await store.head(run.hash)


def _head(run: Run, plan: Plan, now: datetime) -> Head:
    return Head(
        run.dag_id,
        run.run_id,
        run.train.name,
        run.environment.name,
        plan.to_json(),
        opened_at=now,
        clear_number=run.clear_number,
    )
