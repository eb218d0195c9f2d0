"""Looks whether each environment is in order: GitHub, Vault, the tools, the evidence store.

Every morning, and before a train: trigger it with the form. `include/environment.yaml` says what is wanted.
The page is in the log of the task `report` and in its XCom `page`; each check that passes gives an event of
the asset `interlock_environment__NAME`, which the gate `EnvironmentPassedOperator` looks at.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.sdk import DAG, Param, TaskGroup, TriggerRule

from interlock.notifications.notifier import InterlockNotifier
from interlock.operators.environment import (
    EnvironmentReportOperator,
    GithubCheckOperator,
    StoreCheckOperator,
    ToolsCheckOperator,
    VaultCheckOperator,
    environment_asset,
)
from interlock.project import environments_file
from interlock.trains.model import load_environments

_environments = load_environments(environments_file())
if _environments.names is None:
    raise ValueError("\n".join(map(str, _environments.problems)))

with DAG(
    dag_id="environment_check",
    description="Look whether accounts, rights, tools and the store are in order",
    schedule="0 5 * * *",
    start_date=datetime(2024, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    params={
        "environment": Param(
            "",
            enum=["", *_environments.names],
            title="Environment",
            description="Which one is looked at; blank: all",
        ),
        "pull_requests": Param(
            "",
            type=["null", "string"],
            title="Pull requests",
            description="Of the sprint, such as owner/name#12, separated by commas; "
            "blank: those of include/environment.yaml",
        ),
    },
    tags=["interlock"],
    on_failure_callback=InterlockNotifier("failed"),
    doc_md=__doc__,
) as dag:
    only = "{{ params.environment or '' }}"
    for name in _environments.names:
        with TaskGroup(group_id=name):
            common = {
                "environment": name,
                "only": only,
                "retries": 1,
                "retry_delay": timedelta(seconds=30),
                # Requests have limits; a server that answers byte by byte would still hold a worker.
                "execution_timeout": timedelta(minutes=5),
            }
            looks = [
                GithubCheckOperator(
                    task_id="github", pull_requests="{{ params.pull_requests or '' }}", **common
                ),
                VaultCheckOperator(task_id="vault", **common),
                ToolsCheckOperator(task_id="tools", **common),
                StoreCheckOperator(task_id="store", **common),
            ]
            looks >> EnvironmentReportOperator(
                task_id="report",
                environment=name,
                only=only,
                checked_by=[task.task_id for task in looks],
                trigger_rule=TriggerRule.ALL_DONE,
                outlets=[environment_asset(name)],
            )
