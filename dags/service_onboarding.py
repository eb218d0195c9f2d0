"""Looks whether services are ready for promotion: one checklist, and one task, for each.

Every night for all, and when triggered with the form for one. The checklist is under *Checklist* in the run
and behind the task's link of that name; it has the manifest of each item that is missing. `include/services`
has a file for each service that needs more than the defaults; docs/onboarding.md explains the items.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.sdk import DAG, Param

from interlock.notifications.notifier import InterlockNotifier
from interlock.operators.onboarding import OnboardingOperator
from interlock.project import environments_file, load_trains, service_names
from interlock.trains.model import load_environments

_environments = load_environments(environments_file())
if _environments.names is None:
    raise ValueError("\n".join(map(str, _environments.problems)))
_services = service_names(load_trains(_environments.names).loaded)

with DAG(
    dag_id="service_onboarding",
    description="Look whether services are ready for promotion, with what would mend what is missing",
    schedule="0 1 * * *",
    start_date=datetime(2024, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    params={
        "service": Param(
            "",
            enum=["", *_services],
            title="Service",
            description="Which one is looked at; blank: all",
        ),
        "environment": Param(
            "",
            enum=["", *_environments.names],
            title="Environment",
            description="Where; blank: as the service's file says, else the first",
        ),
    },
    tags=["interlock"],
    on_failure_callback=InterlockNotifier("failed"),
    doc_md=__doc__,
) as dag:
    for name in _services:
        OnboardingOperator(
            task_id=name,
            service=name,
            environment="{{ params.environment or '' }}",
            only="{{ params.service or '' }}",
            retries=1,
            retry_delay=timedelta(seconds=30),
        )
