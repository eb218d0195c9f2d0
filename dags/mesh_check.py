"""Looks each morning whether each environment's mesh is as its entry in `include/environments.yaml` asks.

One task for each environment with an entry `mesh`; it fails on what the entry does not accept, and records
what it found. Trigger it by hand to look at once.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.sdk import DAG

from interlock.notifications.notifier import InterlockNotifier
from interlock.operators.istio import MeshCheckOperator
from interlock.project import environments_file
from interlock.trains.model import load_environments

with DAG(
    dag_id="mesh_check",
    description="Look whether the mesh security of each environment is as it asks",
    schedule="30 5 * * *",
    start_date=datetime(2024, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    tags=["interlock"],
    on_failure_callback=InterlockNotifier("failed"),
    doc_md=__doc__,
) as dag:
    for name, environment in load_environments(environments_file()).items():
        if environment.mesh is not None:
            MeshCheckOperator(
                task_id=name,
                namespace=environment.namespace,
                root_namespace=environment.mesh.root_namespace,
                fail_on=environment.mesh.fail_on,
                allow=environment.mesh.allow,
                kiali=environment.kiali,
                kubernetes_conn_id=environment.kubernetes,
                evidence_conn_id=environment.store,
                vault_conn_id=environment.vault,
                retries=1,
                retry_delay=timedelta(seconds=30),
            )
