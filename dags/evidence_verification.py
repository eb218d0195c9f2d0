"""Verifies the evidence log: every night what is new, on Sundays all of it; fails on any finding.

What was verified is recorded as evidence itself. For an audit, don't ask this DAG: `interlock-verify` needs
nothing of Interlock but its code, and trusts only the keys that it is given.
"""

from __future__ import annotations

from datetime import UTC, datetime

from airflow.sdk import DAG, Param

from interlock.notifications.notifier import InterlockNotifier
from interlock.operators.evidence_verification import LOG, MODES, VerifyEvidenceOperator

with DAG(
    dag_id="evidence_verification",
    description="Verify the evidence log",
    schedule="30 3 * * *",
    start_date=datetime(2024, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    params={
        "mode": Param(
            "auto",
            enum=list(MODES),
            title="What is verified",
            description="incremental: what came after the last good head; auto: all of it on Sundays",
        )
    },
    tags=["interlock", "evidence"],
    on_failure_callback=InterlockNotifier("failed"),
    doc_md=__doc__,
) as dag:
    VerifyEvidenceOperator(task_id="verify", mode="{{ params.mode }}", outlets=[LOG])
