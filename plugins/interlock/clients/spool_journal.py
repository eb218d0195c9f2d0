"""The spool's journal: which statements wait, in a chain of hashes, and where the next ones go.

Lines of canonical JSON, each with the SHA-256 of the line before it, written only by who holds the leader's
lock:

    begin    the journal's first line; a compacted one goes on where the old one ended
    add      a waiting file has a place in the chain: its sequence number, name and SHA-256
    open     a claim is about to be sent: its number, its attempt, and which statements it carries
    done     a claim of ours is published: what it carried is no longer awaited

One fsync makes the adds and the `open` before a claim durable. `done` rides with the next: without it a claim
is found again by its attempt. A last line that was torn when the power went is cut.

What the chain can't show: that its newest lines were taken out together with their files.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from interlock.clients.spool_errors import SpoolError, SpoolTampered
from interlock.clients.spool_folder import replace_file
from interlock.evidence.redaction import Json
from interlock.evidence.statement import canonical

FORMAT: Final = 2
ORIGIN: Final = "0" * 64
"""What the first line of a spool names as the hash before it."""
COMPACT_BYTES: Final = 256 * 1024


@dataclass(frozen=True)
class Entry:
    """A waiting file's place: its number from 1 on, its name and SHA-256, and the hash of the line before."""

    sequence: int
    name: str
    sha256: str
    previous: str


@dataclass(frozen=True)
class Opened:
    """The one open position: a claim that may have been sent.

    Attributes:
        log: the log's name.
        year: the log's year.
        number: the claim's number.
        attempt: the claim's attempt.
        at: the claim's time, RFC 3339; also that of the late attestations in it.
        first: sequence number of the first statement in it.
        last: sequence number of the last one.
        waited: whether its statements had waited, so that a `shipped` statement goes with them.
    """

    log: str
    year: int
    number: int
    attempt: str
    at: str
    first: int
    last: int
    waited: bool


@dataclass(frozen=True)
class Seen:
    """A head that this spool has seen published: of which log and year, its claims, entries and root."""

    log: str
    year: int
    number: int
    size: int
    root: str


class Journal:
    """The journal in one file. Only the holder of the leader's lock may call anything but `read`."""

    def __init__(self, path: Path) -> None:
        """Keep the path; `read` reads it."""
        self._path = path
        self._forget()

    def _forget(self) -> None:
        self._inode = -1
        self._read_bytes = 0
        self._buffer: list[bytes] = []
        self._head = ORIGIN
        self.sequence = 0
        self.waiting: dict[int, Entry] = {}
        self.names: set[str] = set()
        self.finished: set[str] = set()
        self.opened: Opened | None = None
        self.seen: Seen | None = None

    def create(self) -> None:
        """Make an empty journal."""
        self._forget()
        begin: dict[str, Json] = {
            "do": "begin",
            "format": FORMAT,
            "id": secrets.token_hex(16),
            "prev": ORIGIN,
        }
        self._replace(canonical(begin))

    def read(self) -> bool:
        """Read what was appended since the last time; False where there is no journal.

        Raises:
            SpoolTampered: a line isn't one that was written after the one before it.
            SpoolError: it is of another format.
        """
        try:
            status = self._path.stat()
        except FileNotFoundError:
            self._forget()
            return False
        if status.st_ino != self._inode or status.st_size < self._read_bytes or self._buffer:
            self._forget()
            self._inode = status.st_ino
        if status.st_size == self._read_bytes:
            return True
        try:
            self._read_on()
        except SpoolTampered:
            if not self._read_bytes:
                raise
            # Another file may have come in its place, with the number of one that was read before.
            self._forget()
            self._inode = status.st_ino
            self._read_on()
        return True

    def _read_on(self) -> None:
        with self._path.open("rb") as file:
            file.seek(self._read_bytes)
            content = file.read()
        whole = content[: content.rfind(b"\n") + 1]
        for line in whole.split(b"\n")[:-1]:
            self._take(line)
        self._read_bytes += len(whole)

    def add(self, name: str, digest: str) -> Entry:
        """Give a waiting file its place; `write` makes it durable."""
        previous = self._head
        self._append({"do": "add", "n": self.sequence + 1, "name": name, "sha256": digest})
        entry = self.waiting[self.sequence]
        assert entry.previous == previous
        return entry

    def open(self, position: Opened) -> None:
        """Record the claim that is about to be sent; `write` makes it durable."""
        self._append({"do": "open", **position.__dict__})

    def done(self, seen: Seen) -> None:
        """Record that the open claim is ours and published, as the head that it led to."""
        assert self.opened is not None
        self._append({"do": "done", "to": self.opened.last, **seen.__dict__})

    def write(self, *, sync: bool) -> None:
        """Append what was recorded; with `sync` it is on the disk when this returns."""
        if not self._buffer:
            return
        content = b"".join(self._buffer)
        descriptor = os.open(self._path, os.O_WRONLY | os.O_CLOEXEC)
        try:
            # What a killed writer left after the last whole line is cut.
            os.ftruncate(descriptor, self._read_bytes)
            os.pwrite(descriptor, content, self._read_bytes)
            if sync:
                os.fdatasync(descriptor)
        finally:
            os.close(descriptor)
        self._read_bytes += len(content)
        self._buffer = []

    @property
    def ripe(self) -> bool:
        """Whether it is large, and nothing waits in it."""
        return not (self._read_bytes <= COMPACT_BYTES or self.waiting or self.opened or self._buffer)

    def compact(self) -> None:
        """Begin the journal anew, where the old one ended; only when it is ripe."""
        begin: dict[str, Json] = {"do": "begin", "format": FORMAT, "n": self.sequence, "prev": self._head}
        if self.seen is not None:
            begin["seen"] = dict(self.seen.__dict__)
        self._replace(canonical(begin))
        self._forget()
        self.read()

    def _replace(self, line: bytes) -> None:
        replace_file(self._path, line + b"\n")

    def _append(self, fields: dict[str, Json]) -> None:
        line = canonical({**fields, "prev": self._head})
        self._take(line)
        self._buffer.append(line + b"\n")

    def _take(self, line: bytes) -> None:
        try:
            fields = json.loads(line)
            self._apply(fields)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise SpoolTampered(f"{self._path}: a line is not one of a spool's journal: {error!r}") from error
        self._head = hashlib.sha256(line).hexdigest()

    def _apply(self, fields: dict[str, Any]) -> None:
        what = fields["do"]
        if what == "begin":
            if fields["format"] != FORMAT:
                raise SpoolError(f"{self._path}: format {fields['format']}, this version reads {FORMAT}")
            if self._head != ORIGIN:
                raise SpoolTampered(f"{self._path}: it begins twice")
            self.sequence, seen = int(fields.get("n", 0)), fields.get("seen")
            self.seen = Seen(**seen) if seen else None
            return
        if fields["prev"] != self._head or self._head == ORIGIN:
            raise SpoolTampered(f"{self._path}: a line after place {self.sequence} doesn't follow")
        if what == "add":
            self._apply_add(fields)
        elif what == "open":
            values = {name: fields[name] for name in Opened.__dataclass_fields__}
            self.opened = Opened(**values)
        elif what == "done":
            self.seen = Seen(*(fields[name] for name in Seen.__dataclass_fields__))
            for sequence in [n for n in self.waiting if n <= fields["to"]]:
                self.finished.add(self.waiting.pop(sequence).name)
            self.opened = None
        else:
            raise SpoolError(f"{self._path}: a line says {what!r}, which this version doesn't know")

    def _apply_add(self, fields: dict[str, Any]) -> None:
        if fields["n"] != self.sequence + 1 or fields["name"] in self.names:
            raise SpoolTampered(f"{self._path}: {fields['name']} has a place that doesn't follow")
        self.sequence += 1
        self.names.add(str(fields["name"]))
        self.waiting[self.sequence] = Entry(
            self.sequence, str(fields["name"]), str(fields["sha256"]), self._head
        )


def first_missing(entries: Iterable[Entry], names: set[str]) -> Entry | None:
    """Return the first entry whose file is not among `names`."""
    return next((entry for entry in entries if entry.name not in names), None)
