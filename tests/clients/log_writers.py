"""Processes that write evidence for as long as they live, are killed, and follow each other.

Each writes into a ledger of its own what it is about to record, and then what it was told of it. A line is
one call, so what a killed writer had written is there.
"""

from __future__ import annotations

import logging
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Event, Semaphore
from pathlib import Path
from typing import Self

from interlock.clients.store_settings import read_descriptions
from interlock.evidence.statement import Run
from tests.clients.evidence_parts import Parts, statement

FORKED = multiprocessing.get_context("forkserver")
read_descriptions()


@dataclass(frozen=True)
class Told:
    """What a writer told of a statement.

    Attributes:
        digest: the statement's.
        kept: whether the writer was told that it is kept, in the log or in the spool.
        index: its place in the log, where the writer was told it.
    """

    digest: str
    kept: bool = False
    index: int | None = None


@dataclass
class Ledger:
    """All that one writer has told, in its order.

    Attributes:
        ended: whether it tells no more.
    """

    file: Path
    told: dict[str, Told] = field(default_factory=dict)
    ended: bool = False
    _read: int = 0

    def go_on(self) -> list[Told]:
        """What is new; what was begun comes again when it is kept."""
        with self.file.open("rb") as file:
            file.seek(self._read)
            content = file.read()
        self._read += len(content)
        found = [told_by(line) for line in content.decode().splitlines()]
        self.told.update({one.digest: one for one in found})
        return found


def told_by(line: str) -> Told:
    word, digest, *index = line.split()
    return Told(digest, word == "kept", int(index[0]) if index else None)


@dataclass
class Writer:
    """A writer that lives."""

    process: multiprocessing.process.BaseProcess
    pipe: Connection
    ledger: Ledger


class Crowd:
    """Writers on several hosts: a spool stands for a host.

    Attributes:
        ledgers: one for each writer that is or was.
    """

    def __init__(self, hosts: Sequence[Parts], writers: int, ledgers: Path) -> None:
        """Nothing is started; writers are shared out among the hosts."""
        self.hosts = hosts
        self.ledgers: list[Ledger] = []
        self._folder = ledgers
        self._living: dict[int, Writer] = {}
        self._places = [hosts[number % len(hosts)] for number in range(writers)]

    def __enter__(self) -> Self:
        self._folder.mkdir(exist_ok=True)
        warm()
        self.respawn()
        return self

    def __exit__(self, *_: object) -> None:
        for writer in self._living.values():
            writer.process.kill()
            writer.process.join()
            writer.pipe.close()
        self._living.clear()

    def respawn(self) -> None:
        """Start a writer for each that is missing."""
        for place in range(len(self._places)):
            if place not in self._living:
                self._living[place] = self._spawned(place)

    def _spawned(self, place: int) -> Writer:
        name = f"writer-{len(self.ledgers)}"
        ledger = Ledger(self._folder / name)
        ledger.file.touch()
        ours, its = FORKED.Pipe()
        process = FORKED.Process(target=write, args=(self._places[place], name, ledger.file, its), name=name)
        process.start()
        its.close()
        self.ledgers.append(ledger)
        return Writer(process, ours, ledger)

    def burst(self, counts: Sequence[int]) -> None:
        """Have each writer, by its place, record so many statements, one after another."""
        for place, count in enumerate(counts):
            # One that was killed when it had ended its last burst shows in `wait`.
            with suppress(ConnectionError):
                self._living[place].pipe.send(count)

    def wait(self, seconds: float) -> int:
        """Wait until each writer has recorded its burst, or was killed; how many were."""
        until, killed = time.monotonic() + seconds, 0
        for place, writer in list(self._living.items()):
            try:
                in_time = writer.pipe.poll(max(until - time.monotonic(), 0))
                assert in_time, f"{writer.process.name} still writes"
                writer.pipe.recv()
            except (EOFError, ConnectionError):
                writer.process.join()
                assert writer.process.exitcode == -signal.SIGKILL, f"{writer.process.name} ended by itself"
                writer.pipe.close()
                writer.ledger.ended = True
                del self._living[place]
                killed += 1
        return killed

    def kill(self, place: int) -> None:
        """End a writer without a word, whatever it is doing."""
        self._living[place].process.kill()

    def leaders(self) -> list[int]:
        """The places of those that hold their spool's lock now."""
        pids = {pid for host in self.hosts for pid in leading(host)}
        return [place for place, writer in self._living.items() if writer.process.pid in pids]


class Shippers:
    """Processes that each ship once what waits in one spool."""

    def __init__(self, parts: Parts, count: int) -> None:
        """Nothing is started."""
        self._parts = parts
        self._begin = FORKED.Event()
        self._ready = FORKED.Semaphore(0)
        self._processes = [
            FORKED.Process(target=ship, args=(parts, self._ready, self._begin)) for _ in range(count)
        ]
        self._killed = 0

    def __enter__(self) -> Self:
        warm()
        for process in self._processes:
            process.start()
        for _ in self._processes:
            assert self._ready.acquire(timeout=60)
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes:
            process.kill()
            process.join()

    def begin(self) -> None:
        """Let all of them ship."""
        self._begin.set()

    def kill_at_work(self, when: Callable[[], bool]) -> None:
        """Kill the one that leads, as soon as this holds."""
        while True:
            alive = {process.pid: process for process in self._processes if process.is_alive()}
            assert alive, "all have ended"
            found = [alive[pid] for pid in leading(self._parts) if pid in alive]
            if found and when():
                found[0].kill()
                found[0].join()
                self._killed += 1
                return
            time.sleep(0.002)

    def wait(self, seconds: float) -> None:
        """Wait until all others have ended, by themselves and well."""
        until = time.monotonic() + seconds
        for process in self._processes:
            process.join(max(until - time.monotonic(), 0))
        codes = sorted(process.exitcode if process.exitcode is not None else 1 for process in self._processes)
        assert codes == [-signal.SIGKILL] * self._killed + [0] * (len(codes) - self._killed)


def leading(parts: Parts) -> set[int]:
    """The processes that hold a spool's lock."""
    lock = parts.folder / "leader.lock"
    inode = str(lock.stat().st_ino) if lock.exists() else ""
    rows = [line.split() for line in Path("/proc/locks").read_text().splitlines()]
    return {int(row[4]) for row in rows if row[1] == "FLOCK" and row[5].rpartition(":")[2] == inode}


def ship(parts: Parts, ready: Semaphore, begin: Event) -> None:
    """Ship what waits, when it is told to."""
    logging.disable()
    writer = parts.writer()
    ready.release()
    begin.wait()
    shipped = writer.ship()
    assert shipped.left == 0, shipped.reason


def write(parts: Parts, name: str, ledger: Path, pipe: Connection) -> None:
    """Record as many statements as one is told to, until one is killed."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    logging.disable()
    run = Run("promotion_train__payments", name)
    writer = parts.writer()
    with ledger.open("ab", buffering=0) as book:
        for number, count in enumerate(_orders(pipe)):
            for nth in range(count):
                claim = statement(run, f"service-{number}-{nth}", blob=(number + nth) % 8 == 0)
                book.write(f"begun {claim.digest}\n".encode())
                found = writer.record(claim)
                index = "" if found.index is None else f" {found.index}"
                book.write(f"kept {claim.digest}{index}\n".encode())
            pipe.send(count)


def _orders(pipe: Connection) -> Iterator[int]:
    while True:
        try:
            yield pipe.recv()
        except (EOFError, OSError):
            return


def warm() -> None:
    """Start the process that writers are forked from: it has read once what each of them needs."""
    FORKED.set_forkserver_preload([__name__])
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(one for one in sys.path if one)
    try:
        forkserver.ensure_running()
    finally:
        if before is None:
            del os.environ["PYTHONPATH"]
        else:
            os.environ["PYTHONPATH"] = before
