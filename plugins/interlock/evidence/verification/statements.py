"""What the statements of a log say, taken together: grades, runs, the evidence they name, their times."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final

from interlock.evidence.verification.entry import Entry, EntryError, describe, read_entry
from interlock.evidence.verification.findings import Finding, Findings
from interlock.evidence.verification.named import Blobs, Named
from interlock.evidence.verification.source import shifted
from interlock.evidence.verification.trust import Trust

UNBOUNDED: Final = timedelta(hours=1)
"""A statement that claims a time longer than this before the store got it, and that nothing says waited."""
SYSTEM: Final = frozenset({"shipped", "log-opened", "log-closed"})


@dataclass(frozen=True, slots=True)
class Batch:
    """One claim's entries, and its times.

    Attributes:
        object: the claim's key.
        at: when its writer says that it made it.
        modified: when the store took it; None where that is not known.
        bound: where that is not known, the latest that somebody says it was.
        whole: whether these are all entries of the claim.
        closes: whether the claim says that nothing may follow it; None where that is not known.
    """

    year: int
    first: int
    entries: Sequence[bytes]
    object: str
    at: datetime | None = None
    modified: datetime | None = None
    bound: datetime | None = None
    whole: bool = True
    closes: bool | None = None

    @property
    def latest(self) -> tuple[datetime, str] | None:
        """The time after which nothing in it can have been made, and what that is; None: nobody says."""
        times = (
            (self.modified, "when the store took it"),
            (self.at, "when its claim was made"),
            (self.bound, "as of when it is judged"),
        )
        return min(((at, what) for at, what in times if at is not None), default=None)


@dataclass(frozen=True, slots=True)
class SealSeen:
    """A run's seal: where it is, and when the store took it; None: that is not known."""

    year: int
    index: int
    entry: Entry
    stored: datetime | None

    @property
    def at(self) -> datetime | None:
        """When it was there for others to see, as far as anybody says."""
        times = (self.entry.at, self.entry.shipped_at, self.stored)
        return max((one for one in times if one is not None), default=None)


@dataclass(frozen=True, slots=True)
class Older:
    """A statement that claims a time before the entries were read: it may have been logged then."""

    digest: str
    at: datetime
    index: int
    object: str


@dataclass
class RunSeen:
    """A run's statements: their digests, and its seals."""

    name: str
    digests: list[bytes] = field(default_factory=list)
    seals: list[SealSeen] = field(default_factory=list)


class Statements:
    """Reads statements and remembers what has to fit together; about 300 bytes an entry."""

    def __init__(self, trust: Trust, tolerance: timedelta, begin: datetime | None = None) -> None:
        """Nothing is read yet.

        Args:
            trust: the keys.
            tolerance: by how much clocks may differ.
            begin: when the store took the newest entry that is not read; None: all are.
        """
        self._trust = trust
        self._tolerance = tolerance
        self._begin = begin
        self.older: list[Older] = []
        self.findings = Findings()
        self.count = 0
        self.grades: Counter[str] = Counter()
        self.kinds: Counter[str] = Counter()
        self.digests: dict[bytes, tuple[int, int]] = {}
        self.runs: dict[str, RunSeen] = {}
        self.blobs = Blobs()
        self.links: list[tuple[int, int, Entry]] = []
        self.signed = 0

    def feed(self, batch: Batch) -> list[Entry | None]:
        """Take a claim's entries, in the log's order; returns what they say, None where one is unreadable."""
        read = [self._one(batch, index, leaf) for index, leaf in enumerate(batch.entries, batch.first)]
        shipped = [(i, e) for i, e in enumerate(read, batch.first) if e is not None and e.kind == "shipped"]
        for index, entry in shipped if batch.whole else ():
            self._shipped(batch, index, entry, len(read) - len(shipped))
        if batch.whole and batch.closes is not None and None not in read:
            self._closing(batch, [entry for entry in read if entry is not None])
        for index, one in enumerate(read, batch.first):
            if one is not None:
                self._clock(batch, index, one, waited=bool(shipped))
        return read

    def _one(self, batch: Batch, index: int, leaf: bytes) -> Entry | None:
        self.count += 1
        try:
            entry = read_entry(leaf, self._trust)
        except EntryError as error:
            affected = error.entry.affected(index) if error.entry else describe(None, index)
            self._found(batch, index, error.code, error.expected, str(error), affected)
            return None
        key = bytes.fromhex(entry.digest)
        if (before := self.digests.setdefault(key, (batch.year, index))) != (batch.year, index):
            self._found(
                batch,
                index,
                "entry-duplicate",
                "each statement once",
                f"statement {entry.digest} is entry {before[1]} of {before[0]} already",
                entry.affected(index),
            )
            return None
        if self._begin is not None and entry.at is not None and entry.at < self._begin:
            self.older.append(Older(entry.digest, entry.at, index, batch.object))
        self.grades["attested late" if entry.late else "signed then"] += 1
        self.kinds[entry.kind] += 1
        self._odd(batch, index, entry)
        if entry.kind in ("log-opened", "log-closed"):
            self.links.append((batch.year, index, entry))
        elif entry.run_hash and entry.kind not in SYSTEM:
            run = self.runs.setdefault(entry.run_hash, RunSeen(f"run {entry.run_hash}"))
            if entry.dag_id:
                run.name = f"{entry.dag_id}/{entry.run_id}"
            if entry.kind == "seal":
                run.seals.append(SealSeen(batch.year, index, entry, batch.modified))
            else:
                run.digests.append(key)
        return entry

    def _odd(self, batch: Batch, index: int, entry: Entry) -> None:
        """What a statement says that no writer says, or that others contradict."""
        affected = entry.affected(index)
        if not entry.known:
            expected = "a type of statement that this version makes"
            self._found(batch, index, "statement-unknown", expected, entry.kind, affected)
        if entry.kind == "log-opened" and index:
            self._found(batch, index, "opened-again", "it as entry 0", f"it as entry {index}", affected)
        if entry.blob is None:
            return
        digest, size = entry.blob
        differs = self.blobs.name(digest, Named(size, batch.year, index, batch.modified))
        if differs is not None:
            self._found(batch, index, "blob-size", *differs, affected)

    def _closing(self, batch: Batch, entries: Sequence[Entry]) -> None:
        """The last claim's mark is in its first line, which nobody signs: its entry has to bear it out."""
        closing = [n for n, entry in enumerate(entries) if entry.kind == "log-closed"]
        if batch.closes == bool(closing) and len(entries) == (1 if closing else len(entries)):
            return
        place = closing[0] if closing else 0
        self._found(
            batch,
            batch.first + place,
            "close-mismatch",
            "a log-closed statement, alone in the claim that closes the log, and in no other",
            f"closes: {str(batch.closes).lower()}, {len(entries)} entries, {len(closing)} of them log-closed",
            entries[place].affected(batch.first + place),
        )

    def _shipped(self, batch: Batch, index: int, entry: Entry, others: int) -> None:
        body: dict[str, Any] = entry.body or {}
        first, last, count = (body.get(name) for name in ("first", "last", "count"))
        fits = all(type(n) is int for n in (first, last, count)) and 1 <= count <= others  # type: ignore[operator]
        if not fits or last - first + 1 < count:  # type: ignore[operator]
            self._found(
                batch,
                index,
                "shipped-mismatch",
                f"at most the {others} other entries of its claim, numbered one by one in the spool",
                f"count {count!r}, first {first!r}, last {last!r}",
                entry.affected(index),
            )

    def _clock(self, batch: Batch, index: int, entry: Entry, *, waited: bool) -> None:
        latest, said = batch.latest, entry.shipped_at or entry.at
        if latest is None or said is None:
            return
        limit, when = latest
        if said > shifted(limit, self._tolerance):
            self._found(
                batch,
                index,
                "clock-future",
                f"a time up to {limit.isoformat()}, {when}",
                said.isoformat(),
                entry.affected(index),
            )
            return
        taken = batch.modified
        if taken is None or entry.late or waited or said >= shifted(taken, -UNBOUNDED):
            return
        self._found(
            batch,
            index,
            "clock-unbounded",
            f"a time near {taken.isoformat()}, when the store took it",
            f"{said.isoformat()}, and nothing says that it waited",
            entry.affected(index),
        )

    def _found(self, batch: Batch, index: int, code: str, expected: str, found: str, affected: Any) -> None:
        self.findings.add(Finding(code, batch.object, expected, found, batch.year, index, None, (affected,)))
