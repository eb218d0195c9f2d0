"""What is sampled while a run goes on: worker slots in use, waiting tasks, and memory."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime

import psutil  # type: ignore[import-untyped]

from benchmarks.metadata import Metadata
from sandbox.state import State
from sandbox.supervisor import Supervisor

_STATES_SECONDS = 0.25
_MEMORY_SECONDS = 2.0


@dataclass
class Samples:
    """What was seen; the lists hold a moment and what was seen at it.

    Attributes:
        states: how many tasks were running (each in a worker slot), queued and deferred.
        deferred: when each task was first seen deferred.
        triggerer: memory of the triggerer in bytes, as proportional set size.
        workers: memory of the executor's worker processes and of the tasks in them, likewise.
        problems: what kept a sample from being taken.
    """

    states: list[tuple[datetime, dict[str, int]]] = field(default_factory=list)
    deferred: dict[str, datetime] = field(default_factory=dict)
    triggerer: list[tuple[datetime, int]] = field(default_factory=list)
    workers: list[tuple[datetime, int]] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


class Sampler:
    """Samples one run, in threads beside it; a context manager."""

    def __init__(self, state: State, dag_id: str, run_id: str) -> None:
        self.samples = Samples()
        self._state, self._dag_id, self._run_id = state, dag_id, run_id
        self._over = threading.Event()
        self._threads = [
            threading.Thread(target=self._guarded, args=(look,), daemon=True)
            for look in (self._sample_states, self._sample_memory)
        ]

    def __enter__(self) -> Sampler:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *of: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(30)

    def _guarded(self, look: object) -> None:
        try:
            assert callable(look)
            look()
        except Exception as error:
            self.samples.problems.append(f"{type(error).__name__}: {error}")

    def _sample_states(self) -> None:
        with Metadata(self._state) as metadata:
            while not self._over.is_set():
                began = time.monotonic()
                busy = metadata.busy(self._dag_id, self._run_id)
                now = datetime.now(UTC)
                found = list(busy.values())
                counts = {state: found.count(state) for state in ("running", "queued", "deferred")}
                self.samples.states.append((now, counts))
                for task, state in busy.items():
                    if state == "deferred":
                        self.samples.deferred.setdefault(task, now)
                self._over.wait(max(0.0, _STATES_SECONDS - (time.monotonic() - began)))

    def _sample_memory(self) -> None:
        programs = {one.name: one.pid for one in Supervisor(self._state).statuses()}
        triggerer = psutil.Process(programs["airflow-triggerer"])
        scheduler = psutil.Process(programs["airflow-scheduler"])
        while not self._over.is_set():
            now = datetime.now(UTC)
            own = [triggerer, *triggerer.children(recursive=True)]
            self.samples.triggerer.append((now, memory(own)))
            self.samples.workers.append((now, memory(scheduler.children(recursive=True))))
            self._over.wait(_MEMORY_SECONDS)


def memory(processes: list[psutil.Process]) -> int:
    """The proportional set size of processes in bytes: what they share with others counts in part."""
    total = 0
    for process in processes:
        try:
            total += process.memory_full_info().pss
        except (psutil.NoSuchProcess, psutil.ZombieProcess):
            continue
    return total
