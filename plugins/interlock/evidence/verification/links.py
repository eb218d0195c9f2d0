"""How the years' logs are linked: each begins with the last head of the one before."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from interlock.evidence.verification.entry import Entry
from interlock.evidence.verification.findings import Finding, Findings
from interlock.evidence.verification.heads import HeadError, read_head
from interlock.evidence.verification.locks import KEEP
from interlock.evidence.verification.trust import Trust
from interlock.evidence.verification.year import YearResult


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
