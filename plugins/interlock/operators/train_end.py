"""The tasks of a train that end it: decide what goes back, take it back, close.

They are teardowns: they run whatever happened to the run. What they do follows from the journal and the
cluster; `close` alone decides the run's state.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow.sdk.bases.skipmixin import SkipMixin
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException

from interlock import metrics
from interlock.operators.evidence import Said
from interlock.operators.run import ROLLOUT_KEY, SOAK_KEY, VERDICT_KEY, WAITED_KEY, Run, pulled
from interlock.operators.train import TrainOperator
from interlock.operators.train_evidence import tell, tell_end
from interlock.operators.train_service import ServiceOperator
from interlock.trains import outcome
from interlock.trains.rollback import Standing, to_take_back

if TYPE_CHECKING:
    from interlock.clients.journal import Line
    from interlock.clients.workloads import TakenBack
    from interlock.trains.plan import Change, Plan

OUTWARD = ("preflight", "promote", "verify")
FAILED = ("failed", "upstream_failed")


class DecideOperator(TrainOperator, SkipMixin):
    """Decides which services go back; skips the others' rollbacks.

    If anything failed, or a service on board isn't both moved and verified, all that moved goes back.
    """

    inherits_from_skipmixin = True

    def execute(self, context: Any) -> None:
        """Read the journal, decide, stop the line, skip what has nothing to take back."""
        run = self.this_run(context)
        ti = context["ti"]
        back: tuple[str, ...] = ()
        if run.plan is None:
            self.log.info("there was no plan: nothing moved")
        else:
            back = asyncio.run(self._decide(run, run.plan, ti))
        self.skip(
            ti, [task for task in self.get_direct_relatives() if task.task_id.rpartition(".")[2] not in back]
        )

    async def _decide(self, run: Run, plan: Plan, ti: Any) -> tuple[str, ...]:
        from interlock.clients.journal import JournalStore
        from interlock.clients.kubernetes import Conflict

        states = run.states(ti)
        async with run.client() as client:
            store = JournalStore(client, run.environment.journal_namespace)
            head = await store.line(run.hash)
            if head is None:
                self.log.info("no journal was opened: nothing moved")
                return ()
            journals = await store.services(run.hash, [change.service for change in plan.changes])
            standings = {
                change.service: Standing(
                    changes=change.moves,
                    moved=journals[change.service].journal.moved,
                    verified=states.get(f"{change.service}.verify") == "success",
                    failed=failure_of(change.service, states) or unproven(ti, change, states),
                )
                for change in plan.changes
            }
            stopped = f"the line was stopped: {head.stop.why} (by {head.stop.by})" if head.stop else ""
            decision = to_take_back(
                run.edges,
                standings,
                failed=stopped,
                scope=plan.rollback,
                irreversible=plan.irreversible,
            )
            if not decision.reason:
                self.log.info("all services moved and are verified: nothing goes back")
                return ()
            self.log.warning("the train goes back: %s", decision.reason)
            for service, why in decision.kept:
                self.log.warning("%s stays: %s", service, why)
            await store.stop(run.head, by="rollback.decide", why=decision.reason, now=datetime.now(UTC))
            try:
                for written in journals.values():
                    await store.seal(run.hash, written, decision.reason)
                for service, why in decision.kept:
                    await store.keep(run.hash, journals[service], why)
            except Conflict as conflict:
                # Not final: the task is tried again.
                raise AirflowException(f"{conflict}: it decides again") from None
        self.log.info("to take back, in this order: %s", ", ".join(decision.back) or "nothing")
        return decision.back


class RollbackOperator(ServiceOperator):
    """Takes back what this run changed of a service, and waits in the triggerer until it is whole."""

    def execute(self, context: Any) -> None:
        """Restore from the journal, then defer; the wait ends the task."""
        run = self.this_run(context)
        service = run.train.service(self.service)
        done = asyncio.run(self._act(run))
        fields = {
            "service": self.service,
            "outcome": "restored",
            "whole": not done.conflicts,
            "restored": [{"path": path} for path in done.restored],
            "conflicts": [{"path": str(conflict)} for conflict in done.conflicts],
        }
        tell(context, run, Said("rollback", fields), log=self.log)
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

    async def _act(self, run: Run) -> TakenBack:
        from interlock.clients.journal import JournalStore
        from interlock.clients.workloads import Refused, take_back

        async with run.client() as client:
            store = JournalStore(client, run.environment.journal_namespace)
            written = await store.service(run.hash, self.service)
            mutations = written.journal.mutations
            if not mutations:
                raise AirflowSkipException(f"this run changed nothing of {self.service}")
            try:
                done = await take_back(
                    client, store, run.hash, written, transitions=mutations[-1].transitions
                )
            except Refused as refused:
                raise AirflowFailException(str(refused)) from None
        of_run = {"train": run.train.name, "environment": run.environment.name}
        metrics.count(metrics.ROLLBACK, **of_run, service=self.service)
        for field in done.restored:
            self.log.info("restored %s", field)
        for conflict in done.conflicts:
            self.log.error("left as it is, since somebody else changed it: %s", conflict)
        return done


class CloseOperator(TrainOperator):
    """Judges the run by the cluster, releases its locks, closes its journal; fails unless all is new."""

    def execute(self, context: Any) -> None:
        """The task's state is the run's state."""
        run = self.this_run(context)
        states = run.states(context["ti"])
        failures = [f"task {task}" for task, state in sorted(states.items()) if state in FAILED]
        ti = context["ti"]
        if run.plan is None:
            text = "the run has no plan, so nothing moved; see the task `plan`"
            ti.xcom_push(key=VERDICT_KEY, value=text)
            raise AirflowFailException(text)
        verdict = asyncio.run(self._close(run, run.plan, failures, states))
        if verdict is None:
            self.log.info("nothing was to move: the plan was all")
            return
        tell_end(context, run, run.plan, verdict, log=self.log)
        ti.xcom_push(key=VERDICT_KEY, value=verdict.text)
        of_run = {"train": run.train.name, "environment": run.environment.name}
        metrics.count(metrics.TRAIN_ENDED, **of_run, verdict=verdict.state)
        waited = ti.xcom_pull(task_ids="lock", key=WAITED_KEY) or 0
        metrics.measure(metrics.LOCK_WAITED, float(waited) * 1000, **of_run)
        if not verdict.succeeded:
            raise AirflowFailException(verdict.text)
        self.log.info("%s", verdict.text)

    async def _close(
        self, run: Run, plan: Plan, failures: list[str], states: dict[str, str | None]
    ) -> outcome.RunOutcome | None:
        from interlock.clients.journal import JournalStore
        from interlock.clients.locks import release_all

        where = run.environment
        async with run.client() as client:
            store = JournalStore(client, where.journal_namespace)
            head = await store.line(run.hash)
            if _dry(states) and head is None:
                return None
            journals = await store.services(run.hash, [change.service for change in plan.changes])
            refs = {ref for change in plan.changes for ref in change.refs}
            refs |= {m.ref for written in journals.values() for m in written.journal.mutations}
            live = await client.get_all(refs)
            services = [
                outcome.judge(change, journals[change.service].journal, live) for change in plan.changes
            ]
            verdict = outcome.verdict(services, failures + _stopped(head))
            going_back = bool(_stopped(head)) or states.get("rollback.decide") != "success"
            left = outcome.still_moved(written.journal for written in journals.values()) if going_back else ()
            if left and head is not None and not head.closed:
                raise AirflowFailException(
                    f"{', '.join(left)} did not go back, so the journal stays open and the locks are kept. "
                    f"Clear {', '.join(f'`rollback.{service}`' for service in left)}, then `close`; else "
                    f"the DAG train_watchdog takes them back within minutes. {verdict.text}"
                )
            released = await release_all(client, where.journal_namespace, run.holder, datetime.now(UTC))
            self.log.info("released %s", ", ".join(released) or "no lock")
            if head is not None:
                for found in verdict.services:
                    if found.state == "not-whole":
                        await store.leave(run.hash, journals[found.service], found.reason)
                await store.close(run.hash, datetime.now(UTC), whole=verdict.state != "not-whole")
        return verdict


def failure_of(service: str, states: dict[str, str | None]) -> str:
    """Which task of a service failed; empty if none did."""
    failed = [task for task in OUTWARD if states.get(f"{service}.{task}") == "failed"]
    return f"task {service}.{failed[0]} failed" if failed else ""


def unproven(ti: Any, change: Change, states: dict[str, str | None]) -> str:
    """Why a `verify` that ended well proves nothing: a person marked it so; empty where it does."""
    task = f"{change.service}.verify"
    if not change.moves or states.get(task) != "success":
        return ""
    # What the triggerer pushed outlives a clear: it counts only for the rollout that it watched.
    soak, rollout = pulled(ti, task, SOAK_KEY), pulled(ti, f"{change.service}.promote", ROLLOUT_KEY)
    if "held" in soak and soak.get("ready_at") == rollout.get("ready_at"):
        return ""
    return f"task {task} was marked as success, and the release was not seen to hold"


def _stopped(head: Line | None) -> list[str]:
    return [f"the line was stopped: {head.stop.why}"] if head is not None and head.stop is not None else []


def _dry(states: dict[str, str | None]) -> bool:
    return states.get("lock") == "skipped"
