"""The spool's files: each waiting statement one, written without a lock and on the disk when `write` returns.

    waiting/<time in ns, 20 digits>-<caller, 8 hex digits>.json     one statement
    callers/<caller>        the socket of a process that waits for its statements (`spool_callers`)
    journal.jsonl           what waits, in a chain of hashes (`spool_journal`)
    leader.lock             who may append to the journal, a flock
    edge                    the log's right edge, a cache

A file that is only being written has a leading dot, and is nobody's statement.
"""

from __future__ import annotations

import fcntl
import os
import re
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from interlock.clients.spool_errors import SpoolError, on_disk

AT_ONCE: Final = 8
MANY: Final = 32
"""From how many files on AT_ONCE of them are written, or removed, at a time."""
HALF_WRITTEN_SECONDS: Final = 86_400.0
NOBODY: Final = "0" * 8
"""The caller of a statement that nobody waits for."""
_NAME: Final = re.compile(r"([0-9]{20})-([0-9a-f]{8})\.json")


def caller_of(name: str) -> str:
    """Return the caller that wrote a waiting file."""
    return name[21:29]


class SpoolFolder:
    """One folder, private to the workers. Its files can be listed, read, added and removed."""

    def __init__(self, root: Path) -> None:
        """Keep the path; `prepare` makes the folder."""
        self.root = root
        self.waiting = root / "waiting"
        self._waiting = str(self.waiting)
        self.callers = root / "callers"
        self.journal = root / "journal.jsonl"
        self.edge = root / "edge"

    def prepare(self) -> None:
        """Make the folder and its parts where they aren't there."""
        for folder in (self.root, self.waiting, self.callers):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def names(self) -> list[str]:
        """The names of the waiting files, oldest first."""
        try:
            found = os.listdir(self.waiting)
        except FileNotFoundError:
            return []
        return sorted(name for name in found if _NAME.fullmatch(name))

    def read(self, name: str) -> bytes:
        """A waiting file's content.

        Raises:
            FileNotFoundError: it isn't there.
        """
        with open(f"{self._waiting}/{name}", "rb", buffering=0) as file:
            return file.readall()

    def write(self, caller: str, contents: list[bytes]) -> list[str]:
        """Write waiting files in their order; they are on the disk when this returns."""
        at = time.time_ns()
        names = [f"{at + number:020d}-{caller}.json" for number in range(len(contents))]
        try:
            _each(lambda name, content: write_file(self.waiting / f".{name}", content), names, contents)
        except OSError:
            for name in names:
                with suppress(OSError):
                    (self.waiting / f".{name}").unlink()
            raise
        for name in names:
            (self.waiting / f".{name}").rename(self.waiting / name)
        sync_folder(self.waiting)
        return names

    def remove(self, names: list[str]) -> None:
        """Remove waiting files; one that isn't there is no error."""

        def remove(name: str) -> None:
            with suppress(FileNotFoundError):
                os.unlink(f"{self._waiting}/{name}")

        _each(remove, names)

    def sweep(self) -> None:
        """Remove what processes that were killed left half written, once no living one can mean it."""
        limit = time.time() - HALF_WRITTEN_SECONDS
        with suppress(FileNotFoundError), os.scandir(self.waiting) as entries:
            for entry in entries:
                half = entry.name.startswith(".") and _NAME.fullmatch(entry.name[1:])
                with suppress(FileNotFoundError):
                    if half and entry.stat().st_mtime < limit:
                        os.unlink(entry.path)

    def used_bytes(self) -> int:
        """How many bytes wait."""
        used = 0
        with suppress(FileNotFoundError), os.scandir(self.waiting) as entries:
            for entry in entries:
                with suppress(FileNotFoundError):
                    used += entry.stat().st_size
        return used

    @contextmanager
    def locked(self, *, wait: bool) -> Iterator[bool]:
        """Hold the leader's lock, which ends with the process; False where another process has it.

        Raises:
            SpoolError: the folder can't be used.
        """
        with on_disk(self.root):
            self.prepare()
            descriptor = os.open(self.root / "leader.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            with on_disk(self.root):
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    mine = False
                else:
                    mine = True
            yield mine
        finally:
            os.close(descriptor)

    def probe(self) -> None:
        """Check that the folder can be locked, written and synced.

        Raises:
            SpoolError: it can't.
        """
        with self.locked(wait=True), on_disk(self.root):
            with self.locked(wait=False) as twice:
                if twice:
                    raise SpoolError(f"{self.root}: its file system doesn't hold a lock (flock)")
            write_file(self.root / "probe", b"interlock doctor")
            sync_folder(self.root)
            (self.root / "probe").unlink()


def _each(act: Callable[..., None], *items: Sequence[object]) -> None:
    """Do the same for each; for many several at once, as a disk does more of them together."""
    each = list(zip(*items, strict=True))
    if len(each) < MANY:
        for one in each:
            act(*one)
        return

    def some(begin: int) -> None:
        for one in each[begin::AT_ONCE]:
            act(*one)

    with ThreadPoolExecutor(AT_ONCE, thread_name_prefix="spool") as pool:
        for _ in pool.map(some, range(AT_ONCE)):
            pass


def write_file(path: Path, content: bytes, *, sync: bool = True) -> None:
    """Write a private file; with `sync` its content is on the disk when this returns, its name not yet."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        os.fchmod(descriptor, 0o600)
        file.write(content)
        file.flush()
        if sync:
            os.fsync(descriptor)


def replace_file(path: Path, content: bytes, *, sync: bool = True) -> None:
    """Put a file in place of another, so that a reader finds the one or the other, whole."""
    new = path.with_name(f".{path.name}.{os.getpid()}")
    write_file(new, content, sync=sync)
    new.rename(path)
    if sync:
        sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Bring a folder's names to the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
