"""Looks each morning whether each environment's mesh is as its entry in `include/environments.yaml` asks.

For each environment with an entry `mesh`: the task `check` looks at the objects and, with `mesh.traffic`, at
the traffic that was counted; with `mesh.probe`, the task `probe` tries the ports. They fail on what the entry
does not accept, and record what they found. Trigger it by hand to look at once.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from airflow.sdk import DAG, TaskGroup

from interlock.notifications.notifier import InterlockNotifier
from interlock.operators.istio import MeshCheckOperator
from interlock.operators.mesh_probe import MeshProbeOperator
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
        if (mesh := environment.mesh) is None:
            continue
        asked = {
            "namespace": environment.namespace,
            "root_namespace": mesh.root_namespace,
            "fail_on": mesh.fail_on,
            "allow": mesh.allow,
            "kubernetes_conn_id": environment.kubernetes,
            "evidence_conn_id": environment.store,
            "vault_conn_id": environment.vault,
            "retries": 1,
            "retry_delay": timedelta(seconds=30),
        }
        with TaskGroup(group_id=name):
            observed = mesh.traffic and {
                "prometheus_conn_id": mesh.traffic.prometheus,
                "window": timedelta(seconds=mesh.traffic.window),
            }
            MeshCheckOperator(task_id="check", kiali=environment.kiali, **asked, **(observed or {}))
            if (probe := mesh.probe) is not None:
                MeshProbeOperator(
                    task_id="probe",
                    image=probe.image,
                    service_account=probe.service_account,
                    limit=probe.limit,
                    **asked,
                )
