"""The tasks of a whole train before it moves: plan, approve, lock.

They gather, ask the core, act and record. What they may do is decided from the journal and the cluster, not
from task states alone, so that clearing any of them is safe.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk import BaseOperator
from airflow.sdk.bases.skipmixin import SkipMixin
from airflow.sdk.exceptions import AirflowFailException

from interlock.mesh import kiali
from interlock.notifications.notifier import InterlockNotifier
from interlock.operators.kiali_link import KialiLink
from interlock.operators.train_evidence import tell_plan
from interlock.project import environments_file, train_file
from interlock.runs.lock import lock_and_open, needs_approval
from interlock.runs.run import (
    APPROVED_KEY,
    DRY_KEY,
    ENVIRONMENT_KEY,
    HASH_KEY,
    LOCKED_KEY,
    PLAN_KEY,
    WHY_KEY,
    Run,
    locked,
    pulled,
)
from interlock.trains.config import RunConfigError, parse_run_config
from interlock.trains.entries import run_hash
from interlock.trains.lock import HeldBy
from interlock.trains.model import load_environments, load_train
from interlock.trains.order import between
from interlock.trains.plan import Plan, PlanError, as_list, render
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
        self.kiali_page = ""

    def this_run(self, context: Any) -> Run:
        """The run that the task belongs to."""
        return Run.of(self.train, context, undo=self.undo)

    def execute_complete(self, context: Any, event: dict[str, Any]) -> None:
        """Never reached: the waits of a train end their task in the triggerer."""
        raise AirflowFailException("a wait of a train resumed in a worker, which it never should")


class PlanOperator(TrainOperator, SkipMixin):
    """Checks the run's config, reads what is live, works out every change; changes nothing in the cluster.

    Skips the services that are not on board; a dry run ends here. Where the environment says
    `checked_within`, no train goes unless the environment passed its check not longer ago.
    """

    inherits_from_skipmixin = True
    operator_extra_links: ClassVar[tuple[KialiLink, ...]] = (KialiLink(),)

    def execute(self, context: Any) -> None:
        """Make the plan, push it, show it; what goes wrong is noted for `close`, which says it again."""
        try:
            self._plan(context)
        except Exception as error:
            said = str(error) or type(error).__name__
            context["ti"].xcom_push(key=WHY_KEY, value="; ".join(said.splitlines()))
            raise

    def _plan(self, context: Any) -> None:
        environments = load_environments(environments_file())
        train = load_train(train_file(self.train), environments.names)
        # Airflow accepts conf keys that are no params; the core refuses them.
        given = {**context["params"], **(context["dag_run"].conf or {})}
        if wrong := environments.wrong(given.get("environment")):
            raise AirflowFailException("\n".join(map(str, wrong)))
        try:
            config = parse_run_config(train, environments, given)
        except RunConfigError as error:
            raise AirflowFailException(str(error)) from None
        if config.environment.kiali:
            self.kiali_page = kiali.graph(config.environment.kiali, config.environment.namespace)
        within = config.environment.checked_within
        if within is not None and not config.dry_run:
            from interlock.operators.environment import last_passed

            last_passed(context, config.environment.name, timedelta(seconds=within))
        run = replace(self.this_run(context), environment=config.environment)

        async def make() -> Plan:
            from interlock.clients.survey import survey

            async with run.client() as client:
                return await _let_in(client, run, await survey(client, train, config))

        try:
            plan = asyncio.run(make())
        except PlanError as error:
            raise AirflowFailException(str(error)) from None
        self._finish(context, run, plan, dry_run=config.dry_run)

    def _finish(self, context: Any, run: Run, plan: Plan, *, dry_run: bool) -> None:
        """Show the plan, push it, record it; then skip what is not on board."""
        for line in render(plan).splitlines():
            self.log.info("%s", line)
        ti = context["ti"]
        ti.xcom_push(key=PLAN_KEY, value=plan.to_json())
        ti.xcom_push(key=HASH_KEY, value=plan.hash)
        ti.xcom_push(key=ENVIRONMENT_KEY, value=asdict(run.environment))
        ti.xcom_push(key="text", value=as_list(render(plan)))
        ti.xcom_push(key=DRY_KEY, value=dry_run)
        tell_plan(context, replace(run, plan=plan), plan, log=self.log, dry_run=dry_run)
        board = {change.service for change in plan.changes}
        off = {service.name for service in run.train.services if dry_run or service.name not in board}
        if not dry_run:
            # Skipped at once, these would let those behind them go on before their turn: each skips itself.
            off -= between({service.name: service.after for service in run.train.services}, board)
        outward = {f"{service}.{task}" for service in off for task in ("preflight", "promote")}
        if dry_run:
            self.log.info("dry run: it ends here, nothing was changed in the cluster")
            outward |= {"approve", "lock"}
        self.skip(ti, [task for task in self.dag.tasks if task.task_id in outward])


async def _let_in(client: KubernetesClient, run: Run, plan: Plan) -> Plan:
    """The plan, if the mesh gate lets all on board move.

    Raises:
        PlanError: it does not; all reasons at once.
    """
    from interlock.clients.istio import refusals

    board = [change.service for change in plan.changes]
    if refused := await refusals(client, run.environment, run.train, board):
        raise PlanError(refused)
    return plan


class UndoPlanOperator(PlanOperator):
    """Plans, from its journal, how a finished run is taken back; changes nothing in the cluster."""

    def _plan(self, context: Any) -> None:
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
                if head is None and await store.head(run_hash(f"undo_train__{self.train}", wanted)):
                    raise AirflowFailException(
                        f"run {wanted!r} is itself an undo: to go forward again, trigger "
                        f"promotion_train__{self.train} with the releases that are wanted"
                    )
                if head is None or head.train != self.train:
                    raise AirflowFailException(
                        f"there is no journal of a run {wanted!r} of promotion_train__{self.train}: "
                        "give the run id as the list of the DAG's runs shows it"
                    )
                if not head.closed:
                    raise AirflowFailException(f"run {wanted!r} has not ended yet")
                if head.environment != run.environment.name:
                    raise AirflowFailException(
                        f"run {wanted!r} went to environment {head.environment}: choose it in the form"
                    )
                made = Plan.from_json(head.plan)
                names = [change.service for change in made.changes]
                journals = {
                    name: written.journal for name, written in (await store.services(former, names)).items()
                }
                refs = {m.ref for journal in journals.values() for m in journal.mutations}
                live = await client.get_all(refs)
                plan = make_undo(run.train, head.environment, journals, live, made.irreversible, wanted)
                return await _let_in(client, run, plan)

        try:
            plan = asyncio.run(make())
        except PlanError as error:
            raise AirflowFailException(str(error)) from None
        self._finish(context, run, plan, dry_run=dry_run)


class ApproveOperator(ApprovalOperator):
    """Waits until a person approves the plan, by its hash; rejecting fails the run.

    :param train: the train's name.
    """

    def execute(self, context: Any) -> None:
        """Note which plan is asked about, then ask; the wait holds no worker."""
        plan = Plan.from_json(pulled(context["ti"], "plan", PLAN_KEY))
        context["ti"].xcom_push(key=APPROVED_KEY, value=plan.hash)
        super().execute(context)

    def __init__(self, *, train: str, **kwargs: Any) -> None:
        super().__init__(
            subject="{% set plan = ti.xcom_pull(task_ids='plan', key='plan') %}"
            f"Train {train}"
            "{% if 'undo_of' in plan %}, undo of {{ plan.undo_of }}{% endif %}"
            ": approve plan {{ plan.hash[:12] }}",
            body="{{ ti.xcom_pull(task_ids='plan', key='text') }}",
            fail_on_reject=True,
            notifiers=InterlockNotifier("approval"),
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
        run.refuse_when_ending(ti)
        if run.train.approval:
            needs_approval(ti, plan)

        async def take() -> dict[str, int] | HeldBy:
            async with run.client() as client:
                return await lock_and_open(run, client, datetime.now(UTC))

        taken = asyncio.run(take())
        if isinstance(taken, HeldBy):
            from interlock.triggers.train import LockTrigger

            self.log.info("waiting: %s", taken)
            self.defer(
                trigger=LockTrigger(
                    train=self.train,
                    dag_id=run.dag_id,
                    run_id=run.run_id,
                    plan=plan.to_json(),
                    since=datetime.now(UTC).isoformat(),
                    clear_number=run.clear_number,
                ),
                method_name="execute_complete",
            )
            return
        ti.xcom_push(key=LOCKED_KEY, value=locked(plan, taken))
        self.log.info("locked %s", ", ".join(f"{name} ({number})" for name, number in taken.items()))
