"""The trains as a team would write them by hand: a task a service, which moves it, waits and soaks.

The benchmark writes `by-hand.json` beside the trains: for each DAG its services, what they come after, and
the command that moves them.
"""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from pathlib import Path

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG

_described = json.loads((Path(os.environ["INTERLOCK_INCLUDE"]) / "by-hand.json").read_text())

for _dag_id, _services in _described["dags"].items():
    with DAG(
        dag_id=_dag_id, schedule=None, start_date=datetime(2024, 1, 1, tzinfo=UTC), catchup=False
    ) as _dag:
        _tasks = {
            name: BashOperator(
                task_id=name,
                bash_command=service["command"],
                env=_described["environment"],
                append_env=True,
            )
            for name, service in _services.items()
        }
        for name, service in _services.items():
            for dependency in service["after"]:
                _tasks[dependency] >> _tasks[name]
    globals()[_dag_id] = _dag
