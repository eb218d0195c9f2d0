"""What a verification says at its end: what is proven, what isn't, what is not excluded."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from enum import IntEnum
from typing import Any, Final

from interlock.evidence.verification.findings import Finding, Findings
from interlock.evidence.verification.selection import Selection
from interlock.evidence.verification.story import Story

FORMAT: Final = 1


class Exit(IntEnum):
    """The command's exit status."""

    VERIFIED = 0
    NOT_VERIFIED = 1
    USAGE = 2
    UNREADABLE = 3
    INCOMPLETE = 4


@dataclass(frozen=True)
class YearReport:
    """One year's log, in figures.

    Attributes:
        start: from which size on it was verified; 0: all of it.
        size: entries that are claimed.
        proven: entries under a signed head that they give; of a part, how many it has.
        root: of the proven tree, hex.
        claims, heads: how many were read.
        checkpoint: the signed head of the proven tree; empty where there is none.
    """

    year: int
    start: int
    size: int
    proven: int
    root: str
    claims: int
    heads: int
    checkpoint: str = ""


@dataclass
class Report:
    """The result of a verification.

    Attributes:
        source: what was verified, and when, by the verifier's clock.
        log: the log's name, by the trusted key.
        proven: sentences.
        unchecked: what could not be checked, or was not asked for; sentences.
        missing: what was to be checked and could not: a subset of `unchecked`.
        not_excluded: what no verification of this source can exclude; sentences.
        grades: statements by grade.
        seconds: by step.
        witnessed: by year, the size of the largest head from elsewhere that the log contains.
        judged_at: as of when it is judged; None: of a copy of which nobody says when it was made.
        nothing: what there was instead of something to verify, in words; empty where there was something.
        selection: of a part, what it says that it holds; None: it is no part, or doesn't say.
        story: of a part, what its entries say, in the order of its receipts.
    """

    source: str
    log: str
    at: datetime
    findings: Findings
    years: list[YearReport] = field(default_factory=list)
    proven: list[str] = field(default_factory=list)
    unchecked: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    not_excluded: list[str] = field(default_factory=list)
    grades: Mapping[str, int] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    witnessed: Mapping[int, int] = field(default_factory=dict)
    judged_at: datetime | None = None
    nothing: str = ""
    selection: Selection | None = None
    story: Story | None = None

    @property
    def exit(self) -> Exit:
        """The exit status."""
        if self.findings.bad:
            return Exit.NOT_VERIFIED
        return Exit.INCOMPLETE if self.missing or self.nothing else Exit.VERIFIED

    @property
    def verdict(self) -> str:
        """The verdict in a word or two."""
        if self.nothing and not self.findings.bad:
            return f"NOTHING VERIFIED: {self.nothing}"
        return {
            Exit.VERIFIED: "VERIFIED",
            Exit.INCOMPLETE: "INCOMPLETE: nothing wrong was found, and not all could be checked",
            Exit.NOT_VERIFIED: "NOT VERIFIED",
        }[self.exit]

    @property
    def entries(self) -> int:
        """How many entries are proven."""
        return sum(one.proven - min(one.start, one.proven) for one in self.years)

    @property
    def first_bad(self) -> tuple[int, int] | None:
        """Year and index of the first bad entry; None: no entry is bad."""
        return self.findings.first_bad

    def to_json(self) -> dict[str, Any]:
        """The report as JSON; new members may come, these stay."""
        first = self.first_bad
        return {
            "format": FORMAT,
            "verdict": self.exit.name.lower().replace("_", "-"),
            "exit": int(self.exit),
            "source": self.source,
            "log": self.log,
            "at": self.at.isoformat(),
            "judged_at": None if self.judged_at is None else self.judged_at.isoformat(),
            "nothing": self.nothing,
            "selection": None if self.selection is None else self.selection.to_json(),
            "first_bad": None if first is None else {"year": first[0], "index": first[1]},
            "bad": self.findings.bad,
            "notices": self.findings.notices,
            "years": [asdict(one) for one in self.years],
            "grades": dict(self.grades),
            "counts": self.counts,
            "proven": self.proven,
            "unchecked": self.unchecked,
            "missing": self.missing,
            "not_excluded": self.not_excluded,
            "findings_by_code": dict(self.findings.counts),
            "findings": [_finding(one) for one in self.findings],
            "statements": None if self.story is None else [row.to_json() for row in self.story.rows],
            "seconds": {name: round(value, 3) for name, value in self.seconds.items()},
        }


def _finding(found: Finding) -> dict[str, Any]:
    return {
        "code": found.code,
        "weight": str(found.weight),
        "meaning": found.meaning,
        "year": found.year,
        "index": found.index,
        "end": found.end,
        "object": found.object,
        "expected": found.expected,
        "found": found.found,
        "statements": [asdict(one) for one in found.statements],
    }
