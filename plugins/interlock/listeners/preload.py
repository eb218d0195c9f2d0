"""Load what tasks need before Airflow's programs fork, instead of once more in each task.

The LocalExecutor's workers are forks of the scheduler, their tasks are forks of the workers; the triggerer's
runner is a fork of the triggerer, and each reading of a DAG file one of the DAG processor. What a program has
loaded when it starts, all of these have for nothing, and share its memory. A task of a train otherwise
spends longer on imports than on its work. Where workers start afresh for each task nothing is gained or lost.
"""

from __future__ import annotations

import gc
import importlib
import pkgutil

from airflow.listeners import hookimpl

import interlock

_OF_AIRFLOW = (
    "airflow.sdk.execution_time.supervisor",
    "airflow.sdk.execution_time.task_runner",
    "airflow.dag_processing.dagbag",
    "airflow.providers.standard.operators.empty",
)
"""What a task's process loads of Airflow after its fork."""


@hookimpl  # type: ignore[untyped-decorator]
def on_starting(component: object) -> None:
    """Load it in the programs that have a job: scheduler, triggerer, DAG processor; not in a task."""
    if type(component).__module__ == "airflow.jobs.job":
        load()


def load() -> None:
    """Import Interlock whole, with the clients' libraries, and what a task needs of Airflow."""
    for name in _OF_AIRFLOW:
        importlib.import_module(name)
    for module in pkgutil.walk_packages(interlock.__path__, f"{interlock.__name__}."):
        # Pages are served by the API server alone; they would load all of it.
        if not module.name.startswith("interlock.ui."):
            importlib.import_module(module.name)
    from interlock.clients.object_store import read_descriptions

    read_descriptions()
    # What is loaded stays: the garbage collection of a fork neither looks at it again nor copies its memory.
    gc.collect()
    gc.freeze()
