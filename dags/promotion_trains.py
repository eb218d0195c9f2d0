"""One DAG for each train of include/trains: `promotion_train__NAME`; `undo_train__NAME` takes a run back.

The edges between the services are their real dependencies, so the graph is the interlocking. Rollback tasks
and `close` are teardowns: they run whatever happens to the run, also when somebody marks it failed, and what
they do is decided from the journal and the cluster. `close` alone decides the run's state.

A file that is wrong has no DAG; the import error of train_files.py names its line. The other trains load, and
so do all of them while environments.yaml is wrong: what has moved goes back.
"""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import get_args

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, Asset, Param, TaskGroup, TriggerRule, get_parsing_context
from airflow.sdk.definitions.param import ParamsDict

from interlock.notifications.notifier import InterlockNotifier
from interlock.operators.environment import environment_asset
from interlock.operators.train import ApproveOperator, LockOperator, PlanOperator, UndoPlanOperator
from interlock.operators.train_back import DecideOperator, RollbackOperator
from interlock.operators.train_end import CloseOperator
from interlock.operators.train_service import PreflightOperator, PromoteOperator, VerifyOperator
from interlock.project import environments_file, load_trains, train_files
from interlock.trains.model import Train, load_environments
from interlock.trains.order import Scope

# No param has a section: Airflow's form opens with the section of those that have none, and folds all others.
# Nor has a release a pattern: Airflow would show it as a regular expression, `plan` says what was expected.


def _params(train: Train) -> dict[str, Param]:
    releases = {
        service.name: Param(
            "",
            type=["null", "string"],
            title=service.name,
            description=f"Its release: a tag, @sha256:… or a full image of {service.image}; "
            "blank: not on this train",
        )
        for service in train.services
    }
    return releases | {
        "environment": _environment(train, "Where the train goes"),
        "rollback": Param(
            train.rollback,
            enum=list(get_args(Scope)),
            title="Rollback",
            description="What goes back when a service fails. train: all that moved; "
            "service: all but what is verified",
        ),
        "irreversible": Param(
            "",
            type=["null", "string"],
            title="Irreversible",
            description="Services on board whose release can't be taken back (a migration), "
            "separated by commas",
        ),
        "dry_run": _dry_run(),
        "change": Param(
            "",
            type=["null", "string"],
            title="Change",
            description="Ticket or pull request, for the record, such as SHOP-12",
        ),
        "reason": _reason("Why this train goes, for the record, such as: sprint 7"),
    }


def _undo_params(train: Train) -> dict[str, Param]:
    return {
        "environment": _environment(train, "Where the run went that is taken back"),
        "run_id": Param(
            "",
            type="string",
            minLength=1,
            title="Run to take back",
            description=f"Its run id, as the list of the runs of promotion_train__{train.name} shows it",
        ),
        "dry_run": _dry_run(),
        "reason": _reason("Why the run is taken back, for the record"),
    }


def _environment(train: Train, description: str) -> Param:
    """One of the train's environments; while environments.yaml names none, `plan` refuses and says why."""
    said = {"title": "Environment", "description": description}
    if not train.environments:
        return Param("", type=["null", "string"], **said)
    return Param(train.environments[0], enum=list(train.environments), **said)


def _dry_run() -> Param:
    return Param(
        False,
        type="boolean",
        title="Dry run",
        description="Ends after the plan: changes nothing in the cluster; the plan is kept as evidence",
    )


def _reason(description: str) -> Param:
    return Param("", type=["null", "string"], title="Reason", description=description)


def _train_dag(train: Train, *, undo: bool = False) -> DAG:
    """The DAG of a train; the same graph reversed, with its plan from a journal, takes a run back."""
    with DAG(
        dag_id=f"undo_train__{train.name}" if undo else f"promotion_train__{train.name}",
        description=f"Take a finished run of {train.name} back" if undo else train.description,
        schedule=None,
        start_date=datetime(2024, 1, 1, tzinfo=UTC),
        catchup=False,
        # Trains of one name queue up at the lock, where they say on whom they wait.
        max_active_runs=16,
        tags=["interlock", "train"],
        default_args={"retries": 0},
        on_failure_callback=InterlockNotifier("failed"),
        doc_md=__doc__,
    ) as dag:
        again = {"retries": 3, "retry_delay": timedelta(seconds=2)}
        of_train = {"train": train.name, "undo": undo}
        if undo:
            plan = UndoPlanOperator(task_id="plan", **of_train)
        else:
            plan = PlanOperator(task_id="plan", inlets=_checks(train), **of_train)
        lock = LockOperator(task_id="lock", **of_train, **again)
        if train.approval:
            plan >> ApproveOperator(task_id="approve", train=train.name) >> lock
        else:
            plan >> lock

        arrived = EmptyOperator(task_id="arrived", trigger_rule=TriggerRule.NONE_FAILED)
        of_service = {}
        for service in train.services:
            with TaskGroup(group_id=service.name):
                common = {**of_train, "service": service.name}
                # A service before it may not be on board. Without a lock (a dry run) nothing goes on.
                promote = PromoteOperator(
                    task_id="promote", trigger_rule=TriggerRule.NONE_FAILED_MIN_ONE_SUCCESS, **common
                )
                verify = VerifyOperator(
                    task_id="verify", patience=service.soak + timedelta(minutes=5), **common
                )
                promote >> verify
                # What comes first has just been looked at by `lock`.
                first = promote
                if service.after:
                    first = PreflightOperator(
                        task_id="preflight",
                        trigger_rule=TriggerRule.NONE_FAILED_MIN_ONE_SUCCESS,
                        patience=service.deadline,
                        **common,
                    )
                    first >> promote
                # No edge from `plan`: at each look the scheduler would read for each service what it skips.
                lock >> first
            of_service[service.name] = (first, promote, verify)
        for service in train.services:
            for dependency in service.after:
                # The next one is looked at while this one soaks.
                of_service[dependency][1] >> of_service[service.name][0]
                of_service[dependency][2] >> of_service[service.name][1]
        verified = [verify for _, _, verify in of_service.values()]

        with TaskGroup(group_id="rollback"):
            decide = DecideOperator(task_id="decide", **of_train, **again).as_teardown()
            back = {}
            for service in train.services:
                back[service.name] = RollbackOperator(
                    task_id=service.name, service=service.name, **of_train, **again
                ).as_teardown()
                # One that can't go back does not keep those behind it from going back.
                back[service.name].trigger_rule = TriggerRule.ALL_DONE
            for service in train.services:
                decide >> back[service.name]
                for dependency in service.after:
                    back[service.name] >> back[dependency]

        close = CloseOperator(task_id="close", **of_train, **again).as_teardown(on_failure_fail_dagrun=True)
        verified >> arrived >> close
        verified >> decide
        list(back.values()) >> close
    # At last, since each operator would copy them: for hundreds of services that takes minutes.
    dag.params = ParamsDict(_undo_params(train) if undo else _params(train))
    return dag


def _checks(train: Train) -> list[Asset]:
    """What tells whether the train's environments passed their checks, of those that want trains to ask."""
    known = [_environments[name] for name in train.environments if name in _environments]
    return [environment_asset(one.name) for one in known if one.checked_within is not None]


def _for_task(train: Train, task_id: str) -> Train:
    """What a worker builds for a task: `promote`, of which there are many, needs its service alone."""
    name, _, task = task_id.partition(".")
    if task != "promote":
        return train
    return replace(train, services=(replace(train.service(name), after=()),))


# A task needs its own DAG alone; the DAG processor, which asks for none, gets them all.
_asked, _asked_task = get_parsing_context()
_files = [file for file in train_files() if not _asked or _asked.partition("__")[2] == file.stem]
_environments = load_environments(environments_file())
_found = load_trains(_environments.names, _files)
# To the DAG processor an import error here would deactivate the other trains: train_files.py tells it.
if _asked and _found.broken:
    raise ValueError("\n".join(_found.broken.values()))
for _train in _found.loaded:
    if _asked_task:
        _train = _for_task(_train, _asked_task)
    # A worker builds its DAG anew for each task: with hundreds of services a second one counts.
    _dags = []
    if not _asked or _asked.startswith("promotion_"):
        _dags.append(_train_dag(_train))
    if not _asked or _asked.startswith("undo_"):
        _dags.append(_train_dag(_train.reversed(), undo=True))
    globals().update({_dag.dag_id: _dag for _dag in _dags})
