"""Tries each connection and each right that Interlock needs, from a worker: one task for each environment.

Trigger it after an installation and after each change of rights. A task fails where something is missing, and
lists what, and the file or setting that gives it; the XCom of one that succeeds holds all lines.
"""

from __future__ import annotations

from datetime import UTC, datetime

from airflow.sdk import DAG

from interlock.operators.doctor import DoctorOperator
from interlock.project import environments_file
from interlock.trains.model import load_environments

_environments = load_environments(environments_file())
if _environments.names is None:
    raise ValueError("\n".join(map(str, _environments.problems)))

with DAG(
    dag_id="doctor",
    description="Try each connection and right that Interlock needs",
    schedule=None,
    start_date=datetime(2024, 1, 1, tzinfo=UTC),
    catchup=False,
    max_active_runs=1,
    tags=["interlock"],
    doc_md=__doc__,
) as dag:
    for name in _environments.names:
        DoctorOperator(task_id=name, environment=name)
