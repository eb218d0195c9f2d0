"""What verification finds: a code, how much it weighs, the first bad entry, what it should have been.

Codes are part of the interface: scripts compare them, docs/evidence.md explains each.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType
from typing import Final

KEPT: Final = 200
"""Findings of one code that are kept whole; further ones are counted."""
STATEMENTS: Final = 20
"""Affected statements that a finding names; further ones are counted."""


class Weight(StrEnum):
    """What a finding means for the verdict."""

    BAD = "bad"
    """Evidence is not what it should be: the verdict is NOT VERIFIED."""
    NOTICE = "notice"
    """Worth knowing; nothing that was claimed is wrong."""


CODES: Final[Mapping[str, tuple[Weight, str]]] = MappingProxyType(
    {
        "claim-missing": (Weight.BAD, "a claim is not there, although later ones or a signed head need it"),
        "claim-malformed": (Weight.BAD, "a claim is not what a writer writes"),
        "claim-number": (Weight.BAD, "a claim says another number than its key"),
        "claim-first": (Weight.BAD, "a claim does not begin where the one before it ended"),
        "claim-root": (Weight.BAD, "a claim was made on another tree than the claims before it give"),
        "claim-after-close": (Weight.BAD, "a claim follows the one that closed the log"),
        "close-mismatch": (Weight.BAD, "a claim's mark as the last and its statement don't fit together"),
        "entry-altered": (Weight.BAD, "an entry is not the one that the signed head covers"),
        "entry-duplicate": (Weight.BAD, "the same statement is in the log twice"),
        "bundle-altered": (Weight.BAD, "an entry bundle differs from the entries under the signed head"),
        "bundle-missing": (Weight.BAD, "an entry bundle that the signed head needs is not there"),
        "tile-altered": (Weight.BAD, "a hash tile differs from the tree under the signed head"),
        "tile-missing": (Weight.BAD, "a hash tile that the signed head needs is not there"),
        "partial-altered": (Weight.BAD, "a partial tile differs from the tree under the signed head"),
        "partial-missing": (Weight.BAD, "a partial tile that the signed head needs is not there"),
        "root-mismatch": (Weight.BAD, "the entries don't give the root that is signed, nor do the tiles"),
        "checkpoint-malformed": (Weight.BAD, "a checkpoint is not a signed note with a checkpoint in it"),
        "checkpoint-signature": (Weight.BAD, "a checkpoint is not signed by a key that you trust"),
        "checkpoint-origin": (Weight.BAD, "a checkpoint belongs to another log"),
        "checkpoint-size": (Weight.BAD, "a checkpoint says another size than its key"),
        "checkpoint-fork": (Weight.BAD, "a signed checkpoint contradicts the log's entries"),
        "checkpoint-missing": (Weight.BAD, "there is no signed head"),
        "checkpoint-old": (Weight.BAD, "the newest head was replaced by an older one"),
        "head-mid-claim": (
            Weight.NOTICE,
            "a signed head ends inside of a claim: no writer makes such a head",
        ),
        "head-behind": (Weight.NOTICE, "a signed head is not published yet: its writer was interrupted"),
        "head-pending": (Weight.NOTICE, "claims are not under a signed head yet"),
        "head-overdue": (Weight.BAD, "claims are not under a signed head, and have not been for too long"),
        "rewound": (Weight.BAD, "the log is shorter than a head that was seen before"),
        "witness-fork": (Weight.BAD, "a head that was kept elsewhere contradicts the log"),
        "witness-unusable": (Weight.BAD, "a head that was kept elsewhere is not one of this log"),
        "delete-marker": (Weight.BAD, "somebody deleted an object: it has a delete marker"),
        "second-version": (Weight.BAD, "an object that is written once has another version"),
        "partial-deleted": (
            Weight.NOTICE,
            "somebody deleted a partial tile that a later one replaced: no writer does",
        ),
        "unknown-object": (Weight.NOTICE, "an object under log/ that no writer makes"),
        "envelope-malformed": (Weight.BAD, "an entry is not a signed in-toto statement"),
        "statement-signature": (Weight.BAD, "a statement's signature does not hold"),
        "statement-key": (Weight.BAD, "a statement is signed by a key that you don't trust"),
        "statement-malformed": (Weight.BAD, "a signed payload is not a statement of a known form"),
        "statement-unknown": (Weight.NOTICE, "a statement is of a type that this version does not know"),
        "late-malformed": (Weight.BAD, "a late attestation does not fit the statement that it carries"),
        "shipped-mismatch": (Weight.BAD, "what a shipping says does not fit what was shipped with it"),
        "blob-missing": (Weight.BAD, "evidence that a statement names is not there"),
        "blob-altered": (Weight.BAD, "evidence does not have the digest that its statement signs"),
        "blob-size": (Weight.BAD, "evidence does not have the size that its statement signs"),
        "retention-missing": (Weight.BAD, "a version is not locked"),
        "retention-short": (Weight.BAD, "a version is locked for too short a time"),
        "retention-mode": (Weight.BAD, "a version is locked in another mode than you ask for"),
        "seal-gap": (Weight.BAD, "a run's seal lists a statement that is not there"),
        "seal-foreign": (Weight.BAD, "a run's seal lists a statement of another run"),
        "seal-incomplete": (Weight.NOTICE, "a run's seal says that it may not list all statements"),
        "seal-unlisted": (Weight.NOTICE, "a run has statements that its seal does not list"),
        "opened-again": (Weight.BAD, "a log-opened statement is not the first entry of its log"),
        "year-unlinked": (Weight.BAD, "a year's log does not begin with the last head of the one before"),
        "year-not-closed": (Weight.BAD, "a year's log goes on although the next one was opened"),
        "year-missing": (Weight.BAD, "a year's log that the next one continues is not there"),
        "clock-future": (Weight.BAD, "a time is later than it can be"),
        "clock-rewritten": (Weight.BAD, "an object is younger than one that was made after it"),
        "clock-unbounded": (Weight.NOTICE, "a statement claims a time long before the store got it"),
        "entry-missing": (Weight.BAD, "an entry of the archive's range is not in it"),
        "entry-outside": (Weight.BAD, "an entry of a part is not of what the part says that it holds"),
        "receipt-malformed": (Weight.BAD, "a receipt is not a proof in the form tlog-proof"),
        "receipt-mismatch": (Weight.BAD, "a receipt does not prove its entry"),
    }
)
"""Each code's weight, and what it means in one clause."""


@dataclass(frozen=True, slots=True)
class Affected:
    """A statement that a finding concerns."""

    index: int
    digest: str
    kind: str
    dag_id: str
    run_id: str
    run_hash: str

    def __str__(self) -> str:
        """For people."""
        run = (
            f"{self.dag_id}/{self.run_id}" if self.dag_id else f"run {self.run_hash}" if self.run_hash else ""
        )
        return f"entry {self.index}: {self.kind or 'unreadable'}{f' of {run}' if run else ''}"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was found.

    Attributes:
        code: a key of CODES.
        year: the log's year; None where it is no year's.
        index: the first entry affected; None where no entry is.
        end: one past the last entry affected; None: only `index`, or none.
        object: the key of the object that shows it.
        expected: what should have been there.
        found: what is there.
        statements: what is affected, at most STATEMENTS.
    """

    code: str
    object: str
    expected: str
    found: str
    year: int | None = None
    index: int | None = None
    end: int | None = None
    statements: tuple[Affected, ...] = ()

    @property
    def weight(self) -> Weight:
        """What it means for the verdict."""
        return CODES[self.code][0]

    @property
    def meaning(self) -> str:
        """Its code in one clause."""
        return CODES[self.code][1]

    @property
    def place(self) -> tuple[int, int] | None:
        """Year and index of the first entry affected; None where no entry is."""
        return None if self.year is None or self.index is None else (self.year, self.index)


@dataclass(frozen=True)
class YearFindings:
    """Takes what is found in one year's log."""

    findings: Findings
    year: int

    def add(
        self,
        code: str,
        index: int | None,
        key: str,
        expected: str,
        found: str,
        affected: tuple[Affected, ...] = (),
        end: int | None = None,
    ) -> None:
        """Take a finding; the arguments are those of Finding."""
        self.findings.add(Finding(code, key, expected, found, self.year, index, end, affected))


class Findings:
    """Collects findings; at most KEPT of each code are kept whole, so that no input fills the memory."""

    def __init__(self) -> None:
        self._kept: list[Finding] = []
        self.counts: Counter[str] = Counter()
        self.first_bad: tuple[int, int] | None = None

    def add(self, finding: Finding) -> None:
        """Take a finding."""
        if finding.weight is Weight.BAD and finding.place is not None:
            self.first_bad = min(self.first_bad or finding.place, finding.place)
        self.counts[finding.code] += 1
        if self.counts[finding.code] <= KEPT:
            self._kept.append(finding)

    def take(self, others: Findings) -> None:
        """Take all that others found."""
        for finding in others:
            self.add(finding)
        for code, count in others.counts.items():
            self.counts[code] += max(0, count - KEPT)
        if others.first_bad is not None:
            self.first_bad = min(self.first_bad or others.first_bad, others.first_bad)

    def full(self, code: str) -> bool:
        """Whether as many findings of a code are kept as ever will be; count the next one, if so."""
        if self.counts[code] < KEPT:
            return False
        self.counts[code] += 1
        return True

    def __iter__(self) -> Iterator[Finding]:
        """The kept ones: the bad ones first, each kind by year and index."""
        return iter(
            sorted(
                self._kept,
                key=lambda f: (
                    f.weight is not Weight.BAD,
                    f.place is None,
                    f.place or (0, 0),
                    f.code,
                    f.object,
                ),
            )
        )

    @property
    def bad(self) -> int:
        """How many bad ones there are."""
        return sum(count for code, count in self.counts.items() if CODES[code][0] is Weight.BAD)

    @property
    def notices(self) -> int:
        """How many notices there are."""
        return sum(self.counts.values()) - self.bad
