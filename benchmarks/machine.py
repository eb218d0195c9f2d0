"""What a figure is worth depends on: the machine, the versions and the limits."""

from __future__ import annotations

import os
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path

import psutil  # type: ignore[import-untyped]

from benchmarks.metadata import Metadata
from sandbox.binaries import KUBERNETES_VERSION
from sandbox.parts.airflow import settings
from sandbox.parts.kubernetes import Kubernetes
from sandbox.state import CHECKOUT, State


def machine() -> dict[str, str]:
    """The machine."""
    model = platform.processor() or platform.machine()
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            model = line.partition(":")[2].strip()
            break
    return {
        "CPU": f"{len(os.sched_getaffinity(0))} cores of {model}",
        "memory": f"{psutil.virtual_memory().total / 2**30:.1f} GiB",
        "kernel": f"{platform.system()} {platform.release()}",
    }


def versions(state: State) -> dict[str, str]:
    """The versions of what took part."""
    with Metadata(state) as metadata:
        postgres = metadata.version()
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=CHECKOUT, capture_output=True, text=True, check=False
    )
    return {
        "Interlock": f"{version('interlock')} ({commit.stdout.strip() or 'no commit'})",
        "Airflow": version("apache-airflow"),
        "Python": platform.python_version(),
        "PostgreSQL": postgres,
        "Kubernetes": KUBERNETES_VERSION.removeprefix("v"),
    }


def limits(state: State) -> dict[str, str]:
    """The settings that set the pace, from the programs' own settings."""
    airflow = settings(state)
    found = {
        "worker slots": airflow["AIRFLOW__CORE__PARALLELISM"],
        "max_active_tasks_per_dag": airflow["AIRFLOW__CORE__MAX_ACTIVE_TASKS_PER_DAG"],
        "scheduler_idle_sleep_time": airflow["AIRFLOW__SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME"],
        "executor": airflow["AIRFLOW__CORE__EXECUTOR"],
    }
    for program in Kubernetes().programs(state):
        flags = dict(word.partition("=")[::2] for word in program.command if word.startswith("--kube-api"))
        if flags:
            found[program.name] = ", ".join(f"{flag} {value}" for flag, value in flags.items())
    return found
