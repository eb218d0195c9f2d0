"""How the command `interlock-verify` shows a report to a person, and how far it is.

Keys, run ids and reasons come from who is verified: each line passes through `plain` here, and nowhere else.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from typing import TextIO

from interlock.evidence.verification.findings import KEPT, Finding, Weight
from interlock.evidence.verification.report import Exit, Report
from interlock.evidence.verification.shown import plain

SHOWN = 20
"""Findings of one code that are shown; --json has more."""


def lines(report: Report) -> Iterator[str]:
    """The report, the verdict first and last; no line has a control character."""
    return map(plain, _lines(report))


def say(text: str, stream: TextIO | None = None) -> None:
    """Print a line, with no control character in it."""
    print(plain(text), file=stream or sys.stdout)


def _lines(report: Report) -> Iterator[str]:
    yield f"{report.verdict}  ({report.source}, log {report.log})"
    first = report.first_bad
    if report.exit is Exit.NOT_VERIFIED:
        yield f"first bad entry: {first[1]} of {first[0]}" if first else "no entry is bad; see the findings"
    if report.selection is not None:
        yield f"  a part, which says that it holds: {report.selection}"
    for one in report.years:
        span = f"{one.proven} of {one.size} entries proven"
        if one.start and one.proven <= one.start:
            span = f"nothing new after entry {one.start - 1}, of {one.size}"
        elif one.start:
            span = f"entries {one.start} to {one.proven - 1} proven, of {one.size}"
        yield f"  {one.year}: {span}; {one.claims} claims, {one.heads} signed heads"
    yield from _section("Proven", report.proven)
    yield from _findings(report)
    yield from _section("Not checked", report.unchecked)
    yield from _section("Not excluded", report.not_excluded)
    took = ", ".join(f"{step} {seconds:.1f} s" for step, seconds in report.seconds.items())
    yield f"{report.counts.get('entries', 0)} entries{f'; {took}' if took else ''}"
    yield report.verdict


def _section(title: str, sentences: list[str]) -> Iterator[str]:
    if sentences:
        yield f"{title}:"
        yield from (f"  - {sentence}" for sentence in sentences)


def _findings(report: Report) -> Iterator[str]:
    shown: dict[str, int] = {}
    for weight, title in ((Weight.BAD, "Wrong"), (Weight.NOTICE, "Worth knowing")):
        found = [one for one in report.findings if one.weight is weight]
        if found:
            yield f"{title}:"
        for one in found:
            shown[one.code] = shown.get(one.code, 0) + 1
            if shown[one.code] <= SHOWN:
                yield from _finding(one)
            elif shown[one.code] == SHOWN + 1:
                more = report.findings.counts[one.code] - SHOWN
                yield f"  - {one.code}: {more} more (--json has the first {KEPT})"


def _finding(one: Finding) -> Iterator[str]:
    where = ""
    if one.index is not None:
        last = f" to {one.end - 1}" if one.end is not None and one.end > one.index + 1 else ""
        where = f" {one.year}, entry {one.index}{last}:"
    yield f"  - {one.code}:{where} {one.meaning}"
    if one.object:
        yield f"      where     {one.object}"
    yield f"      expected  {one.expected}"
    yield f"      found     {one.found}"
    for affected in one.statements:
        yield f"      affects   {affected}"


class ProgressLine:
    """Tells on standard error how far it is, about once a second; nothing where nobody looks."""

    def __init__(self, stream: TextIO | None = None, *, wanted: bool = True) -> None:
        self._stream = stream or sys.stderr
        self._terminal = self._stream.isatty()
        self._wanted = wanted
        self._told = time.monotonic()
        self._shown = False

    def __call__(self, step: str, done: int) -> None:
        """Take note."""
        now = time.monotonic()
        if not self._wanted or now - self._told < (1.0 if self._terminal else 15.0):
            return
        self._told, self._shown = now, True
        text = plain(f"{step}: {done} …")
        print(
            f"\r\x1b[K{text}" if self._terminal else text,
            end="" if self._terminal else "\n",
            file=self._stream,
        )
        self._stream.flush()

    def end(self) -> None:
        """Clear the line."""
        if self._shown and self._terminal:
            print("\r\x1b[K", end="", file=self._stream, flush=True)
