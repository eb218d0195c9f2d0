"""What every task of a train needs to know of its run: the train, the environment, the plan, the journal."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowFailException

from interlock.project import environments_file, train_file
from interlock.runs.wait import Guarded, Wait
from interlock.trains.change import Change
from interlock.trains.entries import head_name, run_hash
from interlock.trains.environments import Environment, Environments, load_environments
from interlock.trains.located import TrainFileError
from interlock.trains.lock import holder_of
from interlock.trains.model import Train, load_train
from interlock.trains.plan import Plan
from interlock.trains.resume import ending

if TYPE_CHECKING:
    from interlock.clients.kubernetes import KubernetesClient

PLAN_KEY = "plan"
LOCKED_KEY = "locked"
"""Of the task `lock`: for which plan the locks were taken, and the transitions of each (`locked`)."""
HASH_KEY = "hash"
"""Of the task `plan`: the plan's hash."""
ENVIRONMENT_KEY = "environment"
"""Of the task `plan`: the environment as the run was planned for it."""
DRY_KEY = "dry_run"
"""Of the task `plan`: whether the run ends with it."""
WHY_KEY = "why"
"""Of the task `plan`: why it failed, in one line."""
WAITED_KEY = "waited"
"""Of the task `lock`: for how many seconds it waited in the triggerer."""
VERDICT_KEY = "verdict"
"""Of the task `close`: how the run ended, for people."""
PREFLIGHT_KEY, ROLLOUT_KEY, SOAK_KEY = "preflight", "rollout", "soak"
"""Of the tasks of a service: what their waits in the triggerer found."""
APPROVED_KEY = "plan"
"""Of the task `approve`: the hash of the plan that it asks about."""

KNOWN_PLANS = 16
_plans: dict[str, Plan] = {}


@dataclass(frozen=True)
class Run:
    """One run of a train, as its tasks see it.

    Attributes:
        train: the train, read from its file.
        environment: where the run goes.
        dag_id: the train's DAG.
        run_id: the run.
        try_number: the task's try.
        plan: the plan; None where `plan` has not made one.
        clear_number: how often the run was cleared.
    """

    train: Train
    environment: Environment
    dag_id: str
    run_id: str
    try_number: int
    plan: Plan | None
    clear_number: int = 0

    @classmethod
    def of(cls, train: str, context: Mapping[str, Any], *, undo: bool = False) -> Run:
        """The run of a task's context; an undo has the train's edges reversed."""
        loaded, environments = _loaded(train)
        if undo:
            loaded = loaded.reversed()
        ti = context["ti"]
        cleared = int(getattr(context.get("dag_run"), "clear_number", 0) or 0)
        plan = _plan(ti)
        first = next(iter(loaded.environments), "")
        name = plan.environment if plan else str(context["params"].get("environment") or first)
        environment = _environment(environments, name, ti)
        return cls(loaded, environment, ti.dag_id, ti.run_id, ti.try_number, plan, cleared)

    @classmethod
    def planned(cls, plan: Mapping[str, Any], dag_id: str, run_id: str, clear_number: int) -> Run:
        """The run of a plan, outside a task."""
        made = Plan.from_json(plan)
        train, environments = _loaded(made.train)
        return cls(train, environments.named(made.environment), dag_id, run_id, 1, made, clear_number)

    @property
    def holder(self) -> str:
        """The identity under which the run holds its locks."""
        return holder_of(self.dag_id, self.run_id)

    @property
    def hash(self) -> str:
        """The hash that names the run's journals."""
        return run_hash(self.dag_id, self.run_id)

    @property
    def head(self) -> str:
        """The name of the run's head Secret."""
        return head_name(self.hash)

    def client(self) -> KubernetesClient:
        """A client for the environment's cluster."""
        from interlock.hooks.kubernetes import InterlockKubernetesHook

        return InterlockKubernetesHook(self.environment.kubernetes).get_conn()

    def needs_plan(self) -> Plan:
        """The plan, or a refusal that says what to clear."""
        if self.plan is None:
            raise AirflowFailException("this run has no plan: clear the task `plan` with all that follows")
        return self.plan

    def change(self, service: str) -> Change:
        """What the plan changes of a service, or a refusal that says what to clear."""
        for change in self.needs_plan().changes:
            if change.service == service:
                return change
        raise AirflowFailException(
            f"{service} is not in this run's plan: clear the task `plan` with all that follows"
        )

    def wait_for(self, service: str) -> Wait:
        """What a wait for a service watches."""
        found = self.train.service(service)
        where = self.environment
        return Wait(
            kubernetes_conn_id=where.kubernetes,
            namespace=where.namespace,
            kind=found.kind,
            name=found.workload,
            journal=self.head,
            journal_namespace=where.journal_namespace,
            mesh=self._guarded(),
        )

    def _guarded(self) -> Guarded | None:
        """What the mesh gate asks of all on board and of those that they come after."""
        gate = self.environment.mesh
        if gate is None or self.plan is None:
            return None
        names: dict[str, None] = {}
        for change in self.plan.changes:
            names.update(dict.fromkeys((*self.train.service(change.service).after, change.service)))
        return Guarded(gate, {name: self.train.service(name).workload for name in names})

    def needs_lock(self, ti: Any) -> dict[str, int]:
        """The transitions of each service's lock, or a refusal that says what to clear."""
        plan = self.needs_plan()
        found = pulled(ti, "lock", LOCKED_KEY)
        made = found.get("plan_hash")
        if made != plan.hash:
            why = f": they were taken for plan {str(made)[:12]}, which was made again since" if made else ""
            raise AirflowFailException(
                f"this run holds no locks for plan {plan.hash[:12]}{why}. "
                "Clear the task `lock` with all that follows"
            )
        return {service: int(number) for service, number in found["transitions"].items()}

    def has_locked(self, ti: Any) -> bool:
        """Whether this run took its locks for its plan, and so has opened its journal."""
        made = pulled(ti, "lock", LOCKED_KEY).get("plan_hash")
        return self.plan is not None and made == self.plan.hash

    def needs_fence(self, ti: Any, service: str) -> int:
        """The transitions of the service's lock, or a refusal that says what to clear."""
        fences = self.needs_lock(ti)
        if service not in fences:
            raise AirflowFailException(
                f"this run holds no lock of {service}: clear the task `lock` with all that follows"
            )
        return fences[service]

    def states(self, ti: Any) -> dict[str, str | None]:
        """The states of the run's tasks by task id."""
        found = ti.get_task_states(dag_id=self.dag_id, run_ids=[self.run_id]).get(self.run_id, {})
        return {task: None if state is None else str(state) for task, state in found.items()}

    def refuse_when_ending(self, ti: Any) -> dict[str, str | None]:
        """Refuse to move anything once this run has begun to go back or to close; the states of its tasks."""
        states = self.states(ti)
        if why := ending(states):
            raise AirflowFailException(why)
        return states


def _environment(environments: Environments, name: str, ti: Any) -> Environment:
    """The run's environment by its file; where that is broken meanwhile, as the run was planned for it."""
    if name in environments:
        return environments[name]
    planned = pulled(ti, "plan", ENVIRONMENT_KEY)
    if planned.get("name") == name:
        return Environment.of_json(planned)
    try:
        return environments.named(name)
    except TrainFileError as error:
        raise AirflowFailException(str(error)) from None


def _loaded(train: str) -> tuple[Train, Environments]:
    files = (train_file(train), environments_file())
    return _read(*files, tuple(_version(file) for file in files))


def _version(file: Path) -> tuple[int, int]:
    """When a file was changed, and its size; nothing for one that isn't there."""
    try:
        found = file.stat()
    except OSError:
        return (0, 0)
    return found.st_mtime_ns, found.st_size


@lru_cache(maxsize=16)
def _read(
    train: Path, environments: Path, versions: tuple[tuple[int, int], ...]
) -> tuple[Train, Environments]:
    """What the files say, kept until they change: a triggerer asks for each service of a train."""
    known = load_environments(environments)
    return load_train(train, known.names), known


def _plan(ti: Any) -> Plan | None:
    """The run's plan. Of hundreds of services it is large, and a triggerer asks for it for each of them."""
    # A worker knows none yet, and asks but once.
    known = _plans and str(ti.xcom_pull(task_ids="plan", key=HASH_KEY, map_indexes=-1) or "").strip('"')
    if known and (found := _plans.get(known)):
        return found
    raw = pulled(ti, "plan", PLAN_KEY)
    if not raw:
        return None
    plan = Plan.from_json(raw)
    if len(_plans) >= KNOWN_PLANS:
        _plans.pop(next(iter(_plans)), None)
    _plans[plan.hash] = plan
    return plan


def locked(plan: Plan, fences: Mapping[str, int]) -> dict[str, Any]:
    """What `lock` leaves for the tasks of the services, wherever it ends."""
    return {"plan_hash": plan.hash, "transitions": dict(fences)}


def pulled(ti: Any, task_id: str, key: str) -> dict[str, Any]:
    """An XCom that is an object; empty if there is none. What a trigger pushed arrives as JSON text.

    It may be called in a worker, and in a thread of the triggerer, which has to be told that no task of a
    train is mapped.
    """
    value = ti.xcom_pull(task_ids=task_id, key=key, map_indexes=-1)
    return (json.loads(value) if isinstance(value, str) else value) or {}
