"""The task of a train that ends it, whatever happened to the run: it alone decides the run's state."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from airflow.sdk.exceptions import AirflowFailException

from interlock import metrics
from interlock.operators.train import TrainOperator
from interlock.operators.train_evidence import tell_end
from interlock.runs.lock import head_of
from interlock.runs.run import DRY_KEY, VERDICT_KEY, WAITED_KEY, WHY_KEY, Run
from interlock.trains import outcome, resume
from interlock.trains.entries import Head
from interlock.trains.plan import Plan


class CloseOperator(TrainOperator):
    """Judges the run by the cluster, releases its locks, closes its journal; fails unless all is new."""

    def execute(self, context: Any) -> None:
        """The task's state is the run's state; what keeps it from ending is told like a verdict."""
        try:
            self._end(context)
        except Exception as error:
            context["ti"].xcom_push(key=VERDICT_KEY, value=str(error) or type(error).__name__)
            raise

    def _end(self, context: Any) -> None:
        run = self.this_run(context)
        ti = context["ti"]
        states = run.states(ti)
        failures = resume.failed_tasks(states)
        if "task plan" in failures and (why := ti.xcom_pull(task_ids="plan", key=WHY_KEY)):
            failures[failures.index("task plan")] = f"task plan: {why}"
        dry = bool(ti.xcom_pull(task_ids="plan", key=DRY_KEY)) and not failures
        ended = asyncio.run(self._close(run, failures, states, ti, dry=dry))
        if ended is None and run.plan is None:
            why = ti.xcom_pull(task_ids="plan", key=WHY_KEY) or "see the task `plan`"
            raise AirflowFailException(f"the run has no plan, so nothing moved: {why}")
        if ended is None:
            self.log.info("nothing was to move: the plan was all")
            return
        plan, verdict = ended
        verdict = replace(verdict, text=plan.titled(verdict.text))
        tell_end(context, run, plan, verdict, log=self.log)
        of_run = {"train": run.train.name, "environment": run.environment.name}
        metrics.count(metrics.TRAIN_ENDED, **of_run, verdict=verdict.state)
        waited = ti.xcom_pull(task_ids="lock", key=WAITED_KEY) or 0
        metrics.measure(metrics.LOCK_WAITED, float(waited) * 1000, **of_run)
        if not verdict.succeeded:
            raise AirflowFailException(verdict.text)
        ti.xcom_push(key=VERDICT_KEY, value=verdict.text)
        self.log.info("%s", verdict.text)

    async def _close(
        self, run: Run, failures: list[str], states: dict[str, str | None], ti: Any, *, dry: bool
    ) -> tuple[Plan, outcome.RunOutcome] | None:
        """Judge and end the run; returns what was planned and the verdict.

        None where nothing was to move: after a dry run, and without a plan.
        """
        from interlock.clients.ending import end
        from interlock.clients.journal import JournalStore, Reopened
        from interlock.clients.locks import release_all
        from interlock.clients.settled import judged

        where = run.environment
        async with run.client() as client:
            store = JournalStore(client, where.journal_namespace)
            head = await head_of(run, client, ti, by="close", now=datetime.now(UTC))
            plan = run.plan if head is None else Plan.from_json(head.plan)
            if plan is None or (dry and head is None):
                return None
            journals = await store.services(run.hash, [change.service for change in plan.changes])
            lost = head is None and run.has_locked(ti)
            failures = failures + _stopped(head)
            if lost:
                failures.append("the journal of this run is gone: it was deleted, or the run ended long ago")
            elif head is None and any(change.moves for change in plan.changes):
                failures.append("this run has no journal: it locked nothing")
            if lost or (head is not None and not head.closed):
                services = await judged(client, plan.changes, journals)
            else:
                # What is live is not this run's: it moved nothing, or others may have come after it.
                self.log.info("it is judged by its journal, and nothing is written")
                services = [
                    resume.recorded(change, journals[change.service].journal) for change in plan.changes
                ]
            verdict = outcome.verdict(services, failures)
            now = datetime.now(UTC)
            if head is not None and not head.closed:
                going_back = bool(failures) or states.get("rollback.decide") != "success"
                moved = outcome.still_moved(written.journal for written in journals.values())
                if going_back and moved:
                    raise AirflowFailException(_not_back(moved, verdict))
                try:
                    released = await end(client, where.journal_namespace, head, journals, verdict, now)
                except Reopened as reopened:
                    raise AirflowFailException(str(reopened)) from None
            else:
                released = await release_all(client, where.journal_namespace, run.holder, now)
            self.log.info("released %s", ", ".join(released) or "no lock")
        return plan, verdict


def _not_back(moved: Sequence[str], verdict: outcome.RunOutcome) -> str:
    return (
        f"{', '.join(moved)} did not go back, so the journal stays open and the locks are kept. "
        "Clear the task `rollback.decide` with all that follows; else the DAG train_watchdog takes back "
        f"within minutes what is left. {verdict.text}"
    )


def _stopped(head: Head | None) -> list[str]:
    if head is None or head.stop is None:
        return []
    return [f"the line was stopped: {head.stop.why} (by {head.stop.by})"]
