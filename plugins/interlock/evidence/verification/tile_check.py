"""Compare the tiles and bundles that are there with those that the proven leaves make."""

from __future__ import annotations

from collections.abc import Sequence

from interlock.evidence.log.merkle import HASH_BYTES as HASH
from interlock.evidence.log.merkle import leaf_hash
from interlock.evidence.log.tiles import WIDTH, TileError, decode_bundle
from interlock.evidence.verification.entry import describe
from interlock.evidence.verification.findings import Findings, YearFindings
from interlock.evidence.verification.inventory import BUNDLES, YearInventory
from interlock.evidence.verification.objects import YearObjects
from interlock.evidence.verification.settle import Leaves
from interlock.evidence.verification.source import (
    MAX_BUNDLE,
    MAX_TILE,
    UNUSABLE,
    ObjectMissing,
    ObjectTooLarge,
    Source,
)
from interlock.evidence.verification.tree_tiles import Tile, expected_tiles


class TileJudge:
    """Looks for tiles that are missing, altered, or of a log that was longer."""

    def __init__(
        self,
        source: Source,
        objects: YearObjects,
        inventory: YearInventory,
        leaves: Leaves,
        findings: Findings,
    ) -> None:
        self._source, self._objects, self._inventory = source, objects, inventory
        self._leaves = leaves
        self._add = YearFindings(findings, inventory.year).add

    def tiles(self, levels: Sequence[Sequence[bytes]], size: int, published: int) -> None:
        """Compare each hash tile of a tree of this size; those of what is published must be there."""

        def read(tile: Tile) -> tuple[Tile, bytes | ObjectMissing | ObjectTooLarge]:
            try:
                return tile, self._objects.read((tile.level, tile.index, tile.width), MAX_TILE)
            except UNUSABLE as error:
                return tile, error

        for tile, found in self._source.several(read, expected_tiles(self._leaves, levels, size)):
            if isinstance(found, ObjectMissing) and tile.entry(tile.width) > published:
                continue
            if found != tile.content:
                self._differs(tile, found)

    def _differs(self, tile: Tile, found: bytes | ObjectMissing | ObjectTooLarge) -> None:
        what = "tile" if tile.width == WIDTH else "partial"
        key = self._objects.tile_key((tile.level, tile.index, tile.width))
        if isinstance(found, ObjectMissing):
            self._add(f"{what}-missing", tile.entry(), key, "this tile", "none", end=tile.entry(tile.width))
            return
        if isinstance(found, ObjectTooLarge):
            said = str(found)[:300]
            self._add(f"{what}-altered", tile.entry(), key, f"{len(tile.content)} bytes", said)
            return
        cuts = range(0, len(tile.content), HASH)
        at = next((cut for cut in cuts if found[cut : cut + HASH] != tile.content[cut : cut + HASH]), None)
        if at is None:
            expected, got, at = f"{len(tile.content)} bytes", f"{len(found)} bytes", len(tile.content) - HASH
        else:
            expected, got = tile.content[at : at + HASH].hex(), found[at : at + HASH].hex() or "nothing"
        index = tile.entry(at // HASH)
        affected = self._objects.affected(index, index + 1)
        self._add(f"{what}-altered", index, key, expected, got, affected, end=tile.entry(at // HASH + 1))

    def bundles(self, base: int, size: int, published: int) -> None:
        """Compare each bundle of a log of this size, from the entry `base` on; as `tiles`."""
        places = (
            (BUNDLES, number, min(WIDTH, size - number * WIDTH))
            for number in range(base // WIDTH, -(-size // WIDTH))
        )

        def read(
            place: tuple[int, int, int],
        ) -> tuple[tuple[int, int, int], list[bytes] | ObjectMissing | str]:
            try:
                return place, list(decode_bundle(self._objects.read(place, MAX_BUNDLE), place[2]))
            except ObjectMissing as error:
                return place, error
            except (ObjectTooLarge, TileError) as error:
                return place, str(error)[:300]

        for place, found in self._source.several(read, places):
            if not (isinstance(found, ObjectMissing) and place[1] * WIDTH + place[2] > published):
                self._bundle(place, found)

    def _bundle(self, place: tuple[int, int, int], found: list[bytes] | ObjectMissing | str) -> None:
        what = "bundle" if place[2] == WIDTH else "partial"
        key, first = self._objects.tile_key(place), place[1] * WIDTH
        end = first + place[2]
        if isinstance(found, ObjectMissing):
            self._add(f"{what}-missing", first, key, "this bundle", "none", end=end)
        elif isinstance(found, str):
            self._add(f"{what}-altered", first, key, f"{place[2]} entries", found, end=end)
        else:
            for index, leaf in enumerate(found, first):
                if (got := leaf_hash(leaf)) != (true := self._leaves.get(index)):
                    said = (f"leaf hash {true.hex()}", f"leaf hash {got.hex()}")
                    self._add(f"{what}-altered", index, key, *said, (describe(leaf, index),))
                    return

    def beyond(self, end: int) -> None:
        """Look for tiles of entries after the last."""
        if self._inventory.covered > end:
            said = f"tiles of {self._inventory.covered}: the log was longer"
            key = f"log/{self._inventory.year:04d}/tile/"
            self._add("rewound", end, key, f"tiles of {end} entries", said, end=self._inventory.covered)
