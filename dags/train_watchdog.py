"""Finds trains whose run was deleted or has ended with its journal open, and takes back what they moved.

Every two minutes. A run that is alive is left alone. While its DAG is paused it goes neither on nor back:
then this DAG's run fails and says so. Journals of runs that closed long ago (`journal_days`) are removed.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.sdk import DAG

from interlock.notifications.notifier import InterlockNotifier
from interlock.operators.watchdog import WatchdogOperator

with DAG(
    dag_id="train_watchdog",
    description="Take back what trains without a live run have moved",
    schedule=timedelta(minutes=2),
    start_date=datetime(2024, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    tags=["interlock", "train"],
    on_failure_callback=InterlockNotifier("failed", first=True),
    doc_md=__doc__,
) as dag:
    WatchdogOperator(task_id="watch", old=timedelta(days=1))
