"""Statements that wait for the log: a folder that many processes write to at once, and one of them empties.

`append` needs no lock: a statement is a file of its own, on the disk when it returns. Whoever holds the
leader's lock (`lead`) gives what waits its places in a chain of hashes, takes it to the log a batch at a
time, and removes it. The lock is a flock and ends with its process. With several workers the folder is a
volume that all of them mount, on a file system where flock holds.

A file that was changed, or taken away, after it was chained is noticed, and nothing goes past it. What this
can't show: that a file was taken out before it had a place, or the newest ones together with their lines of
the journal. A statement is tamper-evident to an outsider only from shipping on.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from interlock.clients.spool_callers import Caller, Callers
from interlock.clients.spool_errors import SpoolError, SpoolFull, SpoolTampered, on_disk
from interlock.clients.spool_folder import SpoolFolder, caller_of, replace_file, sync_folder
from interlock.clients.spool_journal import Entry, Journal, Opened, Seen, first_missing
from interlock.evidence.statement import sha256
from interlock.evidence.waiting import Waiting, WaitingError, decode, encode

__all__ = ["Entry", "Leader", "Opened", "Seen", "Spool", "SpoolError", "SpoolFull", "SpoolTampered", "Taken"]

LIMIT_BYTES: Final = 256 * 1024 * 1024
WARN_RATIO: Final = 0.8
_ROOM_SECONDS: Final = 1.0
"""For how long a look at what waits is good enough."""
_NOBODY: Final = "0" * 8

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Taken:
    """A statement with its place in the chain."""

    entry: Entry
    waiting: Waiting


class Spool:
    """The spool in one folder."""

    def __init__(
        self, folder: Path, *, limit_bytes: int = LIMIT_BYTES, step: Callable[[str], None] = lambda _: None
    ) -> None:
        """Keep the folder, which is made at the first append.

        Args:
            folder: an absolute path, private to the workers.
            limit_bytes: how much may wait; a warning is logged from WARN_RATIO of it on.
            step: called with the name of each step that reached the disk; tests stop there.
        """
        self._files = SpoolFolder(folder)
        self._limit = limit_bytes
        self._step = step
        self._journal = Journal(self._files.journal)
        self._used, self._looked = 0, float("-inf")

    @property
    def folder(self) -> Path:
        """Where it is."""
        return self._files.root

    def caller(self) -> Caller:
        """One who waits for its statements; its token goes to `append`."""
        self._prepare()
        return Caller(self._files.callers)

    def append(self, waiting: Sequence[Waiting], caller: str = _NOBODY) -> list[str]:
        """Write statements to the disk; return the names of their files.

        Raises:
            SpoolFull: there is no room for them.
            SpoolError: the folder can't be written.
        """
        contents = [encode(one) for one in waiting]
        self._prepare()
        with on_disk(self.folder):
            self._check_room(sum(map(len, contents)))
            names = self._files.write(caller, contents)
        self._step("appended")
        return names

    def waits(self, names: Sequence[str]) -> list[str]:
        """Which of these files still wait."""
        return [name for name in names if (self._files.waiting / name).exists()]

    @contextmanager
    def lead(self, *, wait: bool = False) -> Iterator[Leader | None]:
        """Hold the right to chain, ship and remove; gives None where another process has it.

        Raises:
            SpoolTampered: the journal isn't what was written.
            SpoolError: the folder can't be used.
        """
        self._prepare()
        with self._files.locked(wait=wait) as mine:
            if not mine:
                yield None
                return
            with on_disk(self.folder):
                if not self._journal.read():
                    raise SpoolTampered(f"{self._files.journal} is gone")
            leader = Leader(self._files, self._journal, self._step)
            try:
                yield leader
            finally:
                leader.close()
        leader.wake()

    def statements(self) -> list[Waiting]:
        """What waits, oldest first; without a lock, so what is shipped meanwhile may be among it or not.

        Raises:
            SpoolTampered: a file isn't a statement, or one that has a place is gone.
        """
        journal = Journal(self._files.journal)
        with on_disk(self.folder):
            names = self._files.names()
            if not journal.read() and names:
                raise SpoolTampered(f"{self._files.journal} is gone")
            for entry in journal.waiting.values():
                if (self._files.waiting / entry.name).exists():
                    continue
                latest = Journal(self._files.journal)
                latest.read()
                if entry.sequence in latest.waiting and latest.opened is None:
                    raise SpoolTampered(f"{self._files.waiting / entry.name} is gone before it was shipped")
            found = []
            for name in names:
                with suppress(FileNotFoundError):
                    found.append(_decoded(self._files.waiting / name, self._files.read(name)))
        return found

    def count(self) -> int:
        """Return how many statements wait."""
        with on_disk(self.folder):
            return len(self._files.names())

    def since(self) -> datetime | None:
        """Return when the oldest statement that waits was written; None when none does."""
        with on_disk(self.folder):
            oldest = next(iter(self._files.names()), None)
        return None if oldest is None else datetime.fromtimestamp(int(oldest[:20]) / 1e9, UTC)

    def used_bytes(self) -> int:
        """Return how many bytes wait."""
        with on_disk(self.folder):
            return self._files.used_bytes()

    def probe(self) -> None:
        """Check that the folder can be locked, written and synced; it is made if it isn't there.

        Raises:
            SpoolError: it can't.
        """
        self._prepare()
        self._files.probe()

    def _prepare(self) -> None:
        """Make the folder with its journal; what waits without one isn't ours."""
        if self._files.journal.exists():
            return
        with self._files.locked(wait=True), on_disk(self.folder):
            if self._files.journal.exists():
                return
            if self._files.names():
                raise SpoolTampered(f"{self._files.journal} is gone, and statements wait")
            self._journal.create()

    def _check_room(self, size: int) -> None:
        now = time.monotonic()
        if now - self._looked > _ROOM_SECONDS or self._used + size >= WARN_RATIO * self._limit:
            self._used, self._looked = self._files.used_bytes(), now
        used = self._used + size
        if used > self._limit:
            raise SpoolFull(
                f"{self.folder}: {used} bytes would wait, {self._limit} may: bring the store back and ship, "
                f"or raise the limit"
            )
        if used >= WARN_RATIO * self._limit:
            log.warning(
                "%s: %d of %d bytes wait; ship them before it is full", self.folder, used, self._limit
            )
        self._used = used


class Leader:
    """Who holds the leader's lock of a spool."""

    def __init__(self, files: SpoolFolder, journal: Journal, step: Callable[[str], None]) -> None:
        """Keep the parts; `Spool.lead` makes it."""
        self._files = files
        self._journal = journal
        self._step = step
        self._callers = Callers(files.callers)
        self._heard: tuple[set[str], dict[str, tuple[int | None, int | None]]] = (set(), {})
        self.shipped = 0
        """How many statements this leader took into the log."""

    def overhear(self, names: Sequence[str], places: dict[str, tuple[int | None, int | None]]) -> None:
        """Note in `places` the year and index of these files, the leader's own, when they are in the log."""
        self._heard = (set(names), places)

    @property
    def opened(self) -> Opened | None:
        """The open position, where there is one."""
        return self._journal.opened

    @property
    def seen(self) -> Seen | None:
        """The last head that a claim of this spool led to."""
        return self._journal.seen

    def gather(self) -> int:
        """Give each new file its place, and remove what was done; return how many wait.

        The places are durable with the next `open` or `save`.

        Raises:
            SpoolTampered: a file that has a place is gone.
        """
        with on_disk(self._files.root):
            names = self._files.names()
            there = set(names)
            if left := there & self._journal.finished:
                self._files.remove(sorted(left))
            gone = first_missing(self._journal.waiting.values(), there)
            if gone is not None:
                raise SpoolTampered(f"{self._files.waiting / gone.name} is gone before it was shipped")
            for name in names:
                if name not in self._journal.names:
                    self._journal.add(name, sha256(self._files.read(name)))
        return len(self._journal.waiting)

    def save(self) -> None:
        """Bring the places to the disk."""
        with on_disk(self._files.root):
            self._journal.write(sync=True)

    def save_what_can(self) -> None:
        """Bring the places to the disk, after something failed: each new file's too, as far as it can be."""
        with suppress(SpoolError):
            if self._journal.opened is None:
                self.gather()
            self.save()

    def waiting(self) -> Iterator[Taken]:
        """Yield what waits, in the chain's order, each checked against the chain as it comes.

        Raises:
            SpoolTampered: the next file isn't the one that was written; what came before it was good.
        """
        for entry in list(self._journal.waiting.values()):
            yield self._taken(entry)

    def between(self, first: int, last: int) -> list[Taken]:
        """What has these places in the chain; raises as `waiting`."""
        return [self._taken(self._journal.waiting[n]) for n in range(first, last + 1)]

    def _taken(self, entry: Entry) -> Taken:
        path = self._files.waiting / entry.name
        with on_disk(self._files.root):
            try:
                content = self._files.read(entry.name)
            except FileNotFoundError:
                raise SpoolTampered(f"{path} is gone before it was shipped") from None
        if sha256(content) != entry.sha256:
            raise SpoolTampered(f"{path}: it isn't the file that was written")
        return Taken(entry, _decoded(path, content))

    def open(self, position: Opened) -> None:
        """Bring the claim that is about to be sent to the disk, with all places given so far."""
        with on_disk(self._files.root):
            self._journal.open(position)
            self._journal.write(sync=True)
        self._step("opened")

    def done(self, seen: Seen, first: int) -> int:
        """What the open claim carried is in the log: remove it, and tell who waits for it.

        Args:
            seen: the head that the claim led to.
            first: the index of its first entry.
        """
        opened = self._journal.opened
        assert opened is not None
        entries = [self._journal.waiting[n] for n in range(opened.first, opened.last + 1)]
        with on_disk(self._files.root):
            self._journal.done(seen)
            self._journal.write(sync=False)
            self._step("done")
            self._files.remove([entry.name for entry in entries])
        self._step("removed")
        places: dict[str, dict[str, int]] = {}
        for position, entry in enumerate(entries):
            places.setdefault(caller_of(entry.name), {})[entry.name] = first + position
        self.shipped += len(entries)
        own, heard = self._heard
        for caller, found in places.items():
            heard.update({name: (seen.year, index) for name, index in found.items() if name in own})
            if caller != _NOBODY:
                self._callers.tell(caller, {"year": seen.year, "places": found})
        return len(entries)

    def failed(self, reason: str) -> None:
        """Tell all who wait why nothing goes to the log now."""
        self._callers.tell_all({"failed": reason})

    def edge(self) -> bytes | None:
        """The log's right edge as the last leader left it."""
        with on_disk(self._files.root):
            try:
                return self._files.edge.read_bytes()
            except FileNotFoundError:
                return None

    def keep_edge(self, content: bytes | None) -> None:
        """Leave the log's right edge to the next leader; a cache, so without bringing it to the disk."""
        with on_disk(self._files.root):
            if content is None:
                self._files.edge.unlink(missing_ok=True)
            else:
                replace_file(self._files.edge, content, sync=False)

    def close(self) -> None:
        """End: begin the journal anew where it has grown and nothing waits in it."""
        if not self._journal.ripe:
            return
        with on_disk(self._files.root):
            if not set(self._files.names()) & self._journal.finished:
                # What was removed must not come back once the journal has forgotten it.
                sync_folder(self._files.waiting)
                self._journal.compact()
                self._callers.clear()

    def wake(self) -> None:
        """After the lock is free: wake one who waits for a statement that came meanwhile."""
        for name in self._files.names():
            if caller_of(name) != _NOBODY and self._callers.tell(caller_of(name), {"lead": True}):
                break
        self._callers.close()


def _decoded(path: Path, content: bytes) -> Waiting:
    try:
        return decode(content)
    except WaitingError as error:
        raise SpoolTampered(f"{path}: {error}") from error
