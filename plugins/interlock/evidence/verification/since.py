"""Verify only what came after a trusted head: O(new entries + log of the old ones)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import groupby, takewhile

from interlock.evidence.log.claim import Claim, ClaimError
from interlock.evidence.log.layout import head_key, seq_key
from interlock.evidence.log.layout import prefix as log_prefix
from interlock.evidence.log.merkle import HASH_BYTES as HASH
from interlock.evidence.log.tiles import WIDTH
from interlock.evidence.verification.heads import SignedHead, read_head
from interlock.evidence.verification.inventory import BUNDLES, YearInventory, tile_path
from interlock.evidence.verification.source import (
    MAX_CHECKPOINT,
    MAX_CLAIM,
    MAX_TILE,
    ObjectMissing,
    Source,
    SourceError,
    Version,
)
from interlock.evidence.verification.trust import Trust
from interlock.evidence.verification.year import Start


@dataclass(frozen=True)
class Part:
    """What an incremental verification reads of the year of its trusted head."""

    start: Start
    inventory: YearInventory


def trusted_head(source: Source, trust: Trust, year: int, size: int) -> SignedHead:
    """The head of this size that the source itself kept.

    Raises:
        SourceError: there is none.
        HeadError: it is not signed by a trusted key.
    """
    key = head_key(year, size)
    try:
        return read_head(source.read(key, MAX_CHECKPOINT), trust, key)
    except ObjectMissing:
        raise SourceError(
            f"{source.name} has no head of size {size} ({key}); give the trusted one as a file"
        ) from None


def part_since(source: Source, trusted: SignedHead, largest: int) -> Part:
    """List what was added to a year's log since a trusted head.

    Args:
        source: has the log.
        trusted: the head.
        largest: the size of the newest head.

    Raises:
        SourceError: what the proof needs can't be read.
    """
    prefix = log_prefix(trusted.year)
    base = trusted.head.size - trusted.head.size % WIDTH
    number, first = last_claim(source, trusted.year, lambda claim: claim.first <= base)
    inventory = YearInventory(trusted.year)
    # A head may claim any size; what it can make us list is what claims have.
    reach = min(largest, _claimed(source, trusted.year))
    for path, after in _listings(prefix, number, trusted.head.size, base, max(reach, trusted.head.size)):
        versions = source.versions(prefix + path, after and prefix + after)
        if not after:
            versions = takewhile(partial(_of, prefix + path), versions)
        for key, several in groupby(versions, key=lambda version: version.key):
            inventory.take(key, list(several))
    levels = tuple(_edge(source, prefix, inventory, base))
    return Part(Start(trusted.head.size, number, first, levels), inventory)


def _of(stem: str, version: Version) -> bool:
    """Whether a version is of an object, or of its partial forms."""
    return version.key == stem or version.key.startswith(f"{stem}.p/")


def _listings(prefix: str, number: int, size: int, base: int, largest: int) -> Iterator[tuple[str, str]]:
    """Prefix and (where a whole folder is listed) the key after which to begin."""
    yield "seq/", f"seq/{number - 1:020d}" if number else "seq/"
    yield "checkpoints/", f"checkpoints/{max(size - 1, 0):020d}"
    yield "checkpoint", ""
    for tile in range(base // WIDTH, largest // WIDTH + 1):
        yield tile_path((BUNDLES, tile, WIDTH)), ""
    level = 0
    while level == 0 or largest >> (8 * level):
        for tile in range(base >> (8 * (level + 1)), (largest >> (8 * (level + 1))) + 1):
            yield tile_path((level, tile, WIDTH)), ""
        level += 1


def last_claim(source: Source, year: int, holds: Callable[[Claim], bool]) -> tuple[int, int]:
    """Number and first index of the last claim for which `holds` is true; of claim 0 where it is of none.

    `holds` is true of the claims up to some number and of none after it; a claim that can't be read counts
    as one after it. Reads O(log of the number of claims).
    """

    def first(number: int) -> int | None:
        try:
            claim = Claim.decode(source.read(seq_key(year, number), MAX_CLAIM))
        except (SourceError, ClaimError):
            return None
        return claim.first if holds(claim) else None

    low, low_first, high = 0, 0, 1
    while (found := first(high)) is not None:
        low, low_first, high = high, found, high * 2
    while high - low > 1:
        middle = (low + high) // 2
        if (found := first(middle)) is not None:
            low, low_first = middle, found
        else:
            high = middle
    return low, low_first


def _claimed(source: Source, year: int) -> int:
    """How many entries the claims have, as far as they can be read."""
    number, _ = last_claim(source, year, lambda claim: True)
    try:
        return Claim.decode(source.read(seq_key(year, number), MAX_CLAIM)).end
    except (SourceError, ClaimError):
        return 0


def _edge(source: Source, prefix: str, inventory: YearInventory, base: int) -> Iterator[tuple[bytes, ...]]:
    """For each level from 1 on, the hashes of its unfinished tile at `base`."""
    level = 1
    while base >> (8 * level):
        count = (base >> (8 * level)) % WIDTH
        number = base >> (8 * (level + 1))
        if count == 0:
            yield ()
        else:
            there = [width for one, at, width in inventory.tiles if (one, at) == (level, number)]
            key = prefix + tile_path((level, number, max(there, default=count)))
            content = source.read(key, MAX_TILE)
            if len(content) < count * HASH:
                raise SourceError(f"{key}: {len(content)} bytes; the trusted head needs {count * HASH} of it")
            yield tuple(content[HASH * at : HASH * at + HASH] for at in range(count))
        level += 1
