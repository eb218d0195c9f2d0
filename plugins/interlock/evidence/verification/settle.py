"""Which leaves are the true ones: those that give the signed roots.

A log says its leaves three times: in its claims, in its level-0 hash tiles, in its entry bundles. Where the
claims give a signed root, they are right. Where they don't, but the tiles or the bundles do, these are, and
each leaf in which the claims differ was altered: that is how the first bad entry is found exactly.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Final

from interlock.evidence.log.merkle import HASH_BYTES as HASH
from interlock.evidence.log.merkle import Frontier
from interlock.evidence.log.tiles import WIDTH

TRIES: Final = 16
"""Heads that nothing explains before no further one is looked at: each costs a walk over the leaves."""


@dataclass(frozen=True, slots=True)
class Head:
    """A signed head: the size and root of the tree, and the object that says so."""

    size: int
    root: bytes
    object: str


@dataclass
class Leaves:
    """Leaf hashes of the entries from `start` on, one behind the other; `start` is a multiple of 256."""

    start: int = 0
    data: bytearray = field(default_factory=bytearray)

    @property
    def end(self) -> int:
        """One past the last index."""
        return self.start + len(self.data) // HASH

    def get(self, index: int) -> bytes:
        """The leaf hash of an entry."""
        at = (index - self.start) * HASH
        return bytes(self.data[at : at + HASH])

    def slice(self, low: int, high: int) -> bytes:
        """The hashes of the entries from `low` to before `high`."""
        return bytes(self.data[(low - self.start) * HASH : (high - self.start) * HASH])

    def truncate(self, end: int) -> None:
        """Forget the entries from `end` on."""
        del self.data[max(0, end - self.start) * HASH :]


Alternative = Callable[[int], bytes | None]
"""The leaf hashes that another kind of object gives for the entries 256 * N and on; None: none."""


@dataclass(frozen=True)
class Settled:
    """What the signed heads say of the leaves.

    Attributes:
        proven: the largest size whose signed root the leaves give.
        altered: index, true leaf hash and the claims' one, for each entry that differs.
        forks: heads that contradict the leaves that smaller and larger heads prove.
        unexplained: heads that nothing gives, larger than `proven`.
    """

    proven: int
    altered: tuple[tuple[int, bytes, bytes], ...]
    forks: tuple[Head, ...]
    unexplained: tuple[Head, ...]


def settle(
    leaves: Leaves, frontier: Frontier, heads: Iterable[Head], alternatives: Sequence[Alternative]
) -> Settled:
    """Correct `leaves` in place to what the signed heads prove.

    Args:
        leaves: as the claims give them.
        frontier: of the tree before `leaves.start`.
        heads: all signed heads beyond `leaves.start`, in any order.
        alternatives: where else leaf hashes are to be had, the best first.
    """
    position, proven = leaves.start, leaves.start
    altered: list[tuple[int, bytes, bytes]] = []
    forks: list[Head] = []
    misses: list[Head] = []
    for head in sorted(heads, key=lambda one: one.size):
        if head.size > leaves.end or len(misses) > TRIES:
            misses.append(head)
            continue
        for candidate in _candidates(leaves, position, head.size, alternatives):
            reached = frontier.extend(_split(candidate))
            if reached.root() == head.root:
                break
        else:
            misses.append(head)
            continue
        altered += _differences(leaves, position, candidate)
        leaves.data[(position - leaves.start) * HASH : (head.size - leaves.start) * HASH] = candidate
        forks += misses
        misses.clear()
        position, proven, frontier = head.size, head.size, reached
    forks += [head for head in misses if head.size <= proven]
    misses = [head for head in misses if head.size > proven]
    return Settled(proven, tuple(altered), tuple(forks), tuple(misses))


def roots(leaves: Leaves, frontier: Frontier, sizes: Iterable[int]) -> dict[int, bytes]:
    """The root at each of the sizes that the leaves reach."""
    found: dict[int, bytes] = {}
    position = leaves.start
    for size in sorted({size for size in sizes if leaves.start <= size <= leaves.end}):
        frontier = frontier.extend(_split(leaves.slice(position, size)))
        position = size
        found[size] = frontier.root()
    return found


def first_difference(leaves: Leaves, low: int, high: int, alternatives: Sequence[Alternative]) -> int | None:
    """The first index at which another kind of object gives another leaf hash than the claims."""
    found = [
        index
        for candidate in list(_candidates(leaves, low, min(high, leaves.end), alternatives))[1:]
        for index, _, _ in _differences(leaves, low, candidate)[:1]
    ]
    return min(found, default=None)


def _candidates(leaves: Leaves, low: int, high: int, alternatives: Sequence[Alternative]) -> Iterable[bytes]:
    ours = leaves.slice(low, high)
    yield ours
    for alternative in alternatives:
        other = bytearray(ours)
        for tile in range(low // WIDTH, -(-high // WIDTH)):
            if (hashes := alternative(tile)) is None:
                continue
            begin, end = max(low, tile * WIDTH), min(high, tile * WIDTH + len(hashes) // HASH)
            if begin < end:
                cut = hashes[(begin - tile * WIDTH) * HASH : (end - tile * WIDTH) * HASH]
                other[(begin - low) * HASH : (end - low) * HASH] = cut
        if other != ours:
            yield bytes(other)


def _differences(leaves: Leaves, low: int, candidate: bytes) -> list[tuple[int, bytes, bytes]]:
    ours = leaves.slice(low, low + len(candidate) // HASH)
    if ours == candidate:
        return []
    return [
        (low + at // HASH, candidate[at : at + HASH], ours[at : at + HASH])
        for at in range(0, len(candidate), HASH)
        if candidate[at : at + HASH] != ours[at : at + HASH]
    ]


def _split(hashes: bytes) -> list[bytes]:
    return [hashes[at : at + HASH] for at in range(0, len(hashes), HASH)]
