"""Write an archive of selected entries: a receipt for each, and the evidence beside them."""

from __future__ import annotations

from collections.abc import Iterator

from interlock.clients.archive import OBJECTS
from interlock.clients.archive_folder import Folder
from interlock.clients.archive_list import encode_entries, encode_version
from interlock.clients.archive_part import PART, receipt_path
from interlock.evidence.log.claim import Claim, ClaimError
from interlock.evidence.log.layout import blob_key, checkpoint_key, tile_key
from interlock.evidence.log.merkle import inclusion_proof
from interlock.evidence.log.receipt import Receipt
from interlock.evidence.log.tiles import TileReader
from interlock.evidence.verification.entry import EntryError, read_entry
from interlock.evidence.verification.heads import HeadError, SignedHead, read_head
from interlock.evidence.verification.inventory import YearInventory
from interlock.evidence.verification.page import Page, Row
from interlock.evidence.verification.selection import Selection
from interlock.evidence.verification.snapshot import take_snapshot
from interlock.evidence.verification.source import (
    MAX_BLOB,
    MAX_CHECKPOINT,
    MAX_CLAIM,
    MAX_TILE,
    SourceError,
    Version,
)


def write_selected(folder: Folder, selection: Selection) -> int:
    """Write the selected entries that are under a signed head; returns how many.

    Raises:
        SourceError: the bucket can't be read, or there is none.
    """
    source = folder.source
    page = Page(folder.trust.log, source.name, str(selection))
    taken: dict[int, list[int]] = {}
    blobs: set[str] = set()
    claims: list[Version] = []
    for year, inventory in sorted(take_snapshot(source, folder.trust).years.items()):
        if not inventory.heads:
            continue
        head = _head(folder, year)
        size, note = head.head.size, head.text.encode()
        read = TileReader(size, lambda ref, year=year: source.read(tile_key(year, ref), MAX_TILE))  # type: ignore[misc]
        for version, claim in _claims(folder, inventory):
            chosen = [
                (index, leaf, blob)
                for index, leaf in enumerate(claim.entries, claim.first)
                if index < size and (blob := _chosen(leaf, selection, version)) is not None
            ]
            claims += [version] if chosen else []
            for index, leaf, blob in chosen:
                path = receipt_path(year, index)
                proof = tuple(inclusion_proof(index, size, read))
                folder.put(path, Receipt(index, proof, note, leaf).encode())
                page.add(Row.of(year, index, leaf, version.modified, path))
                taken.setdefault(year, []).append(index)
                blobs |= {blob} if blob else set()
            folder.progress("entries", claim.end)
    if not taken:
        raise SourceError(f"{source.name}: it has no statement of {selection} under a signed head")
    with folder.versions() as stream:
        stream.write(folder.header(PART, str(selection), closed=selection.closed))
        for year, indexes in taken.items():
            stream.writelines(encode_entries(year, indexes))
        for version, lock in folder.locked(claims):
            stream.write(encode_version(version, lock, None))
        for digest in sorted(blobs):
            versions = [one for one in source.versions(blob_key(digest)) if one.key == blob_key(digest)]
            for version, lock in folder.locked(versions):
                stream.write(encode_version(version, lock, None))
            if contents := [one for one in versions if not one.marker]:
                committed = contents[-1]
                body = source.read(committed.key, MAX_BLOB, committed.version_id)
                folder.put(OBJECTS + committed.key, body)
    folder.put("index.html", page.html())
    return sum(map(len, taken.values()))


def _head(folder: Folder, year: int) -> SignedHead:
    key = checkpoint_key(year)
    try:
        return read_head(folder.source.read(key, MAX_CHECKPOINT), folder.trust, key)
    except HeadError as error:
        raise SourceError(f"{folder.source.name}: {key}: {error}; expected {error.expected}") from None


def _claims(folder: Folder, inventory: YearInventory) -> Iterator[tuple[Version, Claim]]:
    def read(version: Version) -> tuple[Version, Claim]:
        try:
            return version, Claim.decode(folder.source.read(version.key, MAX_CLAIM, version.version_id))
        except ClaimError as error:
            raise SourceError(f"{version.key}: {error}; verify the bucket first") from None

    versions = [inventory.claims[number] for number in sorted(inventory.claims)]
    yield from folder.source.several(read, versions)


def _chosen(leaf: bytes, selection: Selection, version: Version) -> str | None:
    """The digest of the evidence of an entry that is taken, empty where it has none; None: not taken."""
    try:
        entry = read_entry(leaf, None)
    except EntryError:
        return None
    return (entry.blob[0] if entry.blob else "") if selection.takes(entry, version.modified) else None
