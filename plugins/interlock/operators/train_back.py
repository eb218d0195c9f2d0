"""The tasks of a train that take it back: decide what goes back, restore it.

They are teardowns: they run whatever happened to the run. What they do follows from the journal and the
cluster.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow.sdk.bases.skipmixin import SkipMixin
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException

from interlock import metrics
from interlock.operators.train import TrainOperator
from interlock.operators.train_evidence import taken_back, tell
from interlock.operators.train_service import ServiceOperator
from interlock.runs.lock import head_of
from interlock.runs.run import SOAK_KEY, Run, pulled
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
