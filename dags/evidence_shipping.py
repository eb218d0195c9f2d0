"""Carries statements that wait in the spool to the store: every five minutes, and when it is triggered."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.sdk import DAG

from interlock.notifications.notifier import InterlockNotifier
from interlock.operators.evidence import ShipEvidenceOperator

with DAG(
    dag_id="evidence_shipping",
    description="Deliver what waits in the evidence spool",
    schedule=timedelta(minutes=5),
    start_date=datetime(2024, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    tags=["interlock", "evidence"],
    on_failure_callback=InterlockNotifier("failed", first=True),
    doc_md=__doc__,
) as dag:
    # A store that has just come back may answer some requests before it answers all.
    ShipEvidenceOperator(task_id="ship", retries=3, retry_delay=timedelta(seconds=10))
