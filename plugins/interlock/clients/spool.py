"""Statements that wait for the log: a folder that many processes write to at once, and one of them empties.

`append` needs no lock: a statement is a file of its own, on the disk when it returns. Whoever holds the
leader's lock (`lead`) gives what waits its places in a chain of hashes, takes it to the log, and removes it.
The lock is a flock and ends with its process. With several workers the folder is a volume
that all of them mount, on a file system where flock holds.

A file that was changed, or taken away, after it was chained is noticed, and nothing goes past it. What this
can't show: that a file was taken out before it had a place, or the newest ones together with their lines of
the journal. A statement is tamper-evident to an outsider only from shipping on.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from interlock.clients.spool_callers import Caller
from interlock.clients.spool_errors import SpoolError, SpoolFull, SpoolTampered, on_disk
from interlock.clients.spool_folder import NOBODY, SpoolFolder
from interlock.clients.spool_journal import Entry, Journal, Opened, Seen
from interlock.clients.spool_leader import Leader, Taken, decoded
from interlock.evidence.waiting import Waiting, encode
from interlock.settings import SPOOL_MIB

__all__ = ["Entry", "Leader", "Opened", "Seen", "Spool", "SpoolError", "SpoolFull", "SpoolTampered", "Taken"]

LIMIT_BYTES: Final = int(SPOOL_MIB) * 1024 * 1024
WARN_RATIO: Final = 0.5
_ROOM_SECONDS: Final = 1.0
"""For how long a look at what waits is good enough."""

log = logging.getLogger(__name__)


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

    def append(self, waiting: Sequence[Waiting], caller: str = NOBODY) -> list[str]:
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
                    found.append(decoded(self._files.waiting, name, self._files.read(name)))
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

    def sweep(self) -> None:
        """Remove what killed processes left half written a day ago: nobody was told that it waits."""
        with on_disk(self.folder):
            self._files.sweep()

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
                f"or raise the setting spool_mib"
            )
        if used >= WARN_RATIO * self._limit:
            log.warning(
                "%s: %d of %d bytes wait; ship them before it is full", self.folder, used, self._limit
            )
        self._used = used
