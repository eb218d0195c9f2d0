"""Verify a bucket or an archive of one: the way in."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final

from interlock.evidence.verification import words
from interlock.evidence.verification.findings import Finding, Findings
from interlock.evidence.verification.heads import HeadError, SignedHead, judge_newest, read_head, read_heads
from interlock.evidence.verification.inventory import YearInventory, take_inventory
from interlock.evidence.verification.locks import Place, Wanted, judge_blobs, judge_retention
from interlock.evidence.verification.report import Report, YearReport
from interlock.evidence.verification.runs import judge_links, judge_runs
from interlock.evidence.verification.since import part_since
from interlock.evidence.verification.source import MAX_CHECKPOINT, ObjectMissing, Source, SourceError, Version
from interlock.evidence.verification.trust import Trust
from interlock.evidence.verification.year import Start, YearCheck, YearResult

TOLERANCE: Final = timedelta(minutes=5)
Progress = Callable[[str, int], None]
"""Told the step ("entries", "blobs", "locks") and how many are done."""


@dataclass(frozen=True)
class Witness:
    """A head that was kept elsewhere: its file's name, and the checkpoint in it."""

    name: str
    text: bytes


@dataclass(frozen=True)
class Options:
    """What to verify.

    Attributes:
        since: the trusted head after which to begin; None: everything.
        blobs: whether the evidence beside the statements is read.
        retention: whether each version's lock is looked at.
        lock: how versions have to be locked.
        tolerance: by how much clocks may differ.
        witnesses: heads that were kept elsewhere.
    """

    since: SignedHead | None = None
    blobs: bool = True
    retention: bool = True
    lock: Wanted = field(default_factory=Wanted)
    tolerance: timedelta = TOLERANCE
    witnesses: Sequence[Witness] = ()


def verify(
    source: Source, trust: Trust, options: Options, *, now: datetime, progress: Progress | None = None
) -> Report:
    """Verify all that a source has.

    Args:
        source: a bucket or an archive.
        trust: the keys.
        options: what to verify.
        now: the verifier's clock, aware.
        progress: told how far it is.

    Raises:
        SourceError: it can't be read, or there is no log in it.
    """
    return _Verification(source, trust, options, now, progress or (lambda step, done: None)).run()


class _Verification:
    def __init__(
        self, source: Source, trust: Trust, options: Options, now: datetime, progress: Progress
    ) -> None:
        self._source, self._trust, self._options = source, trust, options
        self._now, self._progress = now, progress
        self._findings = Findings()
        self._whole = False
        self._report = Report(source.name, trust.log, now, self._findings)

    def run(self) -> Report:
        source, options, findings, report = self._source, self._options, self._findings, self._report
        with self._timed("listing"):
            inventories, starts = self._inventories()
        witnesses = [one for one in map(self._witness, options.witnesses) if one is not None]
        results: list[YearResult] = []
        for year, inventory in sorted(inventories.items()):
            with self._timed("entries"):
                results.append(self._year(inventory, starts.get(year), witnesses))
        self._compare(results, witnesses, options.since)
        judge_links(results, self._trust, findings, now=self._now)
        whole = self._whole
        sealed, older = judge_runs([one.statements for one in results], source, findings, whole=whole)
        for one in results:
            findings.take(one.statements.findings)
        blobs: list[Version] = []
        wanted = {digest: place for one in results for digest, place in one.statements.blobs.items()}
        if options.blobs:
            with self._timed("blobs"):
                blobs = judge_blobs(
                    source, wanted, findings, lambda done: self._progress("blobs", done), all_at_once=whole
                )
        locks = 0
        if options.retention and source.knows_versions:
            with self._timed("locks"):
                places = {digest: (year, index) for digest, (_, year, index) in wanted.items()}
                versions = [*self._lasting(inventories, results), *_with_places(blobs, places)]
                locks = judge_retention(
                    source, versions, options.lock, findings, lambda done: self._progress("locks", done)
                )
        report.grades = sum((one.statements.grades for one in results), Counter[str]())
        report.counts = {
            "entries": sum(one.statements.count for one in results),
            "runs sealed": sealed,
            "listed by seals and older": older,
            "blobs": len(wanted) if options.blobs else 0,
            "locks": locks,
            "witnesses": len(witnesses),
        }
        words.conclude(report, self._trust, options, source, witnesses)
        return report

    @contextmanager
    def _timed(self, step: str) -> Iterator[None]:
        began = time.perf_counter()
        try:
            yield
        finally:
            self._report.seconds[step] = self._report.seconds.get(step, 0.0) + time.perf_counter() - began

    def _inventories(self) -> tuple[dict[int, YearInventory], dict[int, Start]]:
        since = self._options.since
        largest = self._largest(since) if since is not None else 0
        if since is None or largest < since.head.size:
            # A log that is shorter than it was is looked at as a whole.
            self._whole = True
            inventories = take_inventory(self._source)
            if not inventories:
                raise SourceError(
                    f"{self._source.name}: no log in it (none under log/YEAR/): another bucket or folder?"
                )
            return inventories, {}
        part = part_since(self._source, since, largest)
        inventories = {since.year: part.inventory}
        for later in range(since.year + 1, self._now.year + 2):
            inventories |= take_inventory(self._source, f"log/{later:04d}/")
        return inventories, {since.year: part.start}

    def _largest(self, since: SignedHead) -> int:
        key = f"log/{since.year:04d}/checkpoint"
        try:
            head = read_head(self._source.read(key, MAX_CHECKPOINT), self._trust, key)
        except ObjectMissing:
            raise SourceError(f"{self._source.name}: it has no head ({key}); verify it as a whole") from None
        except HeadError as error:
            raise SourceError(f"{self._source.name}: {key}: {error}; verify it as a whole") from None
        return head.head.size

    def _witness(self, witness: Witness) -> SignedHead | None:
        try:
            return read_head(witness.text, self._trust, witness.name)
        except HeadError as error:
            self._findings.add(Finding("witness-unusable", witness.name, error.expected, str(error)))
            return None

    def _year(self, inventory: YearInventory, start: Start | None, witnesses: list[SignedHead]) -> YearResult:
        findings = self._findings
        heads = read_heads(self._source, inventory, self._trust, findings)
        check = YearCheck(
            self._source,
            inventory,
            heads,
            self._trust,
            findings,
            now=self._now,
            tolerance=self._options.tolerance,
            start=start,
        )
        sizes = [one.head.size for one in witnesses if one.year == inventory.year]
        if self._options.since is not None:
            sizes.append(self._options.since.head.size)
        done = self._report.counts.get("entries", 0)
        result = check.run(sizes, lambda count: self._progress("entries", done + count))
        judge_newest(inventory, heads, findings, claimed=result.size)
        for one in inventory.irregular:
            index = _first_of(result, one.claim, one.tile)
            expected = "one version" if one.code != "unknown-object" else "a claim, a tile or a checkpoint"
            found = {"delete-marker": "a delete marker", "second-version": "another version"}.get(
                one.code, "this key"
            )
            said = f"{found}, {one.version.version_id}".rstrip(", ")
            findings.add(Finding(one.code, one.key, expected, said, inventory.year, index))
        self._report.years.append(
            YearReport(
                inventory.year,
                result.start,
                result.size,
                result.proven,
                result.root.hex(),
                result.claims,
                len(heads),
            )
        )
        self._report.counts["entries"] = done + result.statements.count
        return result

    def _compare(
        self, results: list[YearResult], witnesses: list[SignedHead], since: SignedHead | None
    ) -> None:
        """Compare the log with the heads that were seen before."""
        by_year = {one.year: one for one in results}
        matched: dict[int, int] = {}
        for seen in sorted(
            [*witnesses, *([since] if since else [])], key=lambda one: (one.year, one.head.size)
        ):
            head, result = seen.head, by_year.get(seen.year)
            said = f"root {head.root.hex()} at size {head.size}, as {head.object} says"
            size = result.size if result is not None else 0
            if result is None and since is not None and seen.year < since.year:
                self._report.unchecked.append(f"{head.object}: older than where this verification begins")
            elif result is None or head.size > size:
                self._findings.add(
                    Finding("rewound", head.object, said, f"{size} entries", seen.year, size, head.size)
                )
            elif head.size not in result.roots:
                if head.size > result.start:
                    found = "entries that give no root there"
                    self._findings.add(Finding("witness-fork", head.object, said, found, seen.year))
                else:
                    self._report.unchecked.append(f"{head.object}: older than where this verification begins")
            elif result.roots[head.size] != head.root:
                low = None if result.start else matched.get(seen.year, 0)
                found = f"root {result.roots[head.size].hex()}: they part after entry {low or 0}"
                self._findings.add(
                    Finding("witness-fork", head.object, said, found, seen.year, low, head.size)
                )
            else:
                matched[seen.year] = head.size

    def _lasting(
        self, inventories: dict[int, YearInventory], results: list[YearResult]
    ) -> Iterator[tuple[Version, Place]]:
        for result in results:
            inventory = inventories[result.year]
            for number, version in inventory.claims.items():
                yield version, _place(result, _first_of(result, number, None))
            for version in inventory.checkpoints.values():
                yield version, None
            for tile, version in inventory.tiles.items():
                if tile[2] == 256:
                    yield version, _place(result, _first_of(result, None, tile))


def _place(result: YearResult, index: int | None) -> Place:
    return None if index is None else (result.year, index)


def _first_of(result: YearResult, claim: int | None, tile: tuple[int, int, int] | None) -> int | None:
    """The first entry that an object holds or covers."""
    if tile is not None:
        return tile[1] * 256 << (8 * max(tile[0], 0))
    if claim is None:
        return None
    if claim in result.firsts:
        return result.firsts[claim]
    numbers = sorted(result.firsts)
    at = bisect_left(numbers, claim)
    if at == len(numbers):
        return result.size
    return result.firsts[numbers[at - 1]] if at else 0


def _with_places(blobs: list[Version], places: dict[str, tuple[int, int]]) -> Iterator[tuple[Version, Place]]:
    for version in blobs:
        yield version, places.get(version.key.rpartition("/")[2])
