"""Runs and their seals, and how the years' logs are linked."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from interlock.evidence.statement import evidence_key
from interlock.evidence.verification.entry import Entry
from interlock.evidence.verification.findings import STATEMENTS, Finding, Findings
from interlock.evidence.verification.heads import HeadError, read_head
from interlock.evidence.verification.locks import KEEP
from interlock.evidence.verification.source import MAX_BLOB, Source, SourceError
from interlock.evidence.verification.statements import RunSeen, Statements
from interlock.evidence.verification.trust import Trust
from interlock.evidence.verification.year import YearResult

MAX_LISTED: Final = 1_000_000


@dataclass
class Seals:
    """What was seen of runs and their seals.

    Attributes:
        sealed: runs that have a seal.
        several: of these, runs that have more than one; what their seals list is taken together.
        unsealed: runs that have none.
        unread: seals whose list can't be read.
        elsewhere: statements that seals list, and that may be where nothing was read.
    """

    sealed: int = 0
    several: int = 0
    unsealed: int = 0
    unread: int = 0
    elsewhere: int = 0


def judge_runs(
    statements: Sequence[Statements], source: Source, findings: Findings, *, whole: bool, where: str
) -> Seals:
    """Compare each run's seals with the statements that are there.

    Args:
        statements: of each year.
        source: has the blobs of seals whose list does not fit into the statement.
        findings: takes what is found.
        whole: whether all statements were read; else what a seal lists and is not there may be elsewhere.
        where: what was read, in words: "the log", "this part".
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
        _judge_run(run, present, source, findings, seals, where if whole else "")
    return seals


def _judge_run(
    run: RunSeen,
    present: Mapping[bytes, tuple[int, int]],
    source: Source,
    findings: Findings,
    seals: Seals,
    whole: str,
) -> None:
    everything: set[str] = set()
    unread = 0
    for year, index, seal in run.seals:
        key = f"seal of {run.name}"
        body = seal.body or {}
        if body.get("complete") is False:
            said = str(body.get("incomplete_because") or "no reason given")[:300]
            findings.add(Finding("seal-incomplete", key, "a complete list", said, year, index))
        listed = _listed(seal, source)
        if listed is None:
            unread += 1
            continue
        everything |= listed
        gaps = sorted(digest for digest in listed if not _there(digest, present))
        if gaps and whole:
            some = ", ".join(gaps[:STATEMENTS])
            findings.add(
                Finding(
                    "seal-gap",
                    key,
                    f"all {len(listed)} statements that it lists",
                    f"{len(gaps)} are not in {whole}: {some}",
                    year,
                    index,
                    None,
                    (seal.affected(index),),
                )
            )
        elif gaps:
            seals.elsewhere += len(gaps)
    seals.unread += unread
    if run.seals and not unread:
        extra = [digest for digest in run.digests if digest.hex() not in everything]
        if extra and whole:
            year, index = present[extra[0]]
            said = f"{len(extra)} more, the first is entry {index} of {year}"
            findings.add(
                Finding(
                    "seal-unlisted", f"seal of {run.name}", "all statements of the run", said, year, index
                )
            )


def _listed(seal: Entry, source: Source) -> set[str] | None:
    """The digests that a seal lists, in itself or in its evidence; None: they can't be read."""
    body: dict[str, Any] = seal.body or {}
    listed = body.get("statements")
    if not listed and seal.blob is not None:
        try:
            content = source.read(evidence_key(seal.blob[0]), MAX_BLOB)
            if hashlib.sha256(content).hexdigest() != seal.blob[0]:
                return None
            listed = json.loads(content).get("statements")
        except (SourceError, ValueError, AttributeError, RecursionError):
            return None
    if not isinstance(listed, list) or len(listed) > MAX_LISTED:
        return None
    return {str(digest) for digest in listed}


def _there(digest: str, present: Mapping[bytes, tuple[int, int]]) -> bool:
    try:
        return bytes.fromhex(digest) in present
    except ValueError:
        return False


def judge_links(years: Sequence[YearResult], trust: Trust, findings: Findings, *, now: datetime) -> None:
    """Compare the first entry of each year's log with the last head of the one before.

    A log whose locks have ended by `now` may be gone.
    """
    by_year = {one.year: one for one in years}
    for one in sorted(years, key=lambda each: each.year):
        opened = [
            (index, entry)
            for _, index, entry in one.statements.links
            if entry.kind == "log-opened" and index == 0
        ]
        earlier = max((year for year in by_year if year < one.year), default=None)
        before = by_year[earlier] if earlier is not None else None
        key = f"log/{one.year:04d}/seq/{0:020d}"
        if one.start > 0:
            continue
        if not opened:
            if before is not None:
                findings.add(
                    Finding(
                        "year-unlinked",
                        key,
                        f"the last head of {before.year}",
                        "no log-opened statement as entry 0",
                        one.year,
                        0,
                    )
                )
        else:
            expired = now > datetime(one.year, 1, 1, tzinfo=UTC) + KEEP
            if before is not None or not expired:
                _judge_link(one, opened[0][1], before, key, trust, findings)
        if before is not None and not before.closed:
            said = f"{one.year} was opened, and no closing claim after {before.size} entries"
            place = (before.year, max(before.size - 1, 0))
            findings.add(Finding("year-not-closed", key, f"{before.year} closed", said, *place))


def _judge_link(
    one: YearResult, opened: Entry, before: YearResult | None, key: str, trust: Trust, findings: Findings
) -> None:
    text = str((opened.body or {}).get("checkpoint") or "")
    try:
        head = read_head(text.encode(errors="replace"), trust, key)
    except HeadError as error:
        findings.add(Finding("year-unlinked", key, error.expected, str(error), one.year, 0))
        return
    if before is None or head.year != before.year:
        said = f"no log of {head.year} is here"
        findings.add(
            Finding("year-missing", f"log/{head.year:04d}/", f"the log of {head.year}", said, head.year, 0)
        )
        return
    if (head.head.size, head.head.root) != (before.size, before.root):
        expected = f"size {before.size}, root {before.root.hex()}, as the log of {before.year} gives"
        found = f"size {head.head.size}, root {head.head.root.hex()}"
        findings.add(Finding("year-unlinked", key, expected, found, one.year, 0, None, (opened.affected(0),)))
