"""Verify only what came after a trusted head: O(new entries + log of the old ones)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import groupby, takewhile

from interlock.evidence.log.claim import MAX_ENTRIES, Claim, ClaimError
from interlock.evidence.log.layout import checkpoint_key, head_key, seq_key
from interlock.evidence.log.layout import prefix as log_prefix
from interlock.evidence.log.merkle import HASH_BYTES as HASH
from interlock.evidence.log.tiles import WIDTH
from interlock.evidence.verification.heads import HeadError, SignedHead, read_head
from interlock.evidence.verification.inventory import BUNDLES, YearInventory, tile_path
from interlock.evidence.verification.snapshot import end_of, settle_live, take_all, take_newest
from interlock.evidence.verification.source import (
    MAX_CHECKPOINT,
    MAX_CLAIM,
    MAX_TILE,
    UNUSABLE,
    ObjectMissing,
    ObjectTooLarge,
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


def trusted_head(source: Source, trust: Trust, year: int, size: int) -> SignedHead | None:
    """The head of this size that the source itself kept.

    None: it is not what a head should be, or the newest one is smaller. Then all has to be looked at.

    Raises:
        SourceError: there is no log of this year, or no head of this size in it.
    """
    key, newest = head_key(year, size), checkpoint_key(year)
    try:
        return read_head(source.read(key, MAX_CHECKPOINT), trust, key)
    except (HeadError, ObjectTooLarge):
        return None
    except ObjectMissing:
        pass
    try:
        if read_head(source.read(newest, MAX_CHECKPOINT), trust, newest).head.size < size:
            return None
    except (HeadError, ObjectTooLarge):
        return None
    except ObjectMissing:
        raise SourceError(f"{source.name} has no log of {year} ({newest}); --year names another") from None
    raise SourceError(f"{source.name} has no head of size {size} ({key}); give the trusted one as a file")


def part_since(source: Source, trust: Trust, trusted: SignedHead) -> Part:
    """List what was added to a year's log since a trusted head, in the order that `snapshot` tells of.

    Args:
        source: has the log.
        trust: the keys.
        trusted: the head.

    Raises:
        ObjectMissing: a tile that the proof needs isn't there.
        SourceError: it can't be read.
    """
    prefix = log_prefix(trusted.year)
    base = trusted.head.size - trusted.head.size % WIDTH
    number, first = last_claim(source, trusted.year, lambda claim: claim.first <= base)
    inventory = YearInventory(trusted.year)
    take_newest(inventory, source)
    size = trusted.head.size
    take_all(inventory, source, f"{prefix}checkpoints/", f"{prefix}checkpoints/{max(size - 1, 0):020d}")
    take_all(inventory, source, f"{prefix}seq/", f"{prefix}seq/{number - 1:020d}" if number else "")
    # A head may claim any size; what it can make us list is what claims have.
    most = base + MAX_ENTRIES * (len(inventory.claims) + 1)
    largest = min(max(inventory.checkpoints, default=0), end_of(source, inventory.claims), most)
    for path in _tiles(base, max(largest, size)):
        versions = takewhile(partial(_of, prefix + path), source.versions(prefix + path))
        for key, several in groupby(versions, key=lambda version: version.key):
            inventory.take(key, list(several))
    if source.live:
        settle_live(source, inventory, trust, size)
    levels = tuple(_edge(source, prefix, inventory, base))
    head = inventory.checkpoints.get(size)
    taken = head.modified if head is not None else None
    return Part(Start(size, number, first, levels, taken), inventory)


def _of(stem: str, version: Version) -> bool:
    """Whether a version is of an object, or of its partial forms."""
    return version.key == stem or version.key.startswith(f"{stem}.p/")


def _tiles(base: int, largest: int) -> Iterator[str]:
    """The paths of the full tiles from `base` on, which are also those of their partial forms."""
    for tile in range(base // WIDTH, largest // WIDTH + 1):
        yield tile_path((BUNDLES, tile, WIDTH))
    level = 0
    while level == 0 or largest >> (8 * level):
        for tile in range(base >> (8 * (level + 1)), (largest >> (8 * (level + 1))) + 1):
            yield tile_path((level, tile, WIDTH))
        level += 1


def last_claim(source: Source, year: int, holds: Callable[[Claim], bool]) -> tuple[int, int]:
    """Number and first index of the last claim for which `holds` is true; of claim 0 where it is of none.

    `holds` is true of the claims up to some number and of none after it; a claim that can't be read counts
    as one after it. Reads O(log of the number of claims).
    """
    firsts = {0: 0}

    def there(number: int) -> bool:
        try:
            claim = Claim.decode(source.read(seq_key(year, number), MAX_CLAIM))
        except (*UNUSABLE, ClaimError):
            return False
        firsts[number] = claim.first
        return holds(claim)

    number = last_number(there)
    return number, firsts[number]


def last_number(holds: Callable[[int], bool]) -> int:
    """The last number for which `holds` is true, as it is up to some number; 0 is not asked."""
    low, high = 0, 1
    while holds(high):
        low, high = high, high * 2
    while high - low > 1:
        middle = (low + high) // 2
        if holds(middle):
            low = middle
        else:
            high = middle
    return low


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
                raise ObjectMissing(
                    f"{key}: {len(content)} bytes; the trusted head needs {count * HASH} of it"
                )
            yield tuple(content[HASH * at : HASH * at + HASH] for at in range(count))
        level += 1
