"""The tasks of a train that end it: decide what goes back, take it back, close.

They are teardowns: they run whatever happened to the run. What they do follows from the journal and the
cluster; `close` alone decides the run's state.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow.sdk.bases.skipmixin import SkipMixin
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException

from interlock import metrics
from interlock.operators.train import TrainOperator
from interlock.operators.train_evidence import taken_back, tell, tell_end
from interlock.operators.train_service import ServiceOperator
from interlock.runs.lock import head_of
from interlock.runs.run import DRY_KEY, SOAK_KEY, VERDICT_KEY, WAITED_KEY, WHY_KEY, Run, pulled
from interlock.trains import outcome, resume
from interlock.trains.change import Change, as_written
from interlock.trains.entries import Head, ServiceJournal
from interlock.trains.plan import Plan
from interlock.trains.rollback import Decision, Standing, to_take_back

if TYPE_CHECKING:
    from interlock.clients.journal import Written
    from interlock.clients.workloads import TakenBack
    from interlock.manifest import Manifest, ObjectRef

OUTWARD = ("preflight", "promote", "verify")


class DecideOperator(TrainOperator, SkipMixin):
    """Decides which services go back; skips the others' rollbacks.

    If anything failed, or a service on board isn't both moved and verified, all that moved goes back.
    """

    inherits_from_skipmixin = True

    def execute(self, context: Any) -> None:
        """Read the journal, decide, stop the line, skip what has nothing to take back."""
        run = self.this_run(context)
        ti = context["ti"]
        back = asyncio.run(self._decide(run, ti))
        self.skip(
            ti, [task for task in self.get_direct_relatives() if task.task_id.rpartition(".")[2] not in back]
        )

    async def _decide(self, run: Run, ti: Any) -> tuple[str, ...]:
        from interlock.clients.ending import turn_back
        from interlock.clients.journal import JournalStore
        from interlock.clients.kubernetes import Conflict

        states = run.states(ti)
        async with run.client() as client:
            store = JournalStore(client, run.environment.journal_namespace)
            head = await head_of(run, client, ti, by="rollback.decide", now=datetime.now(UTC))
            if head is None:
                self.log.info("this run has no journal: it moved nothing, or ended long ago")
                return ()
            if head.closed:
                self.log.info("this run has ended: what it moved stays where it is")
                return ()
            plan = Plan.from_json(head.plan)
            journals = await store.services(run.hash, [change.service for change in plan.changes])
            live = await client.get_all({ref for change in plan.changes for ref in change.refs})

            def judge(journals: Mapping[str, Written]) -> Decision:
                return self._judge(plan, head, journals, live, states, ti)

            decision = judge(journals)
            if not decision.reason:
                self.log.info("all services moved and are verified: nothing goes back")
                return ()
            who, now = "rollback.decide", datetime.now(UTC)
            try:
                decision = await turn_back(store, head, journals, judge, by=who, why=decision.reason, now=now)
            except Conflict as conflict:
                # Not final: the task is tried again.
                raise AirflowException(f"{conflict}: it decides again") from None
            self.log.warning("the train goes back: %s", decision.reason)
            for service, why in decision.kept:
                self.log.warning("%s stays: %s", service, why)
        self.log.info("to take back, in this order: %s", ", ".join(decision.back) or "nothing")
        return decision.back

    def _judge(
        self,
        plan: Plan,
        head: Head,
        journals: Mapping[str, Written],
        live: Mapping[ObjectRef, Manifest | None],
        states: dict[str, str | None],
        ti: Any,
    ) -> Decision:
        return to_take_back(
            plan.edges,
            {
                change.service: _standing(change, journals[change.service].journal, live, states, ti)
                for change in plan.changes
            },
            failed=f"the line was stopped: {head.stop.why} (by {head.stop.by})" if head.stop else "",
            scope=plan.rollback,
            irreversible=plan.irreversible,
        )


class RollbackOperator(ServiceOperator):
    """Takes back what this run changed of a service, and waits in the triggerer until it is whole."""

    def execute(self, context: Any) -> None:
        """Restore from the journal, then defer; the wait ends the task."""
        run = self.this_run(context)
        if run.states(context["ti"]).get("rollback.decide") != "success":
            raise AirflowFailException(
                "it is not decided what goes back: clear the task `rollback.decide` with all that follows"
            )
        service = run.train.service(self.service)
        done, awaited = asyncio.run(self._act(run))
        tell(context, run, taken_back(self.service, done), log=self.log)
        if not awaited:
            self.log.info("its rollout was not complete before this run either, so nothing is waited for")
            return
        from interlock.triggers.kubernetes import RolloutTrigger

        self.defer(
            trigger=RolloutTrigger(
                deadline=(datetime.now(UTC) + service.deadline).isoformat(),
                heed_stop=False,
                generation=done.generation,
                **run.wait_for(self.service).arguments,
            ),
            method_name="execute_complete",
        )

    async def _act(self, run: Run) -> tuple[TakenBack, bool]:
        from interlock.clients.journal import JournalStore
        from interlock.clients.workloads import Refused, take_back

        async with run.client() as client:
            store = JournalStore(client, run.environment.journal_namespace)
            head, written = await asyncio.gather(store.head(run.hash), store.service(run.hash, self.service))
            mutations = written.journal.mutations
            if why := resume.stays(head, written.journal):
                raise AirflowSkipException(why)
            try:
                done = await take_back(
                    client, store, run.hash, written, transitions=resume.transitions(mutations)
                )
            except Refused as refused:
                raise AirflowFailException(str(refused)) from None
        of_run = {"train": run.train.name, "environment": run.environment.name}
        metrics.count(metrics.ROLLBACK, **of_run, service=self.service)
        for field in done.restored:
            self.log.info("restored %s", field)
        for conflict in done.conflicts:
            self.log.error("left as it is, since somebody else changed it: %s", conflict)
        return done, resume.was_whole(mutations)


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
            if head is None and run.has_locked(ti):
                # Its journal says nothing any more, so what is live has to.
                verdict = outcome.verdict(
                    await judged(client, plan.changes, journals),
                    [*failures, "the journal of this run is gone: it was deleted, or the run ended long ago"],
                )
            elif head is None or head.closed:
                # What is live is not this run's: it moved nothing, or others may have come after it.
                if head is None and any(change.moves for change in plan.changes):
                    failures = [*failures, "this run has no journal: it locked nothing"]
                self.log.info("it is judged by its journal, and nothing is written")
                services = [
                    resume.recorded(change, journals[change.service].journal) for change in plan.changes
                ]
                verdict = outcome.verdict(services, failures + _stopped(head))
            else:
                services = await judged(client, plan.changes, journals)
                verdict = outcome.verdict(services, failures + _stopped(head))
                going_back = bool(failures or head.stop) or states.get("rollback.decide") != "success"
                moved = outcome.still_moved(written.journal for written in journals.values())
                if going_back and moved:
                    raise AirflowFailException(_not_back(moved, verdict))
            now = datetime.now(UTC)
            if head is not None and not head.closed:
                try:
                    released = await end(client, where.journal_namespace, head, journals, verdict, now)
                except Reopened as reopened:
                    raise AirflowFailException(str(reopened)) from None
            else:
                released = await release_all(client, where.journal_namespace, run.holder, now)
            self.log.info("released %s", ", ".join(released) or "no lock")
        return plan, verdict


def _standing(
    change: Change,
    journal: ServiceJournal,
    live: Mapping[ObjectRef, Manifest | None],
    states: dict[str, str | None],
    ti: Any,
) -> Standing:
    """What is known of a service: the journal, its tasks, and whether it still is as it was promoted."""
    verified = states.get(f"{change.service}.verify") == "success"
    failed = failure_of(change.service, states) or unproven(ti, change, journal, states)
    if not failed and change.moves and not journal.moved and as_written(change, live):
        failed = outcome.judge(change, journal, live).reason
    if verified and not failed and journal.moved and not as_written(change, live):
        failed = outcome.judge(change, journal, live).reason or "it is no longer as it was promoted"
    return Standing(changes=change.moves, moved=journal.moved, verified=verified, failed=failed)


def _not_back(moved: Sequence[str], verdict: outcome.RunOutcome) -> str:
    return (
        f"{', '.join(moved)} did not go back, so the journal stays open and the locks are kept. "
        "Clear the task `rollback.decide` with all that follows; else the DAG train_watchdog takes back "
        f"within minutes what is left. {verdict.text}"
    )


def failure_of(service: str, states: dict[str, str | None]) -> str:
    """Which task of a service failed; empty if none did."""
    failed = [task for task in OUTWARD if states.get(f"{service}.{task}") == "failed"]
    return f"task {service}.{failed[0]} failed" if failed else ""


def unproven(ti: Any, change: Change, journal: ServiceJournal, states: dict[str, str | None]) -> str:
    """Why a `verify` that ended well proves nothing: a person marked it so; empty where it does."""
    task = f"{change.service}.verify"
    if not change.moves or states.get(task) != "success":
        return ""
    if resume.held(pulled(ti, task, SOAK_KEY), change, journal):
        return ""
    return f"task {task} was marked as success, and the release was not seen to hold"


def _stopped(head: Head | None) -> list[str]:
    if head is None or head.stop is None:
        return []
    return [f"the line was stopped: {head.stop.why} (by {head.stop.by})"]
