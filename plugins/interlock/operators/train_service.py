"""The tasks of one service of a train on its way out: preflight, promote, verify.

They gather, ask the core, act and record. What they may do is decided from the journal and the cluster, not
from task states alone, so that clearing any of them is safe. `promote` alone needs a worker: the other two
start and end in the triggerer, and leave their record to the service's next worker task, or to `close`.
"""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException
from airflow.triggers.base import StartTriggerArgs

from interlock.mesh import kiali
from interlock.operators.evidence import Said
from interlock.operators.kiali_link import KialiLink
from interlock.operators.train import TrainOperator
from interlock.operators.train_evidence import preflight_fields, tell, written
from interlock.runs import line as line_of_run
from interlock.runs.run import PREFLIGHT_KEY, Run, pulled
from interlock.trains import resume
from interlock.trains.change import Change
from interlock.trains.shown import shown


class ServiceOperator(TrainOperator):
    """A task of one service of a train.

    :param service: the service's name.
    """

    def __init__(self, *, service: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.service = service

    def said(self, run: Run, predicate_type: str, change: Change, **fields: object) -> Said:
        """A statement about this service's change."""
        about = {"service": self.service, "ref": str(change.ref), "plan_hash": run.needs_plan().hash}
        return Said(predicate_type, {**about, **fields})


class _LookOperator(ServiceOperator):
    """A task that only looks: it starts in the triggerer and ends there.

    :param patience: how long it may take; None for ever.
    """

    start_from_trigger = True
    trigger: ClassVar[str]

    def __init__(self, *, patience: timedelta | None = None, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.start_trigger_args = StartTriggerArgs(
            trigger_cls=f"interlock.triggers.train_service.{self.trigger}",
            trigger_kwargs={"train": self.train, "service": self.service, "undo": self.undo},
            next_method="execute_complete",
            timeout=patience,
        )

    def execute(self, context: Any) -> None:
        """Never reached: the task starts in the triggerer."""
        raise AirflowFailException(f"{self.task_id} came to a worker, which it never should")


class PreflightOperator(_LookOperator):
    """Looks whether the service is still as the plan saw it, while those before it soak.

    It refuses early what `promote` would refuse. Services that come after no other have none: `lock` has
    just looked.
    """

    trigger = "PreflightTrigger"


class PromoteOperator(ServiceOperator):
    """Makes the planned change, journaled and fenced, and waits for the rollout in the triggerer."""

    operator_extra_links: ClassVar[tuple[KialiLink, ...]] = (KialiLink(),)

    def execute(self, context: Any) -> None:
        """Write, then defer; the wait ends the task."""
        run = self.this_run(context)
        where = run.environment
        if where.kiali:
            workload = run.train.service(self.service).workload
            self.kiali_page = kiali.workload(where.kiali, where.namespace, workload)
        ti = context["ti"]
        states = run.refuse_when_ending(ti)
        if run.needs_plan().change(self.service) is None:
            # Between two services on board; it is skipped when its turn comes, so that the later one waits.
            raise AirflowSkipException(f"{self.service} is not on board")
        change = run.change(self.service)
        if why := resume.too_early(change, states):
            raise AirflowFailException(why)
        fence = run.needs_fence(ti, self.service)
        if not change.moves:
            self.log.info("%s is live already: nothing to do", self.service)
            return
        generation = asyncio.run(self._act(run, change, fence))
        deadline = datetime.now(UTC) + run.train.service(self.service).deadline
        tell(
            context,
            run,
            *self._looked(run, ti, change),
            self.said(
                run,
                "promote",
                change,
                transitions=fence,
                after_generation=generation,
                outcome="written",
                **written(change),
            ),
            log=self.log,
        )
        from interlock.triggers.kubernetes import RolloutTrigger

        self.defer(
            trigger=RolloutTrigger(
                deadline=deadline.isoformat(), generation=generation, **run.wait_for(self.service).arguments
            ),
            method_name="execute_complete",
        )

    def _looked(self, run: Run, ti: Any, change: Change) -> list[Said]:
        """What preflight found; services that come after no other have none."""
        if not run.train.service(self.service).after:
            return []
        looked = pulled(ti, f"{self.service}.preflight", PREFLIGHT_KEY)
        return [self.said(run, "preflight", change, **preflight_fields(looked))]

    async def _act(self, run: Run, change: Change, fence: int) -> int:
        from interlock.clients.istio import refusals
        from interlock.clients.journal import JournalStore
        from interlock.clients.kubernetes import KubernetesError
        from interlock.clients.workloads import Refused, promote

        async with run.client() as client:
            store = JournalStore(client, run.environment.journal_namespace)
            line = await store.line(run.hash)
            if line is None or line.closed:
                why = "has ended" if line else f"is gone: somebody deleted Secret {run.head}"
                raise AirflowFailException(
                    f"the run's journal {why}. To start over, clear the task `lock` with all that follows"
                )
            if line.stop is not None:
                raise AirflowFailException(f"the line was stopped: {line.stop.why} (by {line.stop.by})")
            try:
                if refused := await refusals(client, run.environment, run.train, [self.service]):
                    raise Refused("; ".join(refused))
                generation = await promote(
                    client,
                    store,
                    run.hash,
                    change,
                    transitions=fence,
                    try_number=run.try_number,
                    now=lambda: datetime.now(UTC),
                )
            except (Refused, KubernetesError) as error:
                with line_of_run.or_later(self.log):
                    await store.stop(run.head, by=self.service, why=str(error), now=datetime.now(UTC))
                raise AirflowFailException(str(error)) from None
        for step in change.steps:
            self.log.info("%s: %s", step.ref, step.action)
            for write in step.writes:
                before, after = shown(write.path, write.before), shown(write.path, write.after)
                self.log.info("%s %s: %s → %s", step.ref, write.path, before, after)
        return generation


class VerifyOperator(_LookOperator):
    """Waits until the release has held for its soak, and is still what was promoted."""

    trigger = "VerifyTrigger"
