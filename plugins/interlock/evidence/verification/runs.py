"""Runs and their seals: whether all that a seal lists is there."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from interlock.evidence.statement import evidence_key
from interlock.evidence.verification.entry import SKEW, Entry, read_time
from interlock.evidence.verification.findings import STATEMENTS, Finding, Findings
from interlock.evidence.verification.source import MAX_BLOB, Source, SourceError, shifted
from interlock.evidence.verification.statements import RunSeen, SealSeen, Statements

MAX_LISTED: Final = 1_000_000
WAITS: Final = timedelta(hours=24)
"""For how long after its seal a statement may still wait in the spool of another host."""


@dataclass(frozen=True)
class Read:
    """What was read of a log.

    Attributes:
        where: what it is, in words: "the log", "this part".
        at: as of when it is judged; None: nobody says when it was, so nothing in it may wait.
        older: of an incremental verification, when the store took the newest of what was not read.
        whole: whether all was read.
    """

    where: str
    at: datetime | None
    older: datetime | None = None
    whole: bool = True

    def has_all_of(self, seal: Entry) -> bool:
        """Whether all statements of a seal's run have to be in what was read.

        A run's statements are younger than the run, so those of a run that began after what was not read
        are not there.
        """
        if self.whole:
            return True
        began = read_time((seal.body or {}).get("began_at"))
        return began is not None and self.older is not None and began > shifted(self.older, SKEW)

    def may_wait(self, seal: SealSeen) -> bool:
        """Whether what a seal lists may still be in the spool of another host than the seal's."""
        return self.at is not None and seal.at is not None and self.at <= shifted(seal.at, WAITS)


@dataclass
class Seals:
    """What was seen of runs and their seals.

    Attributes:
        sealed: runs that have a seal.
        several: of these, runs that have more than one; what their seals list is taken together.
        partial: of these, runs of which a seal says that it may not list all.
        unsealed: runs that have none.
        unread: seals whose list can't be read.
        elsewhere: statements that seals list, and that may be where nothing was read.
        waiting: statements that seals list, and that may still be on their way.
    """

    sealed: int = 0
    several: int = 0
    partial: int = 0
    unsealed: int = 0
    unread: int = 0
    elsewhere: int = 0
    waiting: int = 0


def judge_runs(statements: Sequence[Statements], source: Source, findings: Findings, read: Read) -> Seals:
    """Compare each run's seals with the statements that are there, wherever in the log they are.

    Args:
        statements: of each year.
        source: has the blobs of seals whose list does not fit into the statement.
        findings: takes what is found.
        read: what was read.
    """
    present: dict[bytes, tuple[int, int]] = {}
    runs: dict[str, RunSeen] = {}
    for one in statements:
        for digest, place in one.digests.items():
            if (before := present.setdefault(digest, place)) != place:
                year, index = place
                said = f"it is entry {before[1]} of {before[0]} already"
                findings.add(
                    Finding(
                        "entry-duplicate", "", "each statement once", f"{digest.hex()}: {said}", year, index
                    )
                )
        for run_hash, seen in one.runs.items():
            merged = runs.setdefault(run_hash, RunSeen(seen.name))
            merged.name = seen.name if "/" in seen.name else merged.name
            merged.digests += seen.digests
            merged.seals += seen.seals
    seals = Seals()
    for run in runs.values():
        seals.sealed += bool(run.seals)
        seals.several += len(run.seals) > 1
        seals.unsealed += not run.seals
        if run.seals:
            _Run(run, present, findings, seals, read).judge(source)
    return seals


@dataclass
class _Run:
    """A run that has a seal."""

    run: RunSeen
    present: Mapping[bytes, tuple[int, int]]
    findings: Findings
    seals: Seals
    read: Read

    def judge(self, source: Source) -> None:
        everything: set[str] = set()
        own = {*(one.hex() for one in self.run.digests), *(one.entry.digest for one in self.run.seals)}
        unread, partial = 0, 0
        for seal in self.run.seals:
            body = seal.entry.body or {}
            if body.get("complete") is not True:
                partial += 1
                said = str(body.get("incomplete_because") or "no reason given")[:300]
                self._add("seal-incomplete", seal, "a complete list", said)
            digests = listed(seal.entry, source)
            if digests is None:
                unread += 1
                continue
            everything |= digests
            gaps = sorted(digest for digest in digests if not _there(digest, self.present))
            self._gaps(seal, gaps, len(digests))
            if foreign := sorted(digests - own - {*gaps}):
                self._add(
                    "seal-foreign",
                    seal,
                    f"statements of {self.run.name} alone",
                    _named(foreign, "of another"),
                )
        self.seals.unread += unread
        self.seals.partial += bool(partial)
        extra = [digest for digest in self.run.digests if digest.hex() not in everything]
        if extra and not unread and all(self.read.has_all_of(one.entry) for one in self.run.seals):
            year, index = self.present[extra[0]]
            said = f"{len(extra)} more, the first is entry {index} of {year}"
            self.findings.add(
                Finding("seal-unlisted", self._key, "all statements of the run", said, year, index)
            )

    def _gaps(self, seal: SealSeen, gaps: Sequence[str], count: int) -> None:
        if not self.read.has_all_of(seal.entry):
            self.seals.elsewhere += len(gaps)
        elif self.read.may_wait(seal):
            self.seals.waiting += len(gaps)
        elif gaps:
            said = _named(gaps, f"not in {self.read.where}")
            self._add("seal-gap", seal, f"all {count} statements that it lists", said)

    @property
    def _key(self) -> str:
        return f"seal of {self.run.name}"

    def _add(self, code: str, seal: SealSeen, expected: str, found: str) -> None:
        affected = (seal.entry.affected(seal.index),)
        self.findings.add(Finding(code, self._key, expected, found, seal.year, seal.index, None, affected))


def _named(digests: Sequence[str], how: str) -> str:
    return f"{len(digests)} are {how}: {', '.join(digests[:STATEMENTS])}"


def listed(seal: Entry, source: Source) -> set[str] | None:
    """The digests that a seal lists, in itself or in its evidence; None: they can't be read."""
    body: dict[str, Any] = seal.body or {}
    found = body.get("statements")
    if not found and seal.blob is not None:
        try:
            content = source.read(evidence_key(seal.blob[0]), MAX_BLOB)
            if hashlib.sha256(content).hexdigest() != seal.blob[0]:
                return None
            found = json.loads(content).get("statements")
        except (SourceError, ValueError, AttributeError, RecursionError):
            return None
    if not isinstance(found, list) or len(found) > MAX_LISTED:
        return None
    return {str(digest) for digest in found}


def listed_by_all(seals: Iterable[Entry], source: Source) -> set[str]:
    """The digests that any of these seals lists."""
    return {digest for seal in seals for digest in listed(seal, source) or ()}


def _there(digest: str, present: Mapping[bytes, tuple[int, int]]) -> bool:
    try:
        return bytes.fromhex(digest) in present
    except ValueError:
        return False
