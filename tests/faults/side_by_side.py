"""Run several trains at the same time: one thread a train, which takes the next job that may use it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

from running_sandbox import RunningSandbox
from train_runs import TrainRuns

T = TypeVar("T")


@dataclass(frozen=True)
class Job(Generic[T]):
    """What is to be done with a train.

    Attributes:
        trains: those that it may use, any of them.
        act: does it; called in a thread, with a train that nobody else uses.
    """

    trains: tuple[str, ...]
    act: Callable[[TrainRuns], T]


def side_by_side(sandbox: RunningSandbox, jobs: Mapping[str, Job[T]]) -> dict[str, T | BaseException]:
    """Do all jobs; returns what each gave, or how it failed."""
    results: dict[str, T | BaseException] = {}
    waiting = dict(jobs)
    lock = threading.Lock()

    def work(train: str) -> None:
        runs = sandbox.train(train)
        while True:
            with lock:
                name = next((name for name, job in waiting.items() if train in job.trains), None)
                if name is None:
                    return
                job = waiting.pop(name)
            try:
                runs.settle()
                results[name] = job.act(runs)
            except BaseException as error:  # also a failed wait; the test that asks for it shows it
                results[name] = error

    trains = sorted({train for job in jobs.values() for train in job.trains})
    with ThreadPoolExecutor(len(trains)) as pool:
        list(pool.map(work, trains))
    return results


def result(results: Mapping[str, T | BaseException], name: str) -> T:
    """What a job gave; raises how it failed."""
    found = results[name]
    if isinstance(found, BaseException):
        raise found
    return found
