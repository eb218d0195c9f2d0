"""The tiles that a log must have: derived from its leaves, and compared with those that are there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from interlock.evidence.log.merkle import HASH_BYTES as HASH
from interlock.evidence.log.merkle import Frontier, node_hash
from interlock.evidence.log.tiles import WIDTH
from interlock.evidence.verification.settle import Leaves


@dataclass(frozen=True, slots=True)
class Tile:
    """A hash tile as it must be: `width` hashes, each of a complete subtree of 256**level leaves."""

    level: int
    index: int
    width: int
    content: bytes

    def entry(self, at: int = 0) -> int:
        """The first entry under the tile's hash number `at`."""
        return (self.index * WIDTH + at) << (8 * self.level)


MAX_LEVELS: Final = 8


def expected_tiles(leaves: Leaves, levels: Sequence[Sequence[bytes]], size: int) -> Iterator[Tile]:
    """All full hash tiles that end after `leaves.start` and by `size`, and the partial ones of `size`.

    Args:
        leaves: from a multiple of 256 on.
        levels: for each level from 1 on, the hashes of its unfinished tile at `leaves.start`.
        size: entries of the tree, at most `leaves.end`.
    """
    edge = [list(hashes) for hashes in levels]
    numbers = [leaves.start >> (8 * (level + 1)) for level in range(MAX_LEVELS + 1)]
    for tile in range(leaves.start // WIDTH, size // WIDTH):
        content = leaves.slice(tile * WIDTH, (tile + 1) * WIDTH)
        yield Tile(0, tile, WIDTH, content)
        level = 0
        while True:
            level += 1
            if len(edge) < level:
                edge.append([])
            edge[level - 1].append(subtree(content))
            if len(edge[level - 1]) < WIDTH:
                break
            content = b"".join(edge[level - 1])
            yield Tile(level, numbers[level], WIDTH, content)
            numbers[level] += 1
            edge[level - 1].clear()
    if size % WIDTH:
        yield Tile(0, size // WIDTH, size % WIDTH, leaves.slice(size - size % WIDTH, size))
    for level, hashes in enumerate(edge, 1):
        if hashes:
            yield Tile(level, size >> (8 * (level + 1)), len(hashes), b"".join(hashes))


def subtree(hashes: bytes) -> bytes:
    """The root over a power of two of hashes."""
    row = [hashes[at : at + HASH] for at in range(0, len(hashes), HASH)]
    while len(row) > 1:
        row = [node_hash(row[at], row[at + 1]) for at in range(0, len(row), 2)]
    return row[0]


def frontier_of(levels: Sequence[Sequence[bytes]], size: int) -> Frontier:
    """The frontier of a tree whose size is a multiple of 256.

    Args:
        levels: for each level from 1 on, the hashes of its unfinished tile.
        size: entries; `levels` has (size >> 8 * level) % 256 hashes at level `level`.
    """
    hashes: list[bytes] = []
    for row in reversed(levels):
        at, left = 0, len(row)
        while left:
            take = 1 << (left.bit_length() - 1)
            hashes.append(subtree(b"".join(row[at : at + take])))
            at, left = at + take, left - take
    return Frontier(size, tuple(hashes))
