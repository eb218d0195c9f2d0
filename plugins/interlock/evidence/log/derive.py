"""What is published follows from what is claimed: tiles and bundles as a pure function of the entries.

Whoever has the log's right edge (`Edge`) and the entries that come next can make the same objects, byte for
byte, as anyone else: so anyone finishes what a crashed writer began, and a verifier can make them again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from interlock.evidence.log.merkle import HASH_BYTES, Frontier, leaf_hash
from interlock.evidence.log.strict import LogFormatError, decimal, from_base64, shown, to_base64
from interlock.evidence.log.tiles import (
    ENTRIES,
    HEIGHT,
    MAX_ENTRY_BYTES,
    WIDTH,
    TileRef,
    bundle_at,
    decode_bundle,
    decode_hashes,
    edge_tiles,
    encode_bundle,
    encode_hashes,
)

_MARK = b"interlock-edge 1"
_MAX_EDGE_BYTES = 8 * WIDTH * HASH_BYTES + WIDTH * (MAX_ENTRY_BYTES + 2)


class DeriveError(LogFormatError):
    """Tiles, entries and root of one tree contradict each other."""


@dataclass(frozen=True)
class DerivedObject:
    """One object to be published: its place below the log's prefix, and its bytes."""

    ref: TileRef
    body: bytes = field(repr=False)

    @property
    def lasting(self) -> bool:
        """Return whether it is full, so that no later entry can replace it."""
        return self.ref.full


@dataclass(frozen=True)
class Edge:
    """A log's right edge: all that is needed of its past to derive its future.

    Attributes:
        frontier: the tree's complete subtrees, with its size and root.
        levels: for each tile level, lowest first, the hashes of its partial tile (0 to 255).
        entries: the entries of the partial bundle.
    """

    frontier: Frontier
    levels: tuple[tuple[bytes, ...], ...] = field(repr=False)
    entries: tuple[bytes, ...] = field(repr=False)

    @property
    def size(self) -> int:
        """Return the tree's number of leaves."""
        return self.frontier.size

    def root(self) -> bytes:
        """Return the tree's root hash."""
        return self.frontier.root()

    @classmethod
    def empty(cls) -> Edge:
        """Return the edge of the log without entries."""
        return cls(Frontier(), (), ())

    @classmethod
    def of_partial(cls, size: int, root: bytes, read: Callable[[TileRef], bytes]) -> Edge:
        """Return the edge of a log of `size` entries from its partial tiles and its partial bundle.

        Args:
            size: the tree's number of leaves.
            root: its root, from a checkpoint or a claim.
            read: gives a tile's or bundle's bytes.

        Raises:
            TileError: one of them is no such tile.
            DeriveError: they do not lead to that root, or the entries are not those of the leaf hashes.
        """
        tiles = {ref: decode_hashes(read(ref), ref.width) for ref in edge_tiles(size)}
        bundle = bundle_at(size // WIDTH, size) if size % WIDTH else None
        entries = decode_bundle(read(bundle), bundle.width) if bundle else ()
        by_height = {ref.height: hashes for ref, hashes in tiles.items()}
        edge = _edge([by_height.get(height, ()) for height in range(max(by_height, default=-1) + 1)], entries)
        found = tuple(map(leaf_hash, entries))
        if size % WIDTH and found != edge.levels[0]:
            raise DeriveError(
                f"log of {size} entries: the partial bundle is not that of the level-0 tile's hashes"
            )
        if edge.size != size or edge.root() != root:
            raise DeriveError(
                f"log of {size} entries: expected root {root.hex()}, its tiles lead to {edge.root().hex()}"
            )
        return edge

    def objects(self) -> tuple[DerivedObject, ...]:
        """Return the partial tiles and the partial bundle at this size: what `of_partial` reads."""
        objects = [
            DerivedObject(ref, encode_hashes(self.levels[ref.height])) for ref in edge_tiles(self.size)
        ]
        if self.entries:
            objects.append(
                DerivedObject(bundle_at(self.size // WIDTH, self.size), encode_bundle(self.entries))
            )
        return tuple(objects)

    def encode(self) -> bytes:
        """Return the edge as bytes, to keep it beside the log's writer; no part of the log."""
        head = b"%s %d %s\n" % (_MARK, self.size, to_base64(self.root()).encode())
        return head + b"".join(item.body for item in self.objects())

    @classmethod
    def decode(cls, data: bytes) -> Edge:
        """Read what `encode` gives.

        Raises:
            LogFormatError: it is anything else, or does not lead to the root that it names.
        """
        head, _, rest = data.partition(b"\n")
        words = head.split(b" ")
        if (
            not head.isascii()
            or len(words) != 4
            or b" ".join(words[:2]) != _MARK
            or len(rest) > _MAX_EDGE_BYTES
        ):
            raise DeriveError(f"edge: expected {_MARK!r}, size and root, found {shown(head)}")
        size = decimal(words[2].decode(), "edge, size", DeriveError)
        root = from_base64(words[3].decode(), "edge, root", DeriveError, HASH_BYTES)
        bodies: dict[TileRef, bytes] = {}
        for ref in edge_tiles(size):
            bodies[ref], rest = rest[: ref.width * HASH_BYTES], rest[ref.width * HASH_BYTES :]
        if size % WIDTH:
            bodies[bundle_at(size // WIDTH, size)] = rest
        elif rest:
            raise DeriveError(f"edge of {size} entries: expected no bundle, found {len(rest)} bytes more")
        return cls.of_partial(size, root, bodies.__getitem__)


def advance(edge: Edge, entries: Sequence[bytes]) -> tuple[Edge, tuple[DerivedObject, ...]]:
    """Return the edge after more entries, and the objects that the new size has and the old one had not.

    The objects are those of `tiles_for(edge.size, edge.size + len(entries))`, in its order. Without entries
    there are none. To publish several claims at once, pass the entries of all of them.

    Raises:
        TileError: an entry is longer than 65,535 bytes.
    """
    if not entries:
        return edge, ()
    bundles: list[DerivedObject] = []
    tiles: list[DerivedObject] = []
    rest = (*edge.entries, *entries)
    for at in range(0, len(rest), WIDTH):
        part = rest[at : at + WIDTH]
        ref = TileRef(ENTRIES, edge.size // WIDTH + at // WIDTH, len(part))
        bundles.append(DerivedObject(ref, encode_bundle(part)))
    levels: list[tuple[bytes, ...]] = []
    new = [leaf_hash(entry) for entry in entries]
    while new or len(levels) < len(edge.levels):
        height = len(levels)
        old = edge.levels[height] if height < len(edge.levels) else ()
        first = edge.size >> HEIGHT * (height + 1)  # the tile that was partial, or comes next
        hashes = (*old, *new)
        if new:
            tiles += (
                DerivedObject(TileRef(height, first + at // WIDTH, len(part)), encode_hashes(part))
                for at in range(0, len(hashes), WIDTH)
                if (part := hashes[at : at + WIDTH])
            )
        whole = len(hashes) // WIDTH * WIDTH
        new = [Frontier().extend(hashes[at : at + WIDTH]).root() for at in range(0, whole, WIDTH)]
        levels.append(hashes[whole:])
    after = _edge(levels, rest[len(rest) // WIDTH * WIDTH :])
    return after, (*bundles, *tiles)


def _edge(levels: Sequence[tuple[bytes, ...]], entries: tuple[bytes, ...]) -> Edge:
    size = 0
    hashes: tuple[bytes, ...] = ()
    for height, level in enumerate(levels):
        size += len(level) << HEIGHT * height
        hashes = Frontier().extend(level).hashes + hashes
    return Edge(Frontier(size, hashes), tuple(levels), entries)
