"""What Airflow's programs load before they fork; each case in a fresh process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[2]

_ASK = """
import importlib, json, os, sys
from airflow.jobs.job import Job
from airflow.listeners.listener import get_listener_manager
from airflow.sdk.execution_time.task_runner import TaskRunnerMarker

component = Job() if sys.argv[1] == "program" else TaskRunnerMarker()
if sys.argv[1] == "task":
    get_listener_manager().hook.on_starting(component=component)
before = set(sys.modules)
for name in sys.argv[2:]:
    importlib.import_module(name)
print(json.dumps(sorted(set(sys.modules) - before)))
"""
_OF_A_TASK = (
    "airflow.sdk.execution_time.supervisor",
    "airflow.dag_processing.dagbag",
    "interlock.operators.train_service",
    "interlock.operators.train_back",
    "interlock.operators.train_end",
    "interlock.clients.workloads",
    "interlock.clients.journal",
    "interlock.clients.evidence",
    "interlock.triggers.kubernetes",
    "boto3",
    "hvac",
    "httpx2",
)


def _loaded_later(tmp_path: Path, where: str) -> list[str]:
    """What a process of this kind has to load when it needs what a task of a train needs."""
    kept = {
        name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "INTERLOCK_"))
    }
    environment = {
        **kept,
        "AIRFLOW_HOME": str(tmp_path / "airflow"),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(CHECKOUT / "plugins"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
    }
    answer = subprocess.run(
        [sys.executable, "-c", _ASK, where, *_OF_A_TASK],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert answer.returncode == 0, answer.stderr
    found: list[str] = json.loads(answer.stdout.splitlines()[-1])
    return found


def test_a_program_has_loaded_all_that_its_tasks_need(tmp_path: Path) -> None:
    assert _loaded_later(tmp_path, "program") == []


def test_a_task_loads_only_what_it_uses(tmp_path: Path) -> None:
    later = _loaded_later(tmp_path, "task")
    assert {"boto3", "hvac", "httpx2"} <= set(later)
