"""The story that a log's entries tell: one row each, for a page or a report."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Self

from interlock.evidence.log.layout import blob_key
from interlock.evidence.verification.entry import EntryError, read_entry
from interlock.evidence.verification.sayings import sayings

MAX_ROWS: Final = 5_000


@dataclass(frozen=True, slots=True)
class Row:
    """One entry."""

    year: int
    index: int
    at: datetime | None
    kind: str
    says: tuple[str, ...]
    run: str
    late: bool
    problem: str
    receipt: str
    blob: str

    @property
    def grade(self) -> str:
        """When it was signed."""
        return "attested late" if self.late else "signed then"

    def to_json(self) -> dict[str, object]:
        """As JSON."""
        return {
            "year": self.year,
            "index": self.index,
            "at": self.at.isoformat() if self.at else None,
            "kind": self.kind,
            "run": self.run,
            "grade": "" if self.problem else self.grade,
            "problem": self.problem,
            "says": list(self.says),
            "receipt": self.receipt,
            "blob": self.blob,
        }

    @classmethod
    def of(cls, year: int, index: int, leaf: bytes, stored: datetime | None, receipt: str) -> Self:
        """The row of an entry, whose receipt is at a path in the archive; empty: it has none."""
        try:
            entry = read_entry(leaf, None, whole=True)
        except EntryError as error:
            return cls(year, index, stored, "unreadable", (), "", False, str(error), receipt, "")
        run = f"{entry.dag_id}/{entry.run_id}" if entry.dag_id else entry.run_hash
        blob = f"objects/{blob_key(entry.blob[0])}" if entry.blob else ""
        says = tuple(sayings(entry.kind, entry.body or {}))
        return cls(year, index, entry.at or stored, entry.kind, says, run, entry.late, "", receipt, blob)


@dataclass
class Story:
    """Rows, at most MAX_ROWS of them.

    Attributes:
        rows: those that are kept.
        count: how many there are.
    """

    rows: list[Row] = field(default_factory=list)
    count: int = 0

    def add(self, year: int, index: int, leaf: bytes, stored: datetime | None, receipt: str = "") -> None:
        """Take an entry, whose receipt is at a path in the archive; empty: it has none."""
        self.count += 1
        if len(self.rows) < MAX_ROWS:
            self.rows.append(Row.of(year, index, leaf, stored, receipt))
