"""Read the derived objects of a year: what bundles and tiles say of its leaves."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from interlock.evidence.log.layout import prefix, seq_key
from interlock.evidence.log.merkle import HASH_BYTES, leaf_hash
from interlock.evidence.log.tiles import WIDTH, TileError, decode_bundle
from interlock.evidence.verification.entry import describe
from interlock.evidence.verification.findings import STATEMENTS, Affected
from interlock.evidence.verification.inventory import BUNDLES, TileKey, YearInventory, tile_path
from interlock.evidence.verification.source import MAX_BUNDLE, MAX_TILE, UNUSABLE, Source

_KEPT: Final = 4


class YearObjects:
    """Gives what a year's derived objects hold; keeps the bundles that it read last.

    Attributes:
        size: the size of the largest signed head: of the partial tiles, those of this size are read.
    """

    def __init__(self, source: Source, inventory: YearInventory, size: int) -> None:
        self._source = source
        self._inventory = inventory
        self.size = size
        self._bundles: OrderedDict[int, list[bytes] | str] = OrderedDict()

    def claim_key(self, number: int) -> str:
        """The key of a claim."""
        return seq_key(self._inventory.year, number)

    def bundle_key(self, tile: int) -> str:
        """The key of the bundle that holds the entries 256 * tile and on."""
        return self.tile_key(self.place(BUNDLES, tile) or (BUNDLES, tile, WIDTH))

    def tile_key(self, tile: TileKey) -> str:
        """A tile's key."""
        return prefix(self._inventory.year) + tile_path(tile)

    def place(self, level: int, number: int) -> TileKey | None:
        """The full tile where it is there, else the widest partial one up to the head's; None: neither."""
        if (level, number, WIDTH) in self._inventory.tiles:
            return level, number, WIDTH
        width = (self.size >> (8 * max(level, 0))) - number * WIDTH
        for one in range(min(width, WIDTH - 1), 0, -1):
            if (level, number, one) in self._inventory.tiles:
                return level, number, one
        return None

    def read(self, tile: TileKey, limit: int) -> bytes:
        """A tile's content.

        Raises:
            SourceError: it isn't there, is too large (UNUSABLE), or can't be read.
        """
        version = self._inventory.tiles.get(tile)
        return self._source.read(self.tile_key(tile), limit, version.version_id if version else None)

    def bundle(self, tile: int) -> list[bytes] | str:
        """A bundle's entries, or why there are none."""
        if tile in self._bundles:
            self._bundles.move_to_end(tile)
            return self._bundles[tile]
        place = self.place(BUNDLES, tile)
        found: list[bytes] | str
        if place is None:
            found = "it is not there"
        else:
            try:
                found = list(decode_bundle(self.read(place, MAX_BUNDLE), place[2]))
            except (*UNUSABLE, TileError) as error:
                found = str(error)[:300]
        self._bundles[tile] = found
        if len(self._bundles) > _KEPT:
            self._bundles.popitem(last=False)
        return found

    def bundle_hashes(self, tile: int) -> bytes | None:
        """The leaf hashes that a bundle gives."""
        found = self.bundle(tile)
        return None if isinstance(found, str) else b"".join(map(leaf_hash, found))

    def tile_hashes(self, tile: int) -> bytes | None:
        """The leaf hashes that a level-0 tile gives."""
        if (place := self.place(0, tile)) is None:
            return None
        try:
            found = self.read(place, MAX_TILE)
        except UNUSABLE:
            return None
        return found if len(found) == place[2] * HASH_BYTES else None

    def entry(self, index: int) -> bytes | None:
        """An entry as its bundle has it."""
        found = self.bundle(index // WIDTH)
        if isinstance(found, str) or index % WIDTH >= len(found):
            return None
        return found[index % WIDTH]

    def affected(self, low: int, high: int) -> tuple[Affected, ...]:
        """The statements from `low` to before `high` as the bundles have them, at most STATEMENTS."""
        return tuple(describe(self.entry(index), index) for index in range(low, min(high, low + STATEMENTS)))
