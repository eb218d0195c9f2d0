"""Tiles: how a log's hashes and entries are laid out as objects (C2SP tlog-tiles).

A hash tile at level L holds up to 256 hashes of complete subtrees of 256**L leaves each; the subtrees between
tile levels are hashed anew when needed. An entry bundle holds the entries of a level-0 tile. Tiles at the
right edge are partial, with the number of their hashes in their name.

Which hashes a root or a proof needs is known before any is read, so `tiles_for_…` name the tiles that are
to be fetched, and `TileReader` answers from them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from interlock.evidence.log import merkle
from interlock.evidence.log.merkle import HASH_BYTES, Frontier, HashReader
from interlock.evidence.log.strict import MAX_SIZE, LogFormatError, shown

WIDTH: Final = 256
"""Hashes in a full tile, entries in a full bundle."""
HEIGHT: Final = 8
"""Levels of the tree that a tile covers: WIDTH is 2**HEIGHT."""
MAX_ENTRY_BYTES: Final = 65_535
"""Largest entry: its length is a 16-bit number."""
ENTRIES: Final = "entries"

Level = int | Literal["entries"]

_PATH = re.compile(
    r"tile/(?P<level>0|[1-9][0-9]?|entries)/(?P<index>(?:x[0-9]{3}/){0,7}[0-9]{3})"
    r"(?:\.p/(?P<width>[1-9][0-9]{0,2}))?"
)


class TileError(LogFormatError):
    """A path or bytes are not those of a tile or an entry bundle."""


@dataclass(frozen=True)
class TileRef:
    """A tile's or bundle's place.

    Attributes:
        level: tile level from 0, or "entries" for an entry bundle, which spans what a level-0 tile does.
        index: number of the tile within its level, from 0.
        width: number of its hashes or entries, 1 to 256; below 256 it is partial.
    """

    level: Level
    index: int
    width: int

    def __post_init__(self) -> None:
        if not 1 <= self.width <= WIDTH:
            raise TileError(f"tile width: expected 1 to {WIDTH}, found {self.width}")
        height = self.height
        if height < 0 or height * HEIGHT > MAX_SIZE.bit_length() or self.index < 0:
            raise TileError(f"tile level {self.level}, index {self.index}: no tree has such a tile")
        if (self.index * WIDTH + self.width) << (HEIGHT * height) > MAX_SIZE:
            raise TileError(f"tile level {self.level}, index {self.index}: beyond {MAX_SIZE} leaves")

    @property
    def height(self) -> int:
        """Return the level as a number: that of a bundle is 0."""
        return 0 if isinstance(self.level, str) else self.level

    @property
    def full(self) -> bool:
        """Return whether no later entry can change it."""
        return self.width == WIDTH

    def path(self) -> str:
        """Return its path below the log's prefix: `tile/0/x001/234`, `tile/entries/005.p/7`."""
        digits = str(self.index)
        groups = digits.zfill(-(-len(digits) // 3) * 3)
        elements = [f"x{groups[at : at + 3]}" for at in range(0, len(groups), 3)]
        elements[-1] = elements[-1][1:]
        suffix = "" if self.full else f".p/{self.width}"
        return f"tile/{self.level}/{'/'.join(elements)}{suffix}"

    @classmethod
    def parse(cls, path: str) -> TileRef:
        """Read a path that `path` gives.

        Raises:
            TileError: it is another, also one that only spells an index differently.
        """
        match = _PATH.fullmatch(path)
        if match is None:
            raise TileError(f"tile path: expected tile/<level>/<index>[.p/<width>], found {shown(path)}")
        level: Level = ENTRIES if match["level"] == ENTRIES else int(match["level"])
        index = int(match["index"].replace("x", "").replace("/", ""))
        ref = cls(level, index, int(match["width"]) if match["width"] else WIDTH)
        if ref.path() != path:
            raise TileError(f"tile path: expected {ref.path()}, found {shown(path)}")
        return ref


def encode_hashes(hashes: Sequence[bytes]) -> bytes:
    """Return a hash tile: its hashes one after the other."""
    if not 1 <= len(hashes) <= WIDTH or any(len(value) != HASH_BYTES for value in hashes):
        raise TileError(f"hash tile: expected 1 to {WIDTH} hashes of {HASH_BYTES} bytes, found {len(hashes)}")
    return b"".join(hashes)


def decode_hashes(data: bytes, width: int) -> tuple[bytes, ...]:
    """Read a hash tile of `width` hashes.

    Raises:
        TileError: it is not as long as that.
    """
    if len(data) != width * HASH_BYTES:
        raise TileError(f"hash tile of {width}: expected {width * HASH_BYTES} bytes, found {len(data)}")
    return tuple(data[at : at + HASH_BYTES] for at in range(0, len(data), HASH_BYTES))


def encode_bundle(entries: Sequence[bytes]) -> bytes:
    """Return an entry bundle: before each entry its length, 16 bits, big-endian.

    Raises:
        TileError: too many entries, none, or one is too long.
    """
    if not 1 <= len(entries) <= WIDTH:
        raise TileError(f"entry bundle: expected 1 to {WIDTH} entries, found {len(entries)}")
    for position, entry in enumerate(entries):
        if len(entry) > MAX_ENTRY_BYTES:
            raise TileError(f"entry {position}: expected at most {MAX_ENTRY_BYTES} bytes, found {len(entry)}")
    return b"".join(len(entry).to_bytes(2, "big") + entry for entry in entries)


def decode_bundle(data: bytes, width: int) -> tuple[bytes, ...]:
    """Read an entry bundle of `width` entries.

    Raises:
        TileError: it ends early, or goes on after them.
    """
    entries = []
    at = 0
    for position in range(width):
        start = at + 2
        at = start + int.from_bytes(data[at:start], "big")
        if max(at, start) > len(data):
            raise TileError(
                f"bundle of {width}, entry {position}: expected {max(at, start)} bytes, found {len(data)}"
            )
        entries.append(data[start:at])
    if at != len(data):
        raise TileError(f"entry bundle of {width}: expected {at} bytes, found {len(data)}")
    return tuple(entries)


def tile_at(height: int, index: int, size: int) -> TileRef:
    """Return hash tile number `index` of tile level `height` as a tree of `size` leaves has it.

    Raises:
        TileError: a tree of that size has no such tile.
    """
    width = min((size >> HEIGHT * height) - index * WIDTH, WIDTH)
    if width < 1:
        raise TileError(f"tile level {height}, index {index}: a tree of {size} leaves has no such tile")
    return TileRef(height, index, width)


def bundle_at(index: int, size: int) -> TileRef:
    """Return entry bundle number `index` as a tree of `size` leaves has it; raises TileError as `tile_at`."""
    return TileRef(ENTRIES, index, tile_at(0, index, size).width)


def tiles_for(old_size: int, new_size: int) -> tuple[TileRef, ...]:
    """Return the tiles and bundles that a tree of `new_size` has and one of `old_size` lacks, bundles first.

    Whoever publishes size `new_size` after size `old_size` writes these.
    """
    refs: list[TileRef] = []
    height = 0
    while new_size >> HEIGHT * height:
        old, new = old_size >> HEIGHT * height, new_size >> HEIGHT * height
        for index in range(old // WIDTH, -(-new // WIDTH) if new > old else 0):
            refs.append(tile_at(height, index, new_size))
        height += 1
    bundles = tuple(TileRef(ENTRIES, ref.index, ref.width) for ref in refs if ref.level == 0)
    return bundles + tuple(refs)


def edge_tiles(size: int) -> tuple[TileRef, ...]:
    """Return the partial hash tiles of a tree of `size` leaves, lowest first; they determine its root."""
    refs = []
    height = 0
    while count := size >> HEIGHT * height:
        if count % WIDTH:
            refs.append(TileRef(height, count // WIDTH, count % WIDTH))
        height += 1
    return tuple(refs)


def tiles_for_root(size: int) -> tuple[TileRef, ...]:
    """Return the hash tiles that the root at this size is computed from."""
    return _tiles_of(size, lambda read: merkle.root(size, read))


def tiles_for_inclusion(index: int, size: int) -> tuple[TileRef, ...]:
    """Return the hash tiles that an inclusion proof of leaf `index` at this size is computed from."""
    return _tiles_of(size, lambda read: merkle.inclusion_proof(index, size, read))


def tiles_for_consistency(old: int, new: int) -> tuple[TileRef, ...]:
    """Return the hash tiles, as in a tree of `new` leaves, that a consistency proof is computed from."""
    return _tiles_of(new, lambda read: merkle.consistency_proof(old, new, read))


class TileReader:
    """A `HashReader` over the tiles of a tree of `size` leaves.

    What tiles say is believed, not checked: compare a root, or verify a proof, that was computed from them.

    Args:
        size: the tree's number of leaves.
        fetch: gives a hash tile's bytes; asked at most once a tile.

    Raises on call:
        TileError: the tree has no such subtree, or a tile has the wrong length; besides, what `fetch` raises.
    """

    def __init__(self, size: int, fetch: Callable[[TileRef], bytes]) -> None:
        self._size = size
        self._fetch = fetch
        self._tiles: dict[TileRef, tuple[bytes, ...]] = {}

    def __call__(self, level: int, index: int) -> bytes:
        """Return the hash of the complete subtree number `index` of 2**level leaves."""
        ref = _tile_of(level, index, self._size)
        if ref not in self._tiles:
            self._tiles[ref] = decode_hashes(self._fetch(ref), ref.width)
        count = 1 << level % HEIGHT
        start = index * count % WIDTH
        return Frontier().extend(self._tiles[ref][start : start + count]).root()


def _tile_of(level: int, index: int, size: int) -> TileRef:
    height, inner = divmod(level, HEIGHT)
    ref = tile_at(height, (index << inner) // WIDTH, size)
    if ((index + 1) << inner) - ref.index * WIDTH > ref.width:
        raise TileError(f"subtree {index} of 2**{level} leaves: not complete in a tree of {size}")
    return ref


def _tiles_of(size: int, compute: Callable[[HashReader], object]) -> tuple[TileRef, ...]:
    needed: dict[TileRef, None] = {}

    def read(level: int, index: int) -> bytes:
        needed[_tile_of(level, index, size)] = None
        return merkle.EMPTY_ROOT

    compute(read)
    return tuple(needed)
