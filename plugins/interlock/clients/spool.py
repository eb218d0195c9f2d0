"""Statements that wait for the store: a folder, one file each, chained by hash.

An append is on the disk when it returns (file and folder are fsynced). Each file names the SHA-256 of the
file before it, also of one that has been shipped since, so that a file that is changed, added or taken out
of the middle is noticed by `waiting`. The files wait in their order, and only the oldest can be removed.

Two locks: `append.lock` for the moment of an append or a removal, `ship.lock` for whoever carries statements
to the store, so that a slow store never holds up a writer. Both are flocks and end with their process. With
several workers, the folder is a volume that all of them mount, on a file system where flock holds.

What it can't show: that the newest files were taken out together with the state file. A statement is
tamper-evident to an outsider only from shipping on.

Errors:

    SpoolError
      SpoolFull            the limit is reached, or the disk is full
      SpoolTampered        a file isn't the one that was written, or is gone
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import logging
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from interlock.evidence.redaction import Json
from interlock.evidence.statement import canonical, sha256
from interlock.evidence.waiting import ORIGIN, Place, Waiting, WaitingError, decode, encode, file_name

FORMAT: Final = 1
LIMIT_BYTES: Final = 256 * 1024 * 1024
WARN_RATIO: Final = 0.8

_STATE: Final = "state.json"
log = logging.getLogger(__name__)


class SpoolError(Exception):
    """The spool can't be used; the message says what to do."""


class SpoolFull(SpoolError):
    """There is no room: ship what waits, or raise the limit."""


class SpoolTampered(SpoolError):
    """A file isn't the one that was written, or is gone."""


@dataclass(frozen=True)
class _State:
    """The chain's last file (head) and the last one that was removed (shipped): number and hash."""

    head: int
    head_hash: str
    shipped: int
    shipped_hash: str


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
        self._folder = folder
        self._limit = limit_bytes
        self._step = step

    def append(self, waiting: Waiting) -> Place:
        """Write a statement to the disk; return its place.

        Raises:
            SpoolFull: there is no room for it.
            SpoolError: the folder can't be written.
        """
        with self._disk(), self._locked("append.lock"):
            state = self._settled()
            sequence = state.head + 1
            content = encode(waiting, sequence, state.head_hash)
            self._check_room(len(content))
            place = Place(sequence, state.head_hash, sha256(content))
            self._write(place.name, content)
            self._step("appended")
            self._save(_State(sequence, place.hash, state.shipped, state.shipped_hash))
            return place

    def waiting(self) -> Iterator[tuple[Place, Waiting]]:
        """Yield what waits, oldest first, each checked against the chain as it comes.

        Raises:
            SpoolTampered: the next file isn't the one that was written; what came before it was good.
        """
        with self._disk(), self._locked("append.lock"):
            state = self._settled()
            names = dict(self._files())
        previous = state.shipped_hash
        for sequence in range(state.shipped + 1, state.head + 1):
            name = names.get(sequence)
            if name is None:
                raise SpoolTampered(
                    f"{self._folder}: file {sequence:020d}.json is gone before it was shipped"
                )
            with self._disk():
                place, waiting = _decoded(self._folder / name)
            if place.sequence != sequence or place.previous != previous:
                raise SpoolTampered(f"{self._folder / name}: it doesn't follow the file before it")
            if sequence == state.head and place.hash != state.head_hash:
                raise SpoolTampered(f"{self._folder / name}: it isn't the file that was written")
            previous = place.hash
            yield place, waiting

    def remove(self, place: Place) -> None:
        """Remove the oldest file, which has been shipped."""
        with self._disk(), self._locked("append.lock"):
            state = self._settled()
            if place.sequence <= state.shipped:
                return
            if place.sequence != state.shipped + 1:
                raise SpoolError(f"{self._folder}: {place.name} is not the oldest file")
            self._save(_State(state.head, state.head_hash, place.sequence, place.hash))
            self._step("removal recorded")
            (self._folder / place.name).unlink(missing_ok=True)
            self._sync_folder()

    @contextlib.contextmanager
    def shipping(self) -> Iterator[bool]:
        """Hold the right to ship; yields False at once when another process has it."""
        with contextlib.ExitStack() as stack:
            try:
                with self._disk():
                    stack.enter_context(self._locked("ship.lock", wait=False))
            except BlockingIOError:
                yield False
                return
            yield True

    def probe(self) -> None:
        """Check that the folder can be locked, written and synced; it is made if it isn't there.

        Raises:
            SpoolError: it can't.
        """
        with self._disk(), self._locked("append.lock"):
            with contextlib.suppress(BlockingIOError), self._locked("append.lock", wait=False):
                raise SpoolError(f"{self._folder}: its file system doesn't hold a lock (flock)")
            self._write("probe", b"interlock doctor")
            (self._folder / "probe").unlink()

    def count(self) -> int:
        """Return how many statements wait."""
        with self._disk(), self._locked("append.lock"):
            state = self._settled()
        return state.head - state.shipped

    def used_bytes(self) -> int:
        """Return how many bytes wait."""
        with self._disk():
            return sum((self._folder / name).stat().st_size for _, name in self._files())

    def _check_room(self, size: int) -> None:
        used = sum((self._folder / name).stat().st_size for _, name in self._files()) + size
        if used > self._limit:
            raise SpoolFull(
                f"{self._folder}: {used} bytes would wait, {self._limit} may: bring the store back and ship, "
                f"or raise the limit"
            )
        if used >= WARN_RATIO * self._limit:
            log.warning(
                "%s: %d of %d bytes wait; ship them before it is full", self._folder, used, self._limit
            )

    def _files(self) -> list[tuple[int, str]]:
        if not self._folder.exists():
            return []
        names = [entry.name for entry in os.scandir(self._folder)]
        numbered = ((int(n[:20]), n) for n in names if n[:20].isdigit())
        return sorted((sequence, name) for sequence, name in numbered if name == file_name(sequence))

    def _settled(self) -> _State:
        """Return the state, after finishing what a process that was killed has begun."""
        state = self._load()
        for sequence, name in self._files():
            if sequence <= state.shipped:
                (self._folder / name).unlink(missing_ok=True)
            elif sequence == state.head + 1:
                place, _ = _decoded(self._folder / name)
                if place.sequence != sequence or place.previous != state.head_hash:
                    raise SpoolTampered(f"{self._folder / name}: it doesn't follow the file before it")
                state = _State(sequence, place.hash, state.shipped, state.shipped_hash)
                self._save(state)
            elif sequence > state.head:
                raise SpoolTampered(f"{self._folder / name}: the files before it are unknown here")
        return state

    def _load(self) -> _State:
        path = self._folder / _STATE
        try:
            content = json.loads(path.read_bytes())
            if content["format"] != FORMAT:
                raise SpoolError(f"{path}: format {content['format']}, this version reads {FORMAT}")
            head, shipped = content["head"], content["shipped"]
            return _State(head["sequence"], head["hash"], shipped["sequence"], shipped["hash"])
        except FileNotFoundError:
            return _State(0, ORIGIN, 0, ORIGIN)
        except (ValueError, KeyError, TypeError) as error:
            raise SpoolTampered(f"{path}: not a spool's state: {error!r}") from error

    def _save(self, state: _State) -> None:
        head: Json = {"sequence": state.head, "hash": state.head_hash}
        shipped: Json = {"sequence": state.shipped, "hash": state.shipped_hash}
        self._write(_STATE, canonical({"format": FORMAT, "head": head, "shipped": shipped}))

    def _write(self, name: str, content: bytes) -> None:
        temporary = self._folder / f".{name}.new"
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, 0o600)
            file.write(content)
            file.flush()
            os.fsync(descriptor)
        temporary.rename(self._folder / name)
        self._sync_folder()

    def _sync_folder(self) -> None:
        descriptor = os.open(self._folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)

    @contextlib.contextmanager
    def _locked(self, name: str, *, wait: bool = True) -> Iterator[None]:
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        descriptor = os.open(self._folder / name, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
        finally:
            os.close(descriptor)

    @contextlib.contextmanager
    def _disk(self) -> Iterator[None]:
        try:
            yield
        except BlockingIOError:
            raise
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise SpoolFull(f"{self._folder}: the disk is full") from error
            raise SpoolError(f"{self._folder}: can't be used as a spool: {error}") from error


def _decoded(path: Path) -> tuple[Place, Waiting]:
    try:
        return decode(path.read_bytes())
    except WaitingError as error:
        raise SpoolTampered(f"{path}: {error}") from error
