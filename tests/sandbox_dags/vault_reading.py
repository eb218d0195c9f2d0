"""For the tests alone: waits for a secret in Vault and looks at it, as a DAG of a project would."""

from __future__ import annotations

from datetime import UTC, datetime

from airflow.sdk import DAG

from interlock.operators.vault import VaultSecretsOperator
from interlock.sensors.vault import VaultSecretsSensor

PATH = "interlock/tests/canary"

with DAG(
    dag_id="test_vault_reading", schedule=None, start_date=datetime(2024, 1, 1, tzinfo=UTC), catchup=False
) as dag:
    there = VaultSecretsSensor(
        task_id="there", secrets={PATH: ["password"]}, poke_interval=2, timeout=60, mode="poke"
    )
    there >> VaultSecretsOperator(task_id="look", paths=[PATH], evidence_conn_id="interlock_evidence")
