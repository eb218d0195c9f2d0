"""The sandbox's processes, as the tests of faults find and end them."""

from __future__ import annotations

import os
import signal
from typing import Any

import psutil
from running_sandbox import RunningSandbox

from sandbox.state import State
from sandbox.supervisor import Supervisor


def pid_of(sandbox: RunningSandbox, program: str) -> int:
    """The process id of a supervised program; 0 while it doesn't run."""
    statuses = Supervisor(State(sandbox.root)).statuses()
    return next(status.pid for status in statuses if status.name == program)


def kill(sandbox: RunningSandbox, program: str) -> None:
    """SIGKILL a supervised program and all of its process group, and wait until it was started again."""
    before = pid_of(sandbox, program)
    os.killpg(before, signal.SIGKILL)
    sandbox.until(lambda: pid_of(sandbox, program) not in (0, before), 30, f"{program} to be started again")


def of_task(sandbox: RunningSandbox, task: dict[str, Any]) -> tuple[psutil.Process, psutil.Process]:
    """The executor's worker that supervises a running task, and the process in which the task's code runs."""
    found = {}
    scheduler = psutil.Process(pid_of(sandbox, "airflow-scheduler"))
    for process in scheduler.children(recursive=True):
        try:
            title = " ".join(process.cmdline()).strip()
        except (psutil.NoSuchProcess, psutil.ZombieProcess):  # just ended
            continue
        if title.endswith(task["id"]):
            found["worker" if "LocalExecutor" in title else "task"] = process
    return found["worker"], found["task"]
