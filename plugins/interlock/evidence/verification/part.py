"""Verify a part of a log: entries with a receipt each, as an export has them.

A part proves of each entry that it is in the log under a signed head. That nothing was left out it proves
only where a seal lists what belongs together: a part has all that the seals in it list. What it says of
itself, which selection it holds, which claims its entries are of, when the store took those, is its maker's
word, and is compared with what was signed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from itertools import groupby

from interlock.evidence.log.layout import LOGS, seq_key
from interlock.evidence.verification import words
from interlock.evidence.verification.findings import Finding, Findings
from interlock.evidence.verification.inventory import YearInventory
from interlock.evidence.verification.locks import (
    Locks,
    Missed,
    Place,
    judge_blobs,
    judge_retention,
    with_places,
)
from interlock.evidence.verification.receipts import Shown, verify_receipt
from interlock.evidence.verification.report import Report, YearReport
from interlock.evidence.verification.runs import Read, judge_runs, listed_by_all
from interlock.evidence.verification.selection import Selection
from interlock.evidence.verification.source import Source, Version
from interlock.evidence.verification.statements import Statements
from interlock.evidence.verification.story import Story
from interlock.evidence.verification.trust import Trust
from interlock.evidence.verification.verify import Options, Progress


@dataclass(frozen=True)
class Claimed:
    """What a part says of itself.

    Attributes:
        entries: by year and index, the number of the claim that has the entry; None: it doesn't say.
        selection: what it holds; None: it doesn't say.
    """

    entries: Mapping[int, Mapping[int, int | None]] = field(default_factory=dict)
    selection: Selection | None = None

    def claims(self) -> Iterator[str]:
        """The keys of the claims that have its entries."""
        for year, indexes in self.entries.items():
            for number in sorted({one for one in indexes.values() if one is not None}):
                yield seq_key(year, number)

    @property
    def nameless(self) -> int:
        """Of how many entries it doesn't say which claim has them."""
        return sum(list(indexes.values()).count(None) for indexes in self.entries.values())


def verify_part(
    receipts: Iterable[tuple[str, bytes]],
    claimed: Claimed,
    source: Source,
    trust: Trust,
    options: Options,
    *,
    now: datetime,
    progress: Progress | None = None,
) -> Report:
    """Verify an archive that holds a part of a log.

    Args:
        receipts: each file's name and content.
        claimed: what the archive says of itself.
        source: has the blobs, and the versions that the exporter saw.
        trust: the keys.
        options: what to verify.
        now: the verifier's clock.
        progress: told how far it is.
    """
    return _Part(claimed, source, trust, options, now, progress or (lambda step, done: None)).run(receipts)


class _Part:
    def __init__(
        self,
        claimed: Claimed,
        source: Source,
        trust: Trust,
        options: Options,
        now: datetime,
        progress: Progress,
    ) -> None:
        self._claimed, self._source, self._trust, self._options = claimed, source, trust, options
        self._now, self._progress = now, progress
        self._findings = Findings()
        self._statements = Statements(trust, options.tolerance)
        self._story = Story()
        self._found: dict[int, dict[int, bytes]] = {}
        self._heads: dict[int, dict[int, bytes]] = {}
        self._outside: dict[str, tuple[int, int, str, str]] = {}
        self._stored = {
            key: min(times)
            for key, versions in groupby(source.versions(LOGS), key=lambda one: one.key)
            if (times := [one.modified for one in versions if one.modified is not None])
        }

    def run(self, receipts: Iterable[tuple[str, bytes]]) -> Report:
        findings, statements, source = self._findings, self._statements, self._source
        report = Report(source.name, self._trust.log, self._now, findings)
        report.selection = self._claimed.selection
        for done, (name, text) in enumerate(receipts, 1):
            self._receipt(name, text)
            self._progress("entries", done)
        self._missing()
        seals = judge_runs([statements], source, findings, Read("this part", self._now))
        self._judge_outside()
        findings.take(statements.findings)
        self._irregular()
        versions: list[Version] = []
        missed = Missed()
        if self._options.blobs:
            versions, missed = judge_blobs(
                source,
                statements.blobs,
                findings,
                lambda done: self._progress("blobs", done),
                all_at_once=False,
            )
        locks = self._locks(versions)
        for year, roots in sorted(self._heads.items()):
            size, proven = max(roots), len(self._found[year])
            report.years.append(YearReport(year, 0, size, proven, roots[size].hex(), 0, len(roots)))
        report.grades = Counter(statements.grades)
        report.story = self._story
        report.counts = {
            "entries": statements.count,
            **words.counted(seals, locks),
            "blobs": len(statements.blobs) if self._options.blobs else 0,
            "witnesses": 0,
        }
        nameless = self._claimed.nameless if self._options.retention and source.knows_versions else 0
        steps = words.Steps(seals, missed, locks)
        words.conclude_part(report, self._trust, self._options, source, steps, nameless)
        return report

    # Entries

    def _receipt(self, name: str, text: bytes) -> None:
        shown = verify_receipt(text, name, self._trust, None, self._findings)
        if shown is None or self._contradicts(shown, name):
            return
        number = self._claimed.entries.get(shown.year, {}).get(shown.index)
        stored = None if number is None else self._stored.get(seq_key(shown.year, number))
        bound = self._now if stored is None else min(stored, self._now)
        entry = shown.feed(self._statements, bound)
        self._story.add(shown.year, shown.index, shown.entry, stored, name)
        selection = self._claimed.selection
        if entry is not None and selection is not None and not selection.takes(entry, stored):
            run = f"{entry.dag_id}/{entry.run_id}" if entry.dag_id else f"run {entry.run_hash}"
            at = entry.at.isoformat() if entry.at else "no time"
            said = f"{entry.kind} of {run}, {at}"
            self._outside[entry.digest] = (shown.year, shown.index, name, said)

    def _contradicts(self, shown: Shown, name: str) -> bool:
        """Take what a receipt shows; whether it is there already, or can't be of one log with the others."""
        again = shown.index in self._found.setdefault(shown.year, {})
        leaf = self._found[shown.year].setdefault(shown.index, shown.leaf)
        root = self._heads.setdefault(shown.year, {}).setdefault(shown.size, shown.root)
        if root != shown.root:
            expected = f"root {root.hex()} at size {shown.size}, as other receipts have it"
            said = f"a signed root {shown.root.hex()}"
        elif leaf != shown.leaf:
            expected = f"leaf hash {leaf.hex()} at {shown.index}, as another receipt proves"
            said = f"leaf hash {shown.leaf.hex()}, under the signed head of size {shown.size}"
        else:
            return again
        self._findings.add(Finding("checkpoint-fork", name, expected, said, shown.year, shown.index))
        return True

    def _missing(self) -> None:
        for year, indexes in self._claimed.entries.items():
            for index in sorted(indexes.keys() - self._found.get(year, {}).keys()):
                if not self._findings.full("entry-missing"):
                    where, said = f"receipts/{year}/", "no receipt that proves it"
                    self._findings.add(Finding("entry-missing", where, f"entry {index}", said, year, index))

    def _judge_outside(self) -> None:
        """An entry is of the selection, or a seal in the part lists it."""
        if not self._outside:
            return
        seals = [one.entry for run in self._statements.runs.values() for one in run.seals]
        listed = listed_by_all(seals, self._source)
        for digest, (year, index, name, said) in self._outside.items():
            if digest not in listed:
                expected = f"a statement of {self._claimed.selection}, or one that a seal in it lists"
                self._findings.add(Finding("entry-outside", name, expected, said, year, index))

    # Versions

    def _irregular(self) -> None:
        """Claims that were deleted or written again, as the exporter saw them."""
        firsts: dict[str, tuple[int, int]] = {}
        for year, indexes in self._claimed.entries.items():
            for index, number in sorted(indexes.items()):
                if number is not None:
                    firsts.setdefault(seq_key(year, number), (year, index))
        inventory = YearInventory(0)
        for key, versions in groupby(self._source.versions(LOGS), key=lambda one: one.key):
            inventory.take(key, list(versions))
        for one in inventory.irregular:
            self._findings.add(one.finding(*firsts.get(one.key, (None, None))))

    def _locks(self, blobs: list[Version]) -> Locks:
        if not self._options.retention or not self._source.knows_versions:
            return Locks()
        asked: list[tuple[Version, Place]] = [*with_places(blobs, self._statements.blobs)]
        claims = [one for one in self._source.versions(LOGS) if not one.marker]
        listed = {one.key for one in claims}
        claims += [Version(key, "") for key in self._claimed.claims() if key not in listed]
        asked += [(one, None) for one in claims]
        return judge_retention(
            self._source,
            asked,
            self._options.lock,
            self._findings,
            lambda done: self._progress("locks", done),
        )
