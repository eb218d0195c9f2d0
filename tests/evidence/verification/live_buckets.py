"""Buckets into which writers go on writing while somebody reads them."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from made_logs import KEEP, Bucket, Log

from interlock.evidence.statement import Run
from interlock.evidence.verification.source import Retention, Version


@dataclass(frozen=True)
class Write:
    """One request of a writer."""

    key: str
    body: bytes
    at: datetime
    keep: timedelta


@dataclass
class Recorded(Bucket):
    """Remembers what was written into it, in order."""

    writes: list[Write] = field(default_factory=list)

    def put(
        self, key: str, body: bytes, at: datetime, *, keep: timedelta = KEEP, mode: str = "GOVERNANCE"
    ) -> None:
        super().put(key, body, at, keep=keep, mode=mode)
        self.writes.append(Write(key, body, at, keep))


@dataclass
class LiveBucket(Bucket):
    """Plays recorded writes: some are there, and with each request so many more arrive.

    A listing comes in pages of three versions: what arrives meanwhile is in the later ones.
    """

    waiting: list[Write] = field(default_factory=list)
    pace: int = 1

    @property
    def newest(self) -> datetime:
        """When the newest object was written."""
        times = [one.version.modified for several in self.stored.values() for one in several]
        return max(at for at in times if at is not None)

    def arrive(self, count: int) -> None:
        for one in self.waiting[:count]:
            self.put(one.key, one.body, one.at, keep=one.keep)
        del self.waiting[:count]

    def versions(self, prefix: str, after: str = "") -> Iterator[Version]:
        while True:
            self.arrive(self.pace)
            keys = [key for key in self.keys(prefix) if key > after][:3]
            if not keys:
                return
            for after in keys:
                yield from [one.version for one in self.stored[after]]

    def read(self, key: str, limit: int, version_id: str | None = None) -> bytes:
        self.arrive(self.pace)
        return super().read(key, limit, version_id)

    def retention(self, key: str, version_id: str) -> Retention | None:
        self.arrive(self.pace)
        return super().retention(key, version_id)

    def close(self) -> None:
        """Nothing is held open."""


def recorded(seed: int, commits: int = 9, most: int = 60) -> tuple[Log, list[Write]]:
    """The writes of a log of two years that several writers make; each publishes when it comes to it."""
    dice = random.Random(seed)
    bucket = Recorded()
    log = first = Log(bucket)
    for number in range(commits):
        run = Run("train", f"run-{number}")
        leaves = [log.leaf(run=run, blob=at % 20 == 0) for at in range(dice.randint(1, most))]
        log.commit(*leaves, publish=dice.random() < 0.8)
        if number == commits // 2:
            log.publish()
            log = log.next_year()
    log.publish()
    return first, _interleaved(bucket.writes, dice)


def _interleaved(writes: list[Write], dice: random.Random) -> list[Write]:
    """Delay some publishing into the next writer's: it then finds that `checkpoint` has moved on."""
    found: list[Write] = []
    held: list[Write] = []
    for one in writes:
        if "/seq/" in one.key:
            found += held
            held = []
        if held or ("/tile/" in one.key and dice.random() < 0.1):
            held.append(one)
        else:
            found.append(one)
    return [*found, *held]


def live(writes: list[Write], done: int, pace: int, **more: Any) -> LiveBucket:
    """A bucket in which the first writes are done."""
    bucket = LiveBucket(waiting=list(writes), pace=pace, **more)
    bucket.arrive(done)
    return bucket
