"""Write an archive of selected entries: a receipt for each, and the evidence beside them.

What the seals among them list is taken, too, also where the selection would leave it out: so a run that went
on over midnight is whole in the part of its last day.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from interlock.clients.archive import OBJECTS
from interlock.clients.archive_folder import Folder
from interlock.clients.archive_list import encode_entries, encode_version
from interlock.clients.archive_part import PART, receipt_path
from interlock.evidence.log.claim import Claim, ClaimError
from interlock.evidence.log.layout import blob_key, checkpoint_key, tile_key
from interlock.evidence.log.merkle import inclusion_proof
from interlock.evidence.log.receipt import Receipt
from interlock.evidence.log.tiles import TileReader
from interlock.evidence.verification.entry import Entry, EntryError, read_entry
from interlock.evidence.verification.heads import HeadError, SignedHead, read_head
from interlock.evidence.verification.inventory import YearInventory
from interlock.evidence.verification.page import Page
from interlock.evidence.verification.runs import listed
from interlock.evidence.verification.selection import Selection
from interlock.evidence.verification.snapshot import take_snapshot
from interlock.evidence.verification.source import (
    MAX_BLOB,
    MAX_CHECKPOINT,
    MAX_CLAIM,
    MAX_TILE,
    ObjectTooLarge,
    Source,
    SourceError,
    Version,
)


@dataclass
class _Taken:
    """What is taken so far.

    Attributes:
        indexes: of entries, by year and number of their claim.
        digests: of statements.
        listed: digests that the seals among them list.
    """

    indexes: dict[int, dict[int, set[int]]] = field(default_factory=dict)
    digests: set[str] = field(default_factory=set)
    listed: set[str] = field(default_factory=set)

    def take(self, year: int, claim: Claim, index: int, entry: Entry, source: Source) -> None:
        """Take an entry; of a seal also what it lists, if that is in the log."""
        self.indexes.setdefault(year, {}).setdefault(claim.number, set()).add(index)
        self.digests.add(entry.digest)
        if entry.kind == "seal":
            self.listed |= listed(entry, source) or set()


def write_selected(folder: Folder, selection: Selection) -> int:
    """Write the selected entries that are under a signed head; returns how many.

    Raises:
        SourceError: the bucket can't be read, or there is none.
    """
    source = folder.source
    years = {
        year: (inventory, _head(folder, year))
        for year, inventory in sorted(take_snapshot(source, folder.trust).years.items())
        if inventory.heads
    }
    taken = _Taken()
    for year, version, claim, index, entry in _entries(folder, years):
        if selection.takes(entry, version.modified):
            taken.take(year, claim, index, entry, source)
    while more := taken.listed - taken.digests:
        for year, _, claim, index, entry in _entries(folder, years):
            if entry.digest in more:
                taken.take(year, claim, index, entry, source)
        taken.digests |= more  # what is not in the log was looked for, too
    if not taken.indexes:
        raise SourceError(f"{source.name}: it has no statement of {selection} under a signed head")
    page = Page(folder.trust.log, source.name, str(selection))
    versions: list[Version] = []
    blobs: set[str] = set()
    for year, claims in taken.indexes.items():
        inventory, head = years[year]
        versions += _versions_of(inventory, claims)
        blobs |= _write(folder, page, year, inventory, head, claims)
    with folder.versions() as stream:
        stream.write(folder.header(PART, str(selection), selection=selection.to_json()))
        for year, claims in taken.indexes.items():
            for number, indexes in sorted(claims.items()):
                stream.writelines(encode_entries(year, number, sorted(indexes)))
        for version, lock in folder.locked(versions):
            stream.write(encode_version(version, lock, None))
        for digest in sorted(blobs):
            several = [one for one in source.versions(blob_key(digest)) if one.key == blob_key(digest)]
            for version, lock in folder.locked(several):
                stream.write(encode_version(version, lock, None))
            if contents := [one for one in several if not one.marker]:
                _write_blob(folder, contents[-1])
    folder.put("index.html", page.html())
    return page.story.count


_Years = Mapping[int, tuple[YearInventory, SignedHead]]


def _entries(folder: Folder, years: _Years) -> Iterator[tuple[int, Version, Claim, int, Entry]]:
    """All entries that can be read and are under a signed head, with their year and claim."""
    for year, (inventory, head) in years.items():
        for version, claim in _claims(folder, inventory, inventory.claims):
            for index, leaf in enumerate(claim.entries, claim.first):
                if index < head.head.size and (entry := _read(leaf)) is not None:
                    yield year, version, claim, index, entry
            folder.progress("entries", claim.end)


def _read(leaf: bytes) -> Entry | None:
    try:
        return read_entry(leaf, None)
    except EntryError:
        return None


def _write(
    folder: Folder,
    page: Page,
    year: int,
    inventory: YearInventory,
    head: SignedHead,
    taken: Mapping[int, set[int]],
) -> set[str]:
    """Write the receipts of entries of a year; returns the digests of the evidence that they name."""
    size, note = head.head.size, head.text.encode()
    read = TileReader(size, lambda ref: folder.source.read(tile_key(year, ref), MAX_TILE))
    blobs: set[str] = set()
    for version, claim in _claims(folder, inventory, taken):
        for index in sorted(taken[claim.number]):
            leaf = claim.entries[index - claim.first]
            path = receipt_path(year, index)
            folder.put(path, Receipt(index, tuple(inclusion_proof(index, size, read)), note, leaf).encode())
            page.story.add(year, index, leaf, version.modified, path)
            if (entry := _read(leaf)) is not None and entry.blob is not None:
                blobs.add(entry.blob[0])
    return blobs


def _versions_of(inventory: YearInventory, numbers: Iterable[int]) -> Iterator[Version]:
    """All versions of claims, also those that should not be there; each key's newest first."""
    for number in sorted(numbers):
        committed = inventory.claims[number]
        others = [one.version for one in inventory.irregular if one.version.key == committed.key]
        yield from sorted(others, key=lambda one: not one.latest)
        yield committed


def _write_blob(folder: Folder, version: Version) -> None:
    try:
        body = folder.source.read(version.key, MAX_BLOB, version.version_id)
    except ObjectTooLarge as error:
        folder.leave_out(version.key, str(error))
    else:
        folder.put(OBJECTS + version.key, body)


def _head(folder: Folder, year: int) -> SignedHead:
    key = checkpoint_key(year)
    try:
        return read_head(folder.source.read(key, MAX_CHECKPOINT), folder.trust, key)
    except HeadError as error:
        raise SourceError(f"{folder.source.name}: {key}: {error}; expected {error.expected}") from None


def _claims(
    folder: Folder, inventory: YearInventory, numbers: Iterable[int]
) -> Iterator[tuple[Version, Claim]]:
    def read(number: int) -> tuple[Version, Claim]:
        version = inventory.claims[number]
        try:
            claim = Claim.decode(folder.source.read(version.key, MAX_CLAIM, version.version_id))
        except ClaimError as error:
            raise SourceError(f"{version.key}: {error}; verify the bucket first") from None
        if claim.number != number:
            raise SourceError(f"{version.key}: it is claim {claim.number}; verify the bucket first")
        return version, claim

    yield from folder.source.several(read, sorted(numbers))
