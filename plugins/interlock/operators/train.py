"""The tasks of a train on its way out: plan, approve, lock, and for each service preflight, promote, verify.

They gather, ask the core, act and record. What they may do is decided from the journal and the cluster, not
from task states alone, so that clearing any of them is safe.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import BaseOperator
from airflow.sdk.bases.skipmixin import SkipMixin
from airflow.sdk.exceptions import AirflowFailException

from interlock.manifest import Manifest, ObjectRef
from interlock.operators.run import FENCES_KEY, PLAN_KEY, Run, pulled
from interlock.operators.train_evidence import tell, tell_plan, writes_of
from interlock.project import environments_file, train_file
from interlock.trains.config import RunConfigError, parse_run_config
from interlock.trains.entries import Head, ServiceJournal, run_hash
from interlock.trains.lock import HeldBy
from interlock.trains.model import load_environments, load_train
from interlock.trains.plan import Change, Plan, PlanError, make_plan, render, still_holds
from interlock.trains.undo import make_undo

if TYPE_CHECKING:
    from interlock.clients.kubernetes import KubernetesClient


class TrainOperator(BaseOperator):
    """A task of a train.

    :param train: the train's name: the stem of its file in include/trains.
    :param undo: whether the run takes a former one back, with the train's edges reversed.
    """

    template_fields: Sequence[str] = ()

    def __init__(self, *, train: str, undo: bool = False, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.train = train
        self.undo = undo

    def this_run(self, context: Any) -> Run:
        """The run that the task belongs to."""
        return Run.of(self.train, context, undo=self.undo)

    def execute_complete(self, context: Any, event: dict[str, Any]) -> None:
        """Never reached: the waits of a train end their task in the triggerer."""
        raise AirflowFailException("a wait of a train resumed in a worker, which it never should")


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


class PlanOperator(TrainOperator, SkipMixin):
    """Checks the run's config, reads what is live, and works out every change; writes nothing.

    Skips the services that are not on board; a dry run ends here.
    """

    inherits_from_skipmixin = True

    def execute(self, context: Any) -> None:
        """Make the plan, push it, show it."""
        environments = load_environments(environments_file())
        train = load_train(train_file(self.train), environments)
        try:
            # Airflow accepts conf keys that are no params; the core refuses them.
            given = {**context["params"], **(context["dag_run"].conf or {})}
            config = parse_run_config(train, environments, given)
        except RunConfigError as error:
            raise AirflowFailException(str(error)) from None
        run = replace(self.this_run(context), environment=config.environment)

        async def read() -> dict[str, Manifest | None]:
            async with run.client() as client:
                found = {}
                for name in config.board:
                    service = train.service(name)
                    namespace = config.environment.namespace
                    found[name] = await client.get(
                        ObjectRef("apps/v1", service.kind, namespace, service.workload)
                    )
                return found

        try:
            plan = make_plan(train, config, asyncio.run(read()))
        except PlanError as error:
            raise AirflowFailException(str(error)) from None
        self._finish(context, run, plan, dry_run=config.dry_run)

    def _finish(self, context: Any, run: Run, plan: Plan, *, dry_run: bool) -> None:
        """Show the plan, push it, record it; then skip what is not on board."""
        for line in render(plan).splitlines():
            self.log.info("%s", line)
        ti = context["ti"]
        ti.xcom_push(key=PLAN_KEY, value=plan.to_json())
        ti.xcom_push(key="text", value=render(plan))
        tell_plan(context, replace(run, plan=plan), plan, log=self.log, dry_run=dry_run)
        off = [s.name for s in run.train.services if dry_run or plan.change(s.name) is None]
        skipped = [task for task in self.get_direct_relatives() if task.task_id.split(".")[0] in off]
        if dry_run:
            self.log.info("dry run: it ends here, nothing was written")
            skipped += [task for task in self.get_direct_relatives() if task.task_id in ("approve", "lock")]
        self.skip(ti, skipped)


class UndoPlanOperator(PlanOperator):
    """Plans, from its journal, how a finished run of the train is taken back; writes nothing."""

    def execute(self, context: Any) -> None:
        """Read the run's journal and what is live; refuse where a later change is in the way."""
        run = self.this_run(context)
        wanted = str(context["params"]["run_id"]).strip()
        dry_run = bool(context["params"].get("dry_run"))
        former = run_hash(f"promotion_train__{self.train}", wanted)

        async def make() -> Plan:
            from interlock.clients.journal import JournalStore

            async with run.client() as client:
                store = JournalStore(client, run.environment.journal_namespace)
                head = await store.head(former)
                if head is None or head.train != self.train:
                    raise AirflowFailException(
                        f"there is no journal of a run {wanted!r} of promotion_train__{self.train}: "
                        "give the run id as the list of the DAG's runs shows it"
                    )
                if not head.closed:
                    raise AirflowFailException(f"run {wanted!r} has not ended yet")
                names = [service.name for service in run.train.services]
                journals = {
                    name: written.journal for name, written in (await store.services(former, names)).items()
                }
                refs = {m.ref for journal in journals.values() for m in journal.mutations}
                live = {ref: await client.get(ref) for ref in refs}
                return make_undo(run.train, head.environment, journals, live)

        try:
            plan = asyncio.run(make())
        except PlanError as error:
            raise AirflowFailException(str(error)) from None
        self._finish(context, run, plan, dry_run=dry_run)


class ApproveOperator(ApprovalOperator):
    """Waits until a person approves the plan, by its hash; rejecting fails the run.

    :param train: the train's name.
    """

    def __init__(self, *, train: str, **kwargs: Any) -> None:
        super().__init__(
            subject=f"Train {train}: approve plan "
            "{{ ti.xcom_pull(task_ids='plan', key='plan')['hash'][:12] }}",
            body="```\n{{ ti.xcom_pull(task_ids='plan', key='text') }}\n```",
            fail_on_reject=True,
            **kwargs,
        )
        self.train = train


class LockOperator(TrainOperator):
    """Takes the locks of all services on board, or waits for them holding none; opens the journal."""

    def execute(self, context: Any) -> None:
        """Try once here; wait in the triggerer where another train is in the way."""
        run = self.this_run(context)
        plan = run.needs_plan()
        ti = context["ti"]
        taken = asyncio.run(lock_and_open(run, datetime.now(UTC)))
        if isinstance(taken, HeldBy):
            from interlock.triggers.train import LockTrigger

            self.log.info("waiting: %s", taken)
            self.defer(
                trigger=LockTrigger(
                    train=self.train, dag_id=run.dag_id, run_id=run.run_id, plan=plan.to_json()
                ),
                method_name="execute_complete",
            )
            return
        ti.xcom_push(key=FENCES_KEY, value=taken)
        self.log.info("locked %s", ", ".join(f"{name} ({number})" for name, number in taken.items()))


class PreflightOperator(ServiceOperator):
    """Looks whether the service is still as the plan saw it, right before it moves."""

    def execute(self, context: Any) -> None:
        """Refuse early what `promote` would refuse."""
        run = self.this_run(context)
        change = self.change(run)
        ti = context["ti"]
        run.refuse_when_ending(ti)
        run.needs_fence(ti, self.service)
        if not change.writes:
            self.log.info("%s is live already: nothing to do", self.service)
            return

        async def look() -> None:
            from interlock.clients.journal import JournalStore

            async with run.client() as client:
                written = await JournalStore(client, run.environment.journal_namespace).service(
                    run.hash, self.service
                )
                if written.journal.moved:
                    self.log.info("%s was moved by this run already", self.service)
                    return
                live = await client.get(change.ref)
                if live is None:
                    raise AirflowFailException(f"{change.ref} is not there: somebody deleted it")
                if conflicts := still_holds(change, live):
                    raise AirflowFailException(
                        f"{self.service} is not as the plan saw it: {'; '.join(map(str, conflicts))}. "
                        "Clear the task `plan` with all that follows"
                    )

        asyncio.run(look())
        said = {"service": self.service, "ref": str(change.ref), "plan_hash": run.needs_plan().hash}
        tell(context, run, "preflight", {**said, "passed": True}, log=self.log)


class PromoteOperator(ServiceOperator):
    """Makes the planned change, journaled and fenced, and waits for the rollout in the triggerer."""

    def execute(self, context: Any) -> None:
        """Write, then defer; the wait ends the task."""
        run = self.this_run(context)
        change = self.change(run)
        ti = context["ti"]
        run.refuse_when_ending(ti)
        fence = run.needs_fence(ti, self.service)
        if not change.writes:
            self.log.info("%s is live already: nothing to do", self.service)
            return
        generation = asyncio.run(self._act(run, change, fence))
        deadline = datetime.now(UTC) + run.train.service(self.service).deadline
        said = {
            "service": self.service,
            "ref": str(change.ref),
            "plan_hash": run.needs_plan().hash,
            "transitions": fence,
            "writes": writes_of(change),
            "after_generation": generation,
            "outcome": "written",
        }
        tell(context, run, "promote", said, log=self.log)
        service = run.train.service(self.service)
        from interlock.triggers.kubernetes import RolloutTrigger

        self.defer(
            trigger=RolloutTrigger(
                kubernetes_conn_id=run.environment.kubernetes,
                namespace=run.environment.namespace,
                kind=service.kind,
                name=service.workload,
                generation=generation,
                journal=run.head,
                journal_namespace=run.environment.journal_namespace,
                deadline=deadline.isoformat(),
            ),
            method_name="execute_complete",
        )

    async def _act(self, run: Run, change: Change, fence: int) -> int:
        from interlock.clients.journal import JournalStore
        from interlock.clients.workloads import Refused, promote

        async with run.client() as client:
            store = JournalStore(client, run.environment.journal_namespace)
            head = await store.head(run.hash)
            if head is None or head.closed:
                raise AirflowFailException("the run's journal is not open: clear the task `lock`")
            if head.stop is not None:
                raise AirflowFailException(f"the line was stopped: {head.stop.why} (by {head.stop.by})")
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
        for write in change.writes:
            self.log.info("%s %s: %s → %s", change.ref, write.path, write.before, write.after)
        return generation


class VerifyOperator(ServiceOperator):
    """Waits, in the triggerer, until the release has held for its soak."""

    def execute(self, context: Any) -> None:
        """Check that what is live is what the plan wanted, then defer; the wait ends the task."""
        run = self.this_run(context)
        change = self.change(run)
        if not change.writes:
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
            "service": self.service,
            "ref": str(change.ref),
            "plan_hash": run.needs_plan().hash,
            "after_generation": generation,
            "outcome": "complete",
            "reason": str(rollout.get("reason") or ""),
            "ended_at": rollout["ready_at"],
        }
        tell(context, run, "promote", said, log=self.log)
        service = run.train.service(self.service)
        from interlock.triggers.kubernetes import SoakTrigger

        self.defer(
            trigger=SoakTrigger(
                kubernetes_conn_id=run.environment.kubernetes,
                namespace=run.environment.namespace,
                kind=service.kind,
                name=service.workload,
                generation=generation,
                journal=run.head,
                journal_namespace=run.environment.journal_namespace,
                ready_at=rollout["ready_at"],
                seconds=service.soak.total_seconds(),
                restarts=rollout["baseline"],
            ),
            method_name="execute_complete",
            timeout=service.soak + timedelta(minutes=5),
        )

    async def _look(self, run: Run, change: Change) -> int:
        from interlock.clients.workloads import as_written

        async with run.client() as client:
            live = await client.get(change.ref)
        if live is None or not as_written(change, live):
            raise AirflowFailException(
                f"{self.service} does not run what this train promoted: it was changed or taken back since"
            )
        return live.generation


async def lock_and_open(
    run: Run, now: datetime, connection: KubernetesClient | None = None
) -> dict[str, int] | HeldBy:
    """Take the locks of all services on board and open the journal; or say who is in the way."""
    from interlock.clients.journal import JournalStore, Written
    from interlock.clients.locks import release_all, take_all

    plan = run.needs_plan()
    board = [change.service for change in plan.changes]
    where = run.environment
    async with connection or run.client() as client:
        taken = await take_all(client, where.namespace, where.journal_namespace, board, run.holder, now)
        if isinstance(taken, HeldBy):
            return taken
        store = JournalStore(client, where.journal_namespace)
        journals = await store.services(run.hash, board)
        stale = []
        for change in plan.changes:
            if journals[change.service].journal.moved:
                continue
            live = await client.get(change.ref)
            if live is None:
                stale.append(f"{change.ref} is gone")
            else:
                stale += [str(conflict) for conflict in still_holds(change, live)]
        if stale:
            await release_all(client, where.journal_namespace, run.holder, now)
            raise AirflowFailException(
                f"the plan no longer holds: {'; '.join(stale)}. Clear the task `plan` with all that follows"
            )
        await store.open(
            Head(run.dag_id, run.run_id, run.train.name, where.name, plan.to_json(), opened_at=now)
        )
        for name, written in journals.items():
            if written.version and not written.journal.moved:
                await store.write(run.hash, Written(ServiceJournal(name), written.version))
        return taken
