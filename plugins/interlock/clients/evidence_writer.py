"""What the rest of Interlock knows of evidence: the writer's interface, and what it answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Protocol

from interlock.evidence.statement import Run, Statement


@dataclass(frozen=True)
class Recorded:
    """Where a statement is kept now.

    Attributes:
        digest: its SHA-256.
        where: "log", signed and under a published head; or "spool", waiting to be shipped.
        index: its place in the log; None in the spool, and where the leader's word was missed.
        year: the log's year; None as `index`.
        reason: why it waits; empty in the log.
    """

    digest: str
    where: Literal["log", "spool"]
    index: int | None = None
    year: int | None = None
    reason: str = ""


@dataclass(frozen=True)
class Shipped:
    """What a shipper did.

    Attributes:
        count: statements that this call took into the log.
        left: statements that still wait.
        reason: why any are left; empty when none are.
    """

    count: int
    left: int
    reason: str = ""


@dataclass(frozen=True)
class RunStatements:
    """The statements of one run that the log and the spool have.

    Attributes:
        digests: their SHA-256s, sorted.
        incomplete_because: why there may be more; empty when both could be read.
    """

    digests: tuple[str, ...]
    incomplete_because: str = ""


class EvidenceWriter(Protocol):
    """What the rest of Interlock knows of evidence."""

    def record(self, statement: Statement) -> Recorded:
        """Keep a statement; it is in the log or on the disk of the spool when this returns."""

    def record_all(self, statements: Sequence[Statement]) -> list[Recorded]:
        """Keep several statements."""

    def ship(self) -> Shipped:
        """Carry what waits in the spool to the log, oldest first."""

    def of_run(self, run: Run, since: datetime) -> RunStatements:
        """Return the statements of a run that has begun at this time, for its seal."""
