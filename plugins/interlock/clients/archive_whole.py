"""Write an archive of a whole bucket, while its writers may go on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from interlock.clients.archive import OBJECTS
from interlock.clients.archive_folder import Folder
from interlock.clients.archive_list import encode_version
from interlock.clients.archive_part import WHOLE
from interlock.evidence.log.claim import Claim, ClaimError
from interlock.evidence.log.layout import Kind, LayoutError, Place, parse
from interlock.evidence.verification.heads import HeadError, read_head
from interlock.evidence.verification.inventory import YearInventory, of_ref, reach
from interlock.evidence.verification.page import Page
from interlock.evidence.verification.snapshot import Snapshot, take_snapshot
from interlock.evidence.verification.source import (
    MAX_BLOB,
    MAX_BUNDLE,
    MAX_CHECKPOINT,
    UNUSABLE,
    ObjectMissing,
    ObjectTooLarge,
    Retention,
    SourceError,
    Version,
)

OTHERS: Final = "others/"


@dataclass(frozen=True)
class _Copy:
    """A version that is copied.

    Attributes:
        file: its file, unless that is `objects/KEY`.
        limit: the most bytes that are copied.
        ours: whether its key is one of a writer's.
        may_go: whether it may be gone, its lock having ended.
    """

    version: Version
    file: str | None
    limit: int
    ours: bool
    may_go: bool


@dataclass(frozen=True)
class _Read:
    """How a version is locked, its content, and why that is left out."""

    lock: Retention | None = None
    body: bytes | None = None
    why: str = ""


def write_whole(folder: Folder, what: str) -> int:
    """Copy everything but the partial tiles of older heads; returns how many entries there are.

    Raises:
        SourceError: the bucket can't be read, or there is no log in it.
    """
    source = folder.source
    snapshot = take_snapshot(source, folder.trust)
    if not snapshot.years:
        raise SourceError(f"{source.name}: no log in it (none under log/YEAR/): another bucket?")
    page = Page(folder.trust.log, source.name, what)
    entries = 0
    with folder.versions() as stream:
        stream.write(folder.header(WHOLE, what))
        found = source.several(_reader(folder), _wanted(folder, snapshot))
        for done, (one, read) in enumerate(found, 1):
            if read is None:
                continue
            stream.write(encode_version(one.version, read.lock, one.file if read.body is not None else None))
            if read.why:
                folder.leave_out(one.version.key, read.why)
            if read.body is not None:
                folder.put(one.file or OBJECTS + one.version.key, read.body)
                if one.file is None and "/seq/" in one.version.key:
                    entries += _rows(page, read.body, one.version)
            folder.progress("objects", done)
    folder.put("index.html", page.html())
    return entries


def _wanted(folder: Folder, snapshot: Snapshot) -> Iterator[_Copy]:
    """What is copied: of the logs what the snapshot has; evidence and keys as they are after that."""
    number = 0
    irregular = {one.key for each in snapshot.years.values() for one in each.irregular}
    irregular |= {one.key for one in snapshot.strange}
    for key, versions in groupby(folder.source.versions(""), key=lambda version: version.key):
        place, several = _parsed(key), list(versions)
        if place is not None and place.year is not None:
            inventory = snapshot.years.get(place.year)
            if inventory is not None and place.kind is Kind.NEWEST:
                several = _heads(folder, inventory)
            elif key not in irregular and (inventory is None or not _has(inventory, place)):
                continue
        contents = [one for one in several if not one.marker]
        moved = place is not None and place.kind is Kind.NEWEST
        for one in several:
            number += 1
            # Of `checkpoint` the newest version is the object; of all else the one that was written first.
            committed = place is not None and contents and one is contents[0 if moved else -1]
            file = None if committed or one.marker else f"{OTHERS}{number}"
            limit = MAX_BLOB if place is not None and place.kind is Kind.BLOB else MAX_BUNDLE
            yield _Copy(one, file, limit, ours=place is not None, may_go=moved and not committed)


def _has(inventory: YearInventory, place: Place) -> bool:
    """Whether an object belongs to the state that was listed, or is later."""
    if place.kind is Kind.CLAIM:
        return (place.number or 0) <= max(inventory.claims, default=-1)
    size = max(inventory.checkpoints, default=0)
    if place.kind is Kind.HEAD:
        return (place.number or 0) <= size
    assert place.tile is not None
    tile = of_ref(place.tile)
    if not place.tile.full:
        return place.tile.index * 256 + place.tile.width == size >> (8 * place.tile.height)
    return tile in inventory.tiles or reach(tile) <= size


def _heads(folder: Folder, inventory: YearInventory) -> list[Version]:
    """The versions of `checkpoint` that are not later than what was listed."""
    marked = [one.version for one in inventory.irregular if one.version.key.endswith("/checkpoint")]
    limit = inventory.limit

    def early(version: Version) -> bool:
        if limit is None:
            return True
        try:
            text = folder.source.read(version.key, MAX_CHECKPOINT, version.version_id)
            return read_head(text, folder.trust, version.key).head.size <= limit
        except (HeadError, *UNUSABLE):
            return True

    kept = folder.source.several(early, inventory.heads)
    return [*marked, *(one for one, is_early in zip(inventory.heads, kept, strict=True) if is_early)]


def _reader(folder: Folder) -> Callable[[_Copy], tuple[_Copy, _Read | None]]:
    def read(one: _Copy) -> tuple[_Copy, _Read | None]:
        if one.version.marker:
            return one, _Read()
        key, version = one.version.key, one.version.version_id
        why, body = "", None
        try:
            body = folder.source.read(key, one.limit, version)
        except ObjectTooLarge as error:
            why = str(error)
        except ObjectMissing as error:
            if one.may_go:
                return one, None
            if one.ours:
                raise
            # Of a key with a control character the store lists another spelling than it knows it by.
            why = str(error)
        return one, _Read(folder.source.retention(key, version), body, why)

    return read


def _rows(page: Page, body: bytes, version: Version) -> int:
    try:
        claim = Claim.decode(body)
    except ClaimError:
        return 0
    year = int(version.key.split("/")[1])
    for index, leaf in enumerate(claim.entries, claim.first):
        page.story.add(year, index, leaf, version.modified)
    return len(claim.entries)


def _parsed(key: str) -> Place | None:
    try:
        return parse(key)
    except LayoutError:
        return None
