"""Processor time by program: on a machine with few cores it decides how wide a train can be."""

from __future__ import annotations

from collections.abc import Mapping

import psutil  # type: ignore[import-untyped]

from sandbox.state import State
from sandbox.supervisor import Supervisor

WORKERS = "workers"
_SCHEDULER = "airflow-scheduler"


def processes(state: State) -> dict[str, int]:
    """The process id of each of the sandbox's programs; another one later means that it was restarted."""
    return {program.name: program.pid for program in Supervisor(state).statuses()}


def seconds(state: State) -> dict[str, float]:
    """Seconds of processor time that each of the sandbox's programs has used until now.

    A program's descendants count with it, those that ended too; only the scheduler's, which are the
    executor's workers and the tasks in them, count for themselves.
    """
    found: dict[str, float] = {}
    for program in Supervisor(state).statuses():
        if not program.pid:
            continue
        try:
            process = psutil.Process(program.pid)
            below = sum(_used(child) for child in process.children(recursive=True))
            # Tasks end within their worker: none of what the scheduler itself reaped is a task.
            if program.name == _SCHEDULER:
                found[WORKERS], below = below, 0.0
            found[program.name] = _used(process) + below
        except psutil.NoSuchProcess:
            continue
    return found


def between(before: Mapping[str, float], after: Mapping[str, float]) -> dict[str, float]:
    """Seconds used between two looks, most first; a program that was restarted in between counts anew."""
    used = {name: total - before.get(name, 0.0) for name, total in after.items()}
    used = {name: after[name] if value < 0 else value for name, value in used.items()}
    return dict(sorted(used.items(), key=lambda item: -item[1]))


def _used(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return 0.0
    return float(times.user + times.system + times.children_user + times.children_system)
