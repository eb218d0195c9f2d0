"""The tasks of one service of a train on its way out: preflight, promote, verify.

They gather, ask the core, act and record. What they may do is decided from the journal and the cluster, not
from task states alone, so that clearing any of them is safe.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk.exceptions import AirflowFailException

from interlock.operators.run import Run, pulled
from interlock.operators.train import TrainOperator, differs
from interlock.operators.train_evidence import tell, writes_of
from interlock.trains.change import shown
from interlock.trains.model import Service
from interlock.trains.plan import Change, as_written


class ServiceOperator(TrainOperator):
    """A task of one service of a train.

    :param service: the service's name.
    """

    def __init__(self, *, service: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.service = service

    def change(self, run: Run) -> Change:
        """What the plan changes of this service."""
        for change in run.needs_plan().changes:
            if change.service == self.service:
                return change
        raise AirflowFailException(
            f"{self.service} is not in this run's plan: clear the task `plan` with all that follows"
        )

    def wait_of(self, run: Run, generation: int) -> dict[str, Any]:
        """What every trigger that waits for this service is told."""
        service: Service = run.train.service(self.service)
        return {
            "kubernetes_conn_id": run.environment.kubernetes,
            "namespace": run.environment.namespace,
            "kind": service.kind,
            "name": service.workload,
            "generation": generation,
            "journal": run.head,
            "journal_namespace": run.environment.journal_namespace,
        }

    def tell_of(
        self, context: Any, run: Run, predicate_type: str, change: Change, said: Mapping[str, object]
    ) -> None:
        """Record a statement about this service's change."""
        about = {"service": self.service, "ref": str(change.ref), "plan_hash": run.needs_plan().hash}
        tell(context, run, predicate_type, {**about, **said}, log=self.log)


class PreflightOperator(ServiceOperator):
    """Looks whether the service is still as the plan saw it, right before it moves."""

    def execute(self, context: Any) -> None:
        """Refuse early what `promote` would refuse."""
        run = self.this_run(context)
        change = self.change(run)
        ti = context["ti"]
        run.refuse_when_ending(ti)
        run.needs_fence(ti, self.service)
        if not change.moves:
            self.log.info("%s is live already: nothing to do", self.service)
            return
        if asyncio.run(self._moved(run, change)):
            self.log.info("%s was moved by this run already", self.service)
            return
        self.tell_of(context, run, "preflight", change, {"passed": True})

    async def _moved(self, run: Run, change: Change) -> bool:
        """Whether this run has moved the service already; else it must be as the plan saw it."""
        from interlock.clients.journal import JournalStore

        async with run.client() as client:
            if not (problems := differs(change, await client.get_all(change.refs))):
                return False
            store = JournalStore(client, run.environment.journal_namespace)
            if (await store.service(run.hash, self.service)).journal.moved:
                return True
        raise AirflowFailException(
            f"{self.service} is not as the plan saw it: {'; '.join(problems)}. "
            "Clear the task `plan` with all that follows"
        )


class PromoteOperator(ServiceOperator):
    """Makes the planned change, journaled and fenced, and waits for the rollout in the triggerer."""

    def execute(self, context: Any) -> None:
        """Write, then defer; the wait ends the task."""
        run = self.this_run(context)
        change = self.change(run)
        ti = context["ti"]
        run.refuse_when_ending(ti)
        fence = run.needs_fence(ti, self.service)
        if not change.moves:
            self.log.info("%s is live already: nothing to do", self.service)
            return
        generation = asyncio.run(self._act(run, change, fence))
        deadline = datetime.now(UTC) + run.train.service(self.service).deadline
        said = {
            "transitions": fence,
            "writes": writes_of(change),
            "after_generation": generation,
            "outcome": "written",
        }
        self.tell_of(context, run, "promote", change, said)
        from interlock.triggers.kubernetes import RolloutTrigger

        self.defer(
            trigger=RolloutTrigger(deadline=deadline.isoformat(), **self.wait_of(run, generation)),
            method_name="execute_complete",
        )

    async def _act(self, run: Run, change: Change, fence: int) -> int:
        from interlock.clients.journal import JournalStore
        from interlock.clients.workloads import Refused, promote

        async with run.client() as client:
            store = JournalStore(client, run.environment.journal_namespace)
            line = await store.line(run.hash)
            if line is None or line.closed:
                raise AirflowFailException("the run's journal is not open: clear the task `lock`")
            if line.stop is not None:
                raise AirflowFailException(f"the line was stopped: {line.stop.why} (by {line.stop.by})")
            try:
                generation = await promote(
                    client,
                    store,
                    run.hash,
                    change,
                    transitions=fence,
                    try_number=run.try_number,
                    now=lambda: datetime.now(UTC),
                )
            except Refused as refused:
                await store.stop(run.head, by=self.service, why=str(refused), now=datetime.now(UTC))
                raise AirflowFailException(str(refused)) from None
        for step in change.steps:
            self.log.info("%s: %s", step.ref, step.action)
            for write in step.writes:
                self.log.info("%s %s: %s → %s", step.ref, write.path, shown(write.before), shown(write.after))
        return generation


class VerifyOperator(ServiceOperator):
    """Waits, in the triggerer, until the release has held for its soak."""

    def execute(self, context: Any) -> None:
        """Check that what is live is what the plan wanted, then defer; the wait ends the task."""
        run = self.this_run(context)
        change = self.change(run)
        if not change.moves:
            self.log.info("%s was live before this train: nothing to verify", self.service)
            return
        rollout = pulled(context["ti"], f"{self.service}.promote", "rollout")
        generation = asyncio.run(self._look(run, change))
        if "ready_at" not in rollout:
            raise AirflowFailException(
                f"{self.service} was not promoted: clear the task `{self.service}.promote`"
            )
        # The wait for the rollout ended in the triggerer; its record is made here.
        said = {
            "after_generation": generation,
            "outcome": "complete",
            "reason": str(rollout.get("reason") or ""),
            "ended_at": rollout["ready_at"],
        }
        self.tell_of(context, run, "promote", change, said)
        soak = run.train.service(self.service).soak
        from interlock.triggers.kubernetes import SoakTrigger

        self.defer(
            trigger=SoakTrigger(
                ready_at=rollout["ready_at"],
                seconds=soak.total_seconds(),
                restarts=rollout["baseline"],
                **self.wait_of(run, generation),
            ),
            method_name="execute_complete",
            timeout=soak + timedelta(minutes=5),
        )

    async def _look(self, run: Run, change: Change) -> int:
        async with run.client() as client:
            live = await client.get_all(change.refs)
        workload = live[change.ref]
        if workload is None or not as_written(change, live):
            raise AirflowFailException(
                f"{self.service} does not run what this train promoted: it was changed or taken back since"
            )
        return workload.generation
