"""What is under a year's prefix: the claims, tiles and heads, and what must not be there.

An object that is written once and locked has exactly one version. A delete marker or a second version is what
tampering with a locked object leaves behind; the oldest version is the one that was committed, so that is
read, and the others are findings.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from interlock.evidence.log.layout import Kind, LayoutError, parse
from interlock.evidence.log.tiles import WIDTH, TileRef
from interlock.evidence.verification.findings import Finding
from interlock.evidence.verification.source import Version

BUNDLES: Final = -1
"""Stands for the entry bundles where a tile's level is asked for."""

TileKey = tuple[int, int, int]
"""Level (-1: entry bundles), number, width."""


@dataclass(frozen=True, slots=True)
class Irregular:
    """An object that was changed after it was written, or one that nobody writes."""

    code: str
    key: str
    version: Version
    claim: int | None = None
    tile: TileKey | None = None

    def finding(self, year: int | None, index: int | None) -> Finding:
        """What it means; `year` and `index` are of the first entry that it concerns."""
        known = self.code != "unknown-object"
        expected = "one version" if known else "a claim, a tile or a checkpoint"
        marker = "a delete marker"
        found = {"delete-marker": marker, "partial-deleted": marker, "second-version": "another version"}
        said = f"{found.get(self.code, 'this key')}, {self.version.version_id}".rstrip(", ")
        return Finding(self.code, self.key, expected, said, year, index)


@dataclass
class YearInventory:
    """The objects of one year's log.

    Attributes:
        claims, checkpoints: the committed version, by claim number and by size.
        tiles: of full and partial tiles and bundles, by level, number and width.
        heads: all versions of `checkpoint`, the newest first.
        irregular: what must not be there.
        covered: how many entries the tiles cover at least.
        limit: of a log that went on while it was listed, the largest listed head: what is later is left out.
    """

    year: int
    claims: dict[int, Version] = field(default_factory=dict)
    checkpoints: dict[int, Version] = field(default_factory=dict)
    tiles: dict[TileKey, Version] = field(default_factory=dict)
    heads: list[Version] = field(default_factory=list)
    irregular: list[Irregular] = field(default_factory=list)
    covered: int = 0
    limit: int | None = None

    @property
    def empty(self) -> bool:
        """Whether it has nothing that a writer makes."""
        return not (self.claims or self.checkpoints or self.tiles or self.heads)

    def cut(self, size: int, claims: dict[int, Version], end: int) -> None:
        """Leave out what is later than the head of this size.

        Args:
            size: the head's.
            claims: those that are not later.
            end: where the claims ended after the tiles were listed: tiles of more are not later, but of a log
                that was longer once.
        """
        self.limit, self.claims = size, claims
        if self.covered <= end:
            self.covered = min(self.covered, size)
            self.tiles = {tile: one for tile, one in self.tiles.items() if reach(tile) <= size}

    def take(self, key: str, versions: list[Version]) -> None:
        """Take an object's versions, the newest first."""
        try:
            place = parse(key)
        except LayoutError:
            self.irregular.append(Irregular("unknown-object", key, versions[0]))
            return
        if place.kind is Kind.NEWEST:
            self.heads = [one for one in versions if not one.marker]
            self.irregular += [Irregular("delete-marker", key, one) for one in versions if one.marker]
            return
        claim = place.number if place.kind is Kind.CLAIM else None
        size = place.number if place.kind is Kind.HEAD else None
        tile = of_ref(place.tile) if place.tile is not None else None
        contents = [one for one in versions if not one.marker]
        if tile is not None and tile[2] < WIDTH:
            for one in versions:
                if one.marker:
                    self.irregular.append(Irregular("partial-deleted", one.key, one, claim, tile))
            if not versions[0].marker:
                self._covers(tile, versions[0])
            return
        for one in versions:
            if one.marker:
                self.irregular.append(Irregular("delete-marker", one.key, one, claim, tile))
        for one in contents[:-1]:
            self.irregular.append(Irregular("second-version", one.key, one, claim, tile))
        if not contents:
            return
        if claim is not None:
            self.claims[claim] = contents[-1]
        elif size is not None:
            self.checkpoints[size] = contents[-1]
        elif tile is not None:
            self._covers(tile, contents[-1])

    def _covers(self, tile: TileKey, version: Version) -> None:
        self.tiles[tile] = version
        self.covered = max(self.covered, reach(tile))


def reach(tile: TileKey) -> int:
    """The size of the smallest log that has this tile."""
    level, number, width = tile
    return (number * WIDTH + width) << (8 * max(level, 0))


def of_ref(ref: TileRef) -> TileKey:
    """A tile's place as three numbers."""
    return (BUNDLES if ref.level == "entries" else int(ref.level), ref.index, ref.width)


def tile_path(tile: TileKey) -> str:
    """A tile's path below the log's prefix."""
    level, index, width = tile
    return TileRef("entries" if level == BUNDLES else level, index, width).path()
