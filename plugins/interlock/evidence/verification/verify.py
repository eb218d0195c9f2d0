"""Verify a bucket or an archive of one: the way in."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

from interlock.evidence.log.layout import checkpoint_key
from interlock.evidence.verification import words
from interlock.evidence.verification.doubled import MOST, judge_doubled
from interlock.evidence.verification.findings import Findings
from interlock.evidence.verification.heads import HeadError, SignedHead, judge_newest, read_head, read_heads
from interlock.evidence.verification.inventory import YearInventory
from interlock.evidence.verification.links import judge_links
from interlock.evidence.verification.locks import (
    Locks,
    Missed,
    Place,
    Wanted,
    judge_blobs,
    judge_retention,
    with_places,
)
from interlock.evidence.verification.named import named_by_all
from interlock.evidence.verification.report import Report, YearReport
from interlock.evidence.verification.runs import Read, judge_runs
from interlock.evidence.verification.seen import Witness, compare, compare_sizes, read_witnesses
from interlock.evidence.verification.since import part_since
from interlock.evidence.verification.snapshot import Snapshot, take_snapshot
from interlock.evidence.verification.source import MAX_CHECKPOINT, UNUSABLE, Source, SourceError, Version
from interlock.evidence.verification.trust import Trust
from interlock.evidence.verification.year import Start, YearCheck, YearResult

__all__ = ["TOLERANCE", "Options", "Progress", "Witness", "verify"]

TOLERANCE: Final = timedelta(minutes=5)
Progress = Callable[[str, int], None]
"""Told the step ("entries", "blobs", "locks") and how many are done."""


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
        sizes: year and size that a log is said to have had at least.
    """

    since: SignedHead | None = None
    blobs: bool = True
    retention: bool = True
    lock: Wanted = field(default_factory=Wanted)
    tolerance: timedelta = TOLERANCE
    witnesses: Sequence[Witness] = ()
    sizes: Sequence[tuple[int, int]] = ()


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
        report.judged_at = judged_at(source, self._now, inventories.values())
        witnesses = read_witnesses(options.witnesses, self._trust, findings)
        seen = [*witnesses, *([options.since] if options.since else [])]
        results: list[YearResult] = []
        for year, inventory in sorted(inventories.items()):
            with self._timed("entries"):
                results.append(self._year(inventory, starts.get(year), seen))
        report.witnessed = compare(
            results, seen, findings, report.unchecked, since=options.since.year if options.since else 0
        )
        compare_sizes(results, options.sizes, findings)
        judge_links(results, self._trust, findings, now=report.judged_at or self._now)
        whole = self._whole
        older = next((start.taken for start in starts.values()), None)
        read = Read("the log", report.judged_at, older, whole)
        seals = judge_runs([one.statements for one in results], source, findings, read)
        for one in results:
            findings.take(one.statements.findings)
            if (start := starts.get(one.year)) is not None:
                self._doubled(one, start)
        blobs: list[Version] = []
        missed = Missed()
        wanted = named_by_all([one.statements.blobs for one in results], findings)
        if options.blobs:
            with self._timed("blobs"):
                blobs, missed = judge_blobs(
                    source, wanted, findings, lambda done: self._progress("blobs", done), all_at_once=whole
                )
        locks = Locks()
        if options.retention and source.knows_versions:
            with self._timed("locks"):
                versions = [*self._lasting(inventories, results), *with_places(blobs, wanted)]
                locks = judge_retention(
                    source,
                    versions,
                    options.lock,
                    findings,
                    lambda done: self._progress("locks", done),
                    wanted,
                )
        report.grades = sum((one.statements.grades for one in results), Counter[str]())
        report.counts = {
            "entries": sum(one.statements.count for one in results),
            **words.counted(seals, locks),
            "blobs": len(wanted) if options.blobs else 0,
            "witnesses": len(witnesses),
        }
        words.conclude(report, self._trust, options, source, words.Steps(seals, missed, locks))
        return report

    @contextmanager
    def _timed(self, step: str) -> Iterator[None]:
        began = time.perf_counter()
        try:
            yield
        finally:
            self._report.seconds[step] = self._report.seconds.get(step, 0.0) + time.perf_counter() - began

    def _inventories(self) -> tuple[dict[int, YearInventory], dict[int, Start]]:
        since, source, trust = self._options.since, self._source, self._trust
        if since is not None and self._goes_on(since):
            later = take_snapshot(source, trust, since.year)  # a year ends before the next one begins
            try:
                part = part_since(source, trust, since)
            except UNUSABLE as error:
                self._report.unchecked.append(f"it was verified as a whole: {error}")
            else:
                self._strange(later)
                return {since.year: part.inventory, **later.years}, {since.year: part.start}
        self._whole = True
        found = take_snapshot(source, trust)
        self._strange(found)
        if not found.years and not self._findings.bad:
            raise SourceError(
                f"{source.name}: no log in it (none under log/YEAR/): another bucket or folder?"
            )
        return found.years, {}

    def _strange(self, found: Snapshot) -> None:
        for one in found.strange:
            year = one.key.split("/")[1]
            self._findings.add(one.finding(int(year) if year.isdecimal() else None, None))

    def _goes_on(self, since: SignedHead) -> bool:
        """Whether the newest head is at least as large as a trusted one; else all has to be looked at."""
        key = checkpoint_key(since.year)
        try:
            head = read_head(self._source.read(key, MAX_CHECKPOINT), self._trust, key)
        except (HeadError, *UNUSABLE):
            return False
        return head.year == since.year and head.head.size >= since.head.size

    def _year(self, inventory: YearInventory, start: Start | None, seen: list[SignedHead]) -> YearResult:
        findings, now = self._findings, self._report.judged_at or datetime.min.replace(tzinfo=UTC)
        heads = read_heads(
            self._source, inventory, self._trust, findings, after=start.size if start is not None else -1
        )
        check = YearCheck(
            self._source,
            inventory,
            heads,
            self._trust,
            findings,
            now=now,
            tolerance=self._options.tolerance,
            start=start,
        )
        sizes = [one.head.size for one in seen if one.year == inventory.year]
        done = self._report.counts.get("entries", 0)
        result = check.run(sizes, lambda count: self._progress("entries", done + count))
        judge_newest(inventory, heads, findings, claimed=result.size, now=now)
        for one in inventory.irregular:
            findings.add(one.finding(inventory.year, _first_of(result, one.claim, one.tile)))
        self._report.years.append(
            YearReport(
                inventory.year,
                result.start,
                result.size,
                result.proven,
                result.root.hex(),
                result.claims,
                len(heads.all),
                next((one.text for one in heads.all if one.head.size == result.proven), ""),
            )
        )
        self._report.counts["entries"] = done + result.statements.count
        return result

    def _doubled(self, result: YearResult, start: Start) -> None:
        older = [one for one in result.statements.older if one.index >= start.size]
        most = MOST + result.claims
        left = judge_doubled(self._source, result.year, start.claim, older, self._findings, most=most)
        if left:
            self._report.unchecked.append(
                f"{result.year}: whether {left} statements that claim times before this verification begins "
                f"are in the log twice"
            )

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


def judged_at(source: Source, now: datetime, inventories: Iterable[YearInventory]) -> datetime | None:
    """The time at which a source is judged: now for a bucket, and for a copy the time when it was made.

    That is what its maker says, and not before the newest object in it. None: nobody says.
    """
    if source.live:
        return now
    times = [
        one.modified
        for each in inventories
        for one in (*each.claims.values(), *each.checkpoints.values(), *each.heads)
        if one.modified is not None
    ]
    if source.taken_at is not None:
        times.append(source.taken_at)
    return min(now, max(times)) if times else None


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
