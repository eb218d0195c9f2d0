"""Looks whether services are ready for promotion: one checklist, and one task, for each.

Every night for all, and when triggered with the form for one. The checklist is under *Checklist* in the run
and behind the task's link of that name; it has the manifest of each item that is missing. `include/services`
has a file for each service that needs more than the defaults; docs/onboarding.md explains the items.
"""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, CronTriggerTimetable, Param

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
    # Not also at once where it is new, as with a date to start from: that would be all services by day.
    schedule=CronTriggerTimetable("0 1 * * *", timezone="UTC", run_immediately=timedelta(0)),
    catchup=False,
    max_active_runs=1,
    max_active_tasks=4,
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
