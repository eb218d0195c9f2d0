"""Compare a log with heads of it that were seen before: kept elsewhere, or trusted as a beginning."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from interlock.evidence.log.layout import head_key
from interlock.evidence.verification.findings import Finding, Findings
from interlock.evidence.verification.heads import HeadError, SignedHead, read_head
from interlock.evidence.verification.trust import Trust
from interlock.evidence.verification.year import YearResult


@dataclass(frozen=True)
class Witness:
    """A head that was kept elsewhere: its file's name, and the checkpoint in it."""

    name: str
    text: bytes


def read_witnesses(witnesses: Iterable[Witness], trust: Trust, findings: Findings) -> list[SignedHead]:
    """The heads that witnesses hold; what is none of this log is a finding."""
    found = []
    for witness in witnesses:
        try:
            found.append(read_head(witness.text, trust, witness.name))
        except HeadError as error:
            findings.add(Finding("witness-unusable", witness.name, error.expected, str(error)))
    return found


def kept_elsewhere(head: SignedHead) -> bool:
    """Whether a head comes from somewhere else than the log's own objects."""
    return head.head.object != head_key(head.year, head.head.size)


def compare(
    results: Sequence[YearResult],
    seen: Iterable[SignedHead],
    findings: Findings,
    unchecked: list[str],
    *,
    since: int = 0,
) -> dict[int, int]:
    """Compare the log with the heads that were seen before.

    Args:
        results: what was found of each year.
        seen: the heads.
        findings: takes what is found.
        unchecked: takes sentences about heads that could not be compared.
        since: the year in which verification began: of earlier years nothing was read.

    Returns:
        By year, the size of the largest head from elsewhere that the log contains.
    """
    by_year = {one.year: one for one in results}
    matched: dict[int, int] = {}
    borne_out: dict[int, int] = {}
    for one in sorted(seen, key=lambda each: (each.year, each.head.size)):
        head, result = one.head, by_year.get(one.year)
        said = f"root {head.root.hex()} at size {head.size}, as {head.object} says"
        size = result.size if result is not None else 0
        if result is None and one.year < since:
            unchecked.append(f"{head.object}: older than where this verification begins")
        elif result is None or head.size > size:
            findings.add(Finding("rewound", head.object, said, f"{size} entries", one.year, size, head.size))
        elif head.size not in result.roots:
            if head.size > result.start:
                found = "entries that give no root there"
                findings.add(Finding("witness-fork", head.object, said, found, one.year))
            else:
                unchecked.append(f"{head.object}: older than where this verification begins")
        elif result.roots[head.size] != head.root:
            low = None if result.start else matched.get(one.year, 0)
            found = f"root {result.roots[head.size].hex()}: they part after entry {low or 0}"
            findings.add(Finding("witness-fork", head.object, said, found, one.year, low, head.size))
        else:
            matched[one.year] = head.size
            if kept_elsewhere(one):
                borne_out[one.year] = head.size
    return borne_out


def compare_sizes(
    results: Sequence[YearResult], sizes: Iterable[tuple[int, int]], findings: Findings
) -> None:
    """Compare the log with sizes, by year, that it is said to have had."""
    by_year = {one.year: one.proven for one in results}
    for year, size in sizes:
        if (proven := by_year.get(year, 0)) < size:
            said = f"at least {size} entries, as was asked for"
            key = head_key(year, size)
            findings.add(Finding("rewound", key, said, f"{proven} under signed heads", year, proven, size))
