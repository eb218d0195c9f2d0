"""Write an archive of a bucket, or of a part of it, for an auditor: self-contained, with a page to read.

It is written beside its place under another name, and moved there when it is whole. Nothing of what the
bucket says becomes a path: an object whose key is none of the layout's is kept under a number.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from itertools import groupby
from pathlib import Path
from typing import Any, Final

from interlock.clients.archive import LIST, OBJECTS
from interlock.clients.archive_list import encode_header, encode_version
from interlock.clients.archive_part import PART, WHOLE, receipt_path
from interlock.evidence.log.claim import Claim, ClaimError
from interlock.evidence.log.layout import Kind, LayoutError, blob_key, checkpoint_key, parse, tile_key
from interlock.evidence.log.merkle import inclusion_proof
from interlock.evidence.log.note import VerifierKey
from interlock.evidence.log.receipt import Receipt
from interlock.evidence.log.tiles import TileReader
from interlock.evidence.verification.entry import EntryError, read_entry
from interlock.evidence.verification.heads import HeadError, SignedHead, read_head
from interlock.evidence.verification.inventory import YearInventory, take_inventory
from interlock.evidence.verification.page import Page, Row
from interlock.evidence.verification.selection import Selection
from interlock.evidence.verification.source import (
    MAX_BLOB,
    MAX_CHECKPOINT,
    MAX_CLAIM,
    MAX_TILE,
    Retention,
    Source,
    SourceError,
    Version,
)
from interlock.evidence.verification.trust import Trust
from interlock.evidence.verification.verify import Progress

CHECKPOINT_KEYS: Final = "checkpoint-keys.vkey"
STATEMENT_KEYS: Final = "statement-keys.vkey"
OTHERS: Final = "others/"


@dataclass(frozen=True)
class Exported:
    """What was written.

    Attributes:
        folder: where.
        what: the selection, in words.
        entries: how many.
        files: how many.
    """

    folder: str
    what: str
    entries: int
    files: int

    def to_json(self) -> Mapping[str, object]:
        """As JSON."""
        return asdict(self)

    def __str__(self) -> str:
        """For people."""
        return (
            f"wrote {self.what}: {self.entries} entries in {self.files} files to {self.folder}\n"
            f"verify it, with keys from elsewhere: interlock-verify archive {self.folder} --key FILE "
            f"--statement-key FILE"
        )


def export(
    source: Source,
    trust: Trust,
    checkpoint_keys: Sequence[VerifierKey],
    statement_keys: Sequence[VerifierKey],
    selection: Selection,
    target: Path,
    *,
    progress: Progress,
) -> Exported:
    """Write an archive.

    Args:
        source: the bucket.
        trust: the keys; heads that they did not sign are not used.
        checkpoint_keys: copied into the archive as information.
        statement_keys: the same.
        selection: what to take.
        target: a folder that isn't there, or is empty.
        progress: told how far it is.

    Raises:
        SourceError: the bucket can't be read, or has none of this.
        OSError: the folder can't be written.
    """
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise SourceError(f"{target}: it is there already, and not empty")
    target.parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
    try:
        writer = _Writer(folder, source, trust, progress)
        done = writer.whole(selection) if selection.whole else writer.part(selection)
        writer.put(CHECKPOINT_KEYS, "".join(f"{key.text}\n" for key in checkpoint_keys).encode())
        if statement_keys:
            writer.put(STATEMENT_KEYS, "".join(f"{key.text}\n" for key in statement_keys).encode())
        if target.exists():
            target.rmdir()
        folder.chmod(0o755)
        folder.rename(target)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return Exported(str(target), str(selection), done, writer.files)


class _Writer:
    def __init__(self, folder: Path, source: Source, trust: Trust, progress: Progress) -> None:
        self._folder, self._source, self._trust, self._progress = folder, source, trust, progress
        self.files = 0

    def put(self, path: str, content: bytes) -> None:
        """Write a file."""
        file = self._folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        self.files += 1

    def _header(self, kind: str, selection: Selection, **more: Any) -> bytes:
        return encode_header(
            {
                "kind": kind,
                "source": self._source.name,
                "log": self._trust.log,
                "what": str(selection),
                "exported_at": datetime.now(UTC).isoformat(),
                **more,
            }
        )

    # All of it

    def whole(self, selection: Selection) -> int:
        """Copy everything but the partial tiles of older heads."""
        inventories = take_inventory(self._source)
        if not inventories:
            raise SourceError(f"{self._source.name}: no log in it (none under log/YEAR/): another bucket?")
        sizes = {year: self._size(inventory) for year, inventory in inventories.items()}
        page = Page(self._trust.log, self._source.name, str(selection))
        entries = 0
        with (self._folder / LIST).open("wb") as stream:
            self.files += 1
            stream.write(self._header(WHOLE, selection))
            for done, (version, lock, file, body) in enumerate(
                self._source.several(self._copied, self._wanted(sizes)), 1
            ):
                stream.write(encode_version(version, lock, file))
                if body is not None:
                    self.put(file or OBJECTS + version.key, body)
                if body is not None and file is None and "/seq/" in version.key:
                    entries += self._rows(page, body, version)
                self._progress("objects", done)
        self.put("index.html", page.html())
        return entries

    def _size(self, inventory: YearInventory) -> int:
        return max(inventory.checkpoints, default=0)

    def _wanted(self, sizes: Mapping[int, int]) -> Iterator[tuple[Version, str | None, bool]]:
        """Each version, its file unless it is the committed one of a known key, and whether to copy."""
        number = 0
        for key, versions in groupby(self._source.versions(""), key=lambda version: version.key):
            known = _parsed(key)
            if known is not None and known.tile is not None and not known.tile.full:
                size = sizes.get(known.year or 0, 0) >> (8 * known.tile.height)
                if known.tile.index * 256 + known.tile.width != size:
                    continue
            several = list(versions)
            if known is not None and known.kind is Kind.NEWEST:
                several = several[:1]  # the heads before it are among checkpoints/
            contents = [one for one in several if not one.marker]
            for one in several:
                number += 1
                committed = known is not None and contents and one is contents[-1]
                yield one, None if committed or one.marker else f"{OTHERS}{number}", not one.marker

    def _copied(
        self, item: tuple[Version, str | None, bool]
    ) -> tuple[Version, Retention | None, str | None, bytes | None]:
        version, file, copy = item
        if not copy:
            return version, None, None, None
        body = self._source.read(version.key, MAX_BLOB, version.version_id)
        return version, self._source.retention(version.key, version.version_id), file, body

    def _rows(self, page: Page, body: bytes, version: Version) -> int:
        try:
            claim = Claim.decode(body)
        except ClaimError:
            return 0
        year = int(version.key.split("/")[1])
        for index, leaf in enumerate(claim.entries, claim.first):
            page.add(Row.of(year, index, leaf, version.modified, ""))
        return len(claim.entries)

    # A part

    def part(self, selection: Selection) -> int:
        """Write the selected entries with a receipt each, and their evidence."""
        page = Page(self._trust.log, self._source.name, str(selection))
        taken: dict[int, list[int]] = {}
        blobs: set[str] = set()
        claims: list[Version] = []
        for year, inventory in sorted(take_inventory(self._source).items()):
            head, note = self._head(year)
            read = self._reader(year, head.head.size)
            for version, first, entries in self._claims(inventory):
                chosen = [
                    (index, leaf, blob)
                    for index, leaf in enumerate(entries, first)
                    if index < head.head.size and (blob := _chosen(leaf, selection, version)) is not None
                ]
                claims += [version] if chosen else []
                for index, leaf, blob in chosen:
                    proof = tuple(inclusion_proof(index, head.head.size, read))
                    path = receipt_path(year, index)
                    self.put(path, Receipt(index, proof, note, leaf).encode())
                    page.add(Row.of(year, index, leaf, version.modified, path))
                    taken.setdefault(year, []).append(index)
                    blobs |= {blob} if blob else set()
                self._progress("entries", first + len(entries))
        count = sum(map(len, taken.values()))
        if not count:
            raise SourceError(f"{self._source.name}: it has no statement of {selection} under a signed head")
        header = self._header(
            PART, selection, closed=selection.closed, entries={str(year): one for year, one in taken.items()}
        )
        self._list(header, claims, sorted(blobs))
        self.put("index.html", page.html())
        return count

    def _list(self, header: bytes, claims: Iterable[Version], blobs: Iterable[str]) -> None:
        with (self._folder / LIST).open("wb") as stream:
            self.files += 1
            stream.write(header)
            for version, lock in self._source.several(self._locked, claims):
                stream.write(encode_version(version, lock, None))
            for digest in blobs:
                versions = [
                    one for one in self._source.versions(blob_key(digest)) if one.key == blob_key(digest)
                ]
                for one in versions:
                    version, lock = (one, None) if one.marker else self._locked(one)
                    stream.write(encode_version(version, lock, None))
                if contents := [one for one in versions if not one.marker]:
                    committed = contents[-1]
                    body = self._source.read(committed.key, MAX_BLOB, committed.version_id)
                    self.put(OBJECTS + committed.key, body)

    def _locked(self, version: Version) -> tuple[Version, Retention | None]:
        return version, self._source.retention(version.key, version.version_id)

    def _head(self, year: int) -> tuple[SignedHead, bytes]:
        key = checkpoint_key(year)
        note = self._source.read(key, MAX_CHECKPOINT)
        try:
            return read_head(note, self._trust, key), note
        except HeadError as error:
            raise SourceError(f"{self._source.name}: {key}: {error}; expected {error.expected}") from None

    def _reader(self, year: int, size: int) -> TileReader:
        return TileReader(size, lambda ref: self._source.read(tile_key(year, ref), MAX_TILE))

    def _claims(self, inventory: YearInventory) -> Iterator[tuple[Version, int, tuple[bytes, ...]]]:
        def read(version: Version) -> tuple[Version, Claim]:
            try:
                return version, Claim.decode(self._source.read(version.key, MAX_CLAIM, version.version_id))
            except ClaimError as error:
                raise SourceError(f"{version.key}: {error}; verify the bucket first") from None

        versions = [inventory.claims[number] for number in sorted(inventory.claims)]
        for version, claim in self._source.several(read, versions):
            yield version, claim.first, claim.entries


def _chosen(leaf: bytes, selection: Selection, version: Version) -> str | None:
    """The digest of the evidence of an entry that is taken, empty where it has none; None: not taken."""
    try:
        entry = read_entry(leaf, None)
    except EntryError:
        return None
    return (entry.blob[0] if entry.blob else "") if selection.takes(entry, version.modified) else None


def _parsed(key: str) -> Any:
    try:
        return parse(key)
    except LayoutError:
        return None
