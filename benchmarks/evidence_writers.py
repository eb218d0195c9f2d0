"""Processes that write evidence, or plain objects of the same size, all at once, and how long each took."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any
from uuid import uuid4

from benchmarks.breakdown import percentile
from interlock.clients.object_store import ObjectStore, StoreSettings
from interlock.evidence.statement import Run, Statement, make_statement
from tests.clients.evidence_parts import AT, Parts
from tests.clients.log_writers import FORKED, warm

PADDING = "x" * 200
"""Makes an entry of 1 kB."""
PATIENCE_SECONDS = 60.0


@dataclass(frozen=True)
class Rate:
    """What several processes did at once.

    Attributes:
        count: how many, of all processes.
        seconds: from the common beginning to the last one's end.
        times: seconds that each took.
        processor: seconds of processor time that these processes used.
    """

    count: int
    seconds: float
    times: tuple[float, ...]
    processor: float

    def figures(self) -> dict[str, float]:
        """As JSON: a second, and milliseconds."""
        return {
            "count": self.count,
            "rate": self.count / self.seconds,
            "p50_ms": 1000 * percentile(self.times, 0.5),
            "p99_ms": 1000 * percentile(self.times, 0.99),
            "processor_ms": 1000 * self.processor / self.count,
        }


def entry(name: str, number: int, *, blob: bool = False) -> Statement:
    """A statement whose entry has about 1,000 bytes."""
    return make_statement(
        "verify",
        run=Run("benchmark", name),
        fields={"service": f"service-{number}-{PADDING}", "outcome": "promoted"},
        at=AT,
        evidence={"checks": [{"name": "ready", "passed": True, "reason": f"{name} {number}"}]}
        if blob
        else None,
    )


def written(hosts: Sequence[Parts], writers: int, seconds: float) -> Rate:
    """Each writer records one statement after another for so long; a statement took until its signed head."""
    return _together(_record, [hosts[number % len(hosts)] for number in range(writers)], seconds)


def stored(settings: StoreSettings, clients: int, seconds: float) -> Rate:
    """The store's own rate: each client creates locked objects of 1,000 bytes, one after another."""
    return _together(_create, [settings] * clients, seconds)


def _together(act: Callable[..., None], of: Sequence[object], seconds: float) -> Rate:
    warm()
    begin = FORKED.Event()
    pipes: list[Connection] = []
    processes = []
    for one in of:
        ours, its = FORKED.Pipe()
        process = FORKED.Process(target=act, args=(one, its, begin, seconds))
        process.start()
        its.close()
        pipes.append(ours)
        processes.append(process)
    try:
        for pipe in pipes:
            _heard(pipe, PATIENCE_SECONDS)  # it is ready
        begin.set()
        began = time.monotonic()
        found = [_heard(pipe, seconds + PATIENCE_SECONDS) for pipe in pipes]
        took = time.monotonic() - began
        times = tuple(each for one, _ in found for each in one)
        return Rate(len(times), took, times, sum(used for _, used in found))
    finally:
        for process in processes:
            process.kill()
            process.join()
        for pipe in pipes:
            pipe.close()


def _heard(pipe: Connection, seconds: float) -> Any:
    if not pipe.poll(seconds):
        raise TimeoutError(f"a process of the benchmark says nothing for {seconds:.0f} s")
    return pipe.recv()


def _record(parts: Parts, pipe: Connection, begin: Event, seconds: float) -> None:
    logging.disable()
    writer, name = parts.writer(), uuid4().hex

    def record(number: int) -> None:
        kept = writer.record(entry(name, number))
        if kept.where != "log":
            raise RuntimeError(f"not in the log: {kept.reason}")

    _timed(record, pipe, begin, seconds)


def _create(settings: StoreSettings, pipe: Connection, begin: Event, seconds: float) -> None:
    store, prefix, body = ObjectStore(settings), f"bound/{uuid4().hex}", b"x" * 1_000

    def create(number: int) -> None:
        store.create(f"{prefix}/{number}", body)

    _timed(create, pipe, begin, seconds)


def _timed(act: Callable[[int], None], pipe: Connection, begin: Event, seconds: float) -> None:
    """Do it once to be warm, then from the beginning on again and again; say how long each took."""
    act(0)
    pipe.send("ready")
    begin.wait()
    times: list[float] = []
    used = time.process_time()
    until = time.monotonic() + seconds
    while (before := time.monotonic()) < until:
        act(len(times) + 1)
        times.append(time.monotonic() - before)
    pipe.send((times, time.process_time() - used))
    pipe.recv()


def spools(folder: Path, parts: Parts, count: int) -> list[Parts]:
    """The same bucket and keys with new spools, as on so many hosts."""
    return [parts.elsewhere(folder / uuid4().hex) for _ in range(count)]
