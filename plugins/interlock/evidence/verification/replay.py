"""Play a year's claims again, in order: the leaves that they give, and where they don't fit together.

Where a claim is missing, broken, or begins elsewhere than the one before it ended, the next claim says where
it goes on, and the entries in between are taken from the bundles, or at least their hashes from the tiles.
Whether what was put together is true is decided afterwards, by the signed roots.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from interlock.evidence.log.claim import Claim, ClaimError
from interlock.evidence.log.merkle import HASH_BYTES as HASH
from interlock.evidence.log.merkle import leaf_hash
from interlock.evidence.log.tiles import WIDTH
from interlock.evidence.verification.findings import Finding, Findings
from interlock.evidence.verification.inventory import YearInventory
from interlock.evidence.verification.objects import YearObjects
from interlock.evidence.verification.settle import Leaves
from interlock.evidence.verification.source import MAX_CLAIM, UNUSABLE, Source, Version
from interlock.evidence.verification.statements import Batch


@dataclass(frozen=True, slots=True)
class Segment:
    """Entries that came from one object: a claim, or (None) bundles."""

    first: int
    count: int
    claim: int | None


@dataclass(frozen=True, slots=True)
class Seen:
    """A claim that could be read: its number, its place in the log, the root it was made on."""

    number: int
    first: int
    root: bytes
    at: datetime | None
    modified: datetime | None
    closes: bool


@dataclass(frozen=True, slots=True)
class _Broken:
    code: str
    numbers: range
    expected: str
    found: str


class Replay:
    """The claims of one year from a number on.

    Attributes:
        leaves: what they give.
        segments: which entries came from where.
        seen: the claims that could be read.
        regular: whether each claim fits the one before it, so that what was fed is what the log holds.
        hole: from which index on nothing could be had; None: nowhere.
    """

    def __init__(
        self,
        source: Source,
        inventory: YearInventory,
        objects: YearObjects,
        findings: Findings,
        start: int = 0,
    ) -> None:
        self._source = source
        self._inventory = inventory
        self._objects = objects
        self._findings = findings
        self.leaves = Leaves(start)
        self.segments: list[Segment] = []
        self.seen: list[Seen] = []
        self.regular = True
        self.hole: int | None = None
        self._origin = start

    def run(
        self, until: int, feed: Callable[[Batch], None], number: int = 0, first: int | None = None
    ) -> None:
        """Play the claims.

        Args:
            until: the size of the largest signed head: the claims have to reach it.
            feed: takes each claim's entries.
            number: of the first claim to play.
            first: where that claim begins; the entries before `leaves.start` are left out.
        """
        broken: list[_Broken] = []
        expected = number
        position = self.leaves.start if first is None else first
        numbers = sorted(one for one in self._inventory.claims if one >= number)
        versions = [self._inventory.claims[one] for one in numbers]
        for one, answer in zip(numbers, self._source.several(self._read, versions), strict=True):
            if one > expected:
                gap = range(expected, one)
                broken.append(_Broken("claim-missing", gap, _span(gap), f"the next is claim {one}"))
            expected = one + 1
            if isinstance(answer, _Broken):
                broken.append(answer)
                continue
            if self.seen and self.seen[-1].closes:
                self._add(
                    "claim-after-close", self.leaves.end, one, "no claim after the closing one", "a claim"
                )
            position = self._join(position, one, answer, broken)
            broken = []
            position = self._take(position, one, answer, feed)
        self._finish(position, until, broken, expected)

    def _read(self, version: Version) -> Claim | _Broken:
        number = int(version.key.rpartition("/")[2])
        expected = "a claim as a writer writes it"
        try:
            claim = Claim.decode(self._source.read(version.key, MAX_CLAIM, version.version_id))
        except ClaimError as error:
            return _Broken("claim-malformed", range(number, number + 1), expected, str(error)[:300])
        except UNUSABLE as error:
            return _Broken("claim-missing", range(number, number + 1), expected, str(error)[:300])
        if claim.number != number:
            said = f"claim number {claim.number}"
            return _Broken("claim-number", range(number, number + 1), f"claim number {number}", said)
        return claim

    def _join(self, position: int, number: int, claim: Claim, broken: list[_Broken]) -> int:
        """Bring the log to where this claim begins; returns that."""
        if broken:
            self.regular = False
            for one in broken:
                self._add(
                    one.code,
                    position,
                    one.numbers[0],
                    one.expected,
                    one.found,
                    end=max(claim.first, position + 1),
                )
        elif claim.first != position:
            self.regular = False
            low = min(position, claim.first)
            self._add("claim-first", low, number, f"first {position}", f"first {claim.first}")
        if claim.first > position:
            self._fill(position, claim.first)
        elif claim.first < position:
            if claim.first < self._origin:
                return position
            self.leaves.truncate(claim.first)
            self._cut(claim.first)
        return claim.first

    def _take(self, position: int, number: int, claim: Claim, feed: Callable[[Batch], None]) -> int:
        version = self._inventory.claims[number]
        skip = max(0, self.leaves.start - position)
        entries = claim.entries[skip:]
        at = claim.at
        if self.hole is None:
            self.leaves.data += b"".join(map(leaf_hash, entries))
        self.segments.append(Segment(position, len(claim.entries), number))
        self.seen.append(Seen(number, position, claim.root, at, version.modified, claim.closes))
        feed(
            Batch(
                self._inventory.year,
                position + skip,
                entries,
                version.key,
                at,
                version.modified,
                whole=not skip,
                closes=claim.closes,
            )
        )
        return position + len(claim.entries)

    def _finish(self, position: int, until: int, broken: list[_Broken], expected: int) -> None:
        for one in broken:
            self.regular = False
            self._add(
                one.code, position, one.numbers[0], one.expected, one.found, end=max(until, position + 1)
            )
        if position < until:
            if not broken:
                self.regular = False
                self._add(
                    "claim-missing",
                    position,
                    expected,
                    f"claims up to entry {until - 1}, which a signed head covers",
                    f"claims up to entry {position - 1}" if position else "no claim",
                    end=until,
                )
            self._fill(position, until)

    def _fill(self, low: int, high: int) -> None:
        """Put in what other objects have of the entries from `low` to before `high`."""
        if self.hole is not None:
            return
        while low < high:
            tile = low // WIDTH
            hashes = self._objects.bundle_hashes(tile) or b""
            other = self._objects.tile_hashes(tile) or b""
            hashes = max(hashes, other, key=len)
            cut = hashes[
                (low - tile * WIDTH) * HASH : (min(high, tile * WIDTH + WIDTH) - tile * WIDTH) * HASH
            ]
            if not cut:
                self.hole = low
                return
            self.leaves.data += cut
            self.segments.append(Segment(low, len(cut) // HASH, None))
            low += len(cut) // HASH

    def _cut(self, end: int) -> None:
        while self.segments and self.segments[-1].first >= end:
            self.segments.pop()
        if self.segments and self.segments[-1].first + self.segments[-1].count > end:
            last = self.segments.pop()
            self.segments.append(Segment(last.first, end - last.first, last.claim))

    def _add(
        self, code: str, index: int, number: int, expected: str, found: str, end: int | None = None
    ) -> None:
        key = self._objects.claim_key(number)
        affected = self._objects.affected(index, min(end or index + 1, index + 20))
        self._findings.add(Finding(code, key, expected, found, self._inventory.year, index, end, affected))

    def batches(self, true: Callable[[int, bytes | None], bytes | None]) -> Iterator[Batch]:
        """The entries again, as they should be fed: what each index holds by the signed roots.

        Args:
            true: gives the true entry for an index and what the claim has there; None: it is lost.
        """
        for segment in self.segments:
            entries: list[bytes] | None = None
            closes: bool | None = None
            version = None if segment.claim is None else self._inventory.claims[segment.claim]
            if version is not None:
                claim = self._read(version)
                if isinstance(claim, Claim):
                    entries = list(claim.entries)[: segment.count]
                    closes = claim.closes if segment.count == len(claim.entries) else None
            batch: list[bytes] = []
            first = segment.first
            for at in range(segment.count):
                leaf = true(segment.first + at, entries[at] if entries is not None else None)
                if leaf is None:
                    if batch:
                        yield self._batch(first, batch, version, None)
                    batch, first = [], segment.first + at + 1
                else:
                    batch.append(leaf)
            if batch:
                yield self._batch(first, batch, version, closes if len(batch) == segment.count else None)

    def _batch(self, first: int, entries: list[bytes], version: Version | None, closes: bool | None) -> Batch:
        key = self._objects.bundle_key(first // WIDTH) if version is None else version.key
        modified = version.modified if version else None
        return Batch(self._inventory.year, first, entries, key, None, modified, closes=closes)


def _span(numbers: range) -> str:
    return f"claim {numbers[0]}" if len(numbers) == 1 else f"claims {numbers[0]} to {numbers[-1]}"


def late_claims(seen: Iterable[Seen]) -> Iterator[tuple[Seen, Seen]]:
    """Pairs of claims of which the store took the first after the second, although it was made before."""
    newest: Seen | None = None
    for one in seen:
        if one.modified is None:
            continue
        if newest is not None and newest.modified is not None and newest.modified > one.modified:
            yield newest, one
        else:
            newest = one
