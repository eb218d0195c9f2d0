"""Where the objects of the evidence store are, how long each is kept, and what a key found there stands for.

    evidence/sha256/<hex>          a blob
    keys/<key id>.vkey             a verifier key
    log/<year>/seq/<20 digits>     a claim
    log/<year>/tile/…              a hash tile or an entry bundle
    log/<year>/checkpoints/<20 digits>   a head at a size that was published
    log/<year>/checkpoint          the newest head

`log/<year>/` is the prefix of a tlog-tiles log. What a later object replaces (partial tiles, the newest
head) is kept for a short time only; everything else is lasting.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from interlock.evidence.log.strict import MAX_SIZE, LogFormatError, shown
from interlock.evidence.log.tiles import TileError, TileRef

LOGS: Final = "log/"
BLOBS: Final = "evidence/sha256/"
KEYS: Final = "keys/"

_DIGITS: Final = 20
_YEARS: Final = range(1000, 10_000)
_YEAR = re.compile(r"[1-9][0-9]{3}")
_NUMBER = re.compile(rf"[0-9]{{{_DIGITS}}}")
_KEYID = re.compile(r"[0-9a-f]{8}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


class LayoutError(LogFormatError):
    """No key, or part of a key, of this layout."""


class Kind(StrEnum):
    """What an object is."""

    BLOB = "blob"
    KEY = "verifier key"
    CLAIM = "claim"
    TILE = "tile"
    HEAD = "head"
    NEWEST = "newest head"


_CONTENT_TYPES: Final = {
    Kind.BLOB: "application/json",
    Kind.KEY: "text/plain; charset=utf-8",
    Kind.CLAIM: "application/jsonl",
    Kind.TILE: "application/octet-stream",
    Kind.HEAD: "text/plain; charset=utf-8",
    Kind.NEWEST: "text/plain; charset=utf-8",
}


@dataclass(frozen=True)
class Place:
    """What a key stands for; the attributes that its kind does not have are None.

    Attributes:
        kind: what it is.
        year: the log's year.
        number: a claim's number, or a head's tree size.
        tile: a tile's place.
        digest: a blob's SHA-256 (64 hex digits) or a verifier key's id (8).
    """

    kind: Kind
    year: int | None = None
    number: int | None = None
    tile: TileRef | None = None
    digest: str | None = None

    @property
    def lasting(self) -> bool:
        """Return whether it is kept for the full retention: it can neither be replaced nor be superseded."""
        return self.kind is not Kind.NEWEST and (self.tile is None or self.tile.full)

    @property
    def content_type(self) -> str:
        """Return the Content-Type that it is stored with."""
        return _CONTENT_TYPES[self.kind]


def prefix(year: int) -> str:
    """Return the prefix of a year's log, with a slash at its end."""
    if year not in _YEARS:
        raise LayoutError(f"year: expected four digits, found {year}")
    return f"{LOGS}{year}/"


def origin(name: str, year: int) -> str:
    """Return the origin line of a year's log: `<log name>/<year>`."""
    if year not in _YEARS:
        raise LayoutError(f"year: expected four digits, found {year}")
    return f"{name}/{year}"


def year_of(origin: str, name: str) -> int | None:
    """Return the year of the log with this origin, or None if it is no log with this name."""
    head, _, year = origin.rpartition("/")
    return int(year) if head == name and _YEAR.fullmatch(year) else None


def seq_prefix(year: int) -> str:
    """Return the prefix of a year's claims."""
    return f"{prefix(year)}seq/"


def seq_key(year: int, number: int) -> str:
    """Return the key of claim `number`."""
    return seq_prefix(year) + _twenty(number)


def tile_key(year: int, ref: TileRef) -> str:
    """Return the key of a tile or bundle."""
    return prefix(year) + ref.path()


def checkpoints_prefix(year: int) -> str:
    """Return the prefix of a year's published heads."""
    return f"{prefix(year)}checkpoints/"


def head_key(year: int, size: int) -> str:
    """Return the key of the head at a size."""
    return checkpoints_prefix(year) + _twenty(size)


def checkpoint_key(year: int) -> str:
    """Return the key of the newest head."""
    return f"{prefix(year)}checkpoint"


def blob_key(digest: str) -> str:
    """Return the key of the blob with this SHA-256, 64 lower-case hex digits."""
    if not _SHA256.fullmatch(digest):
        raise LayoutError(f"blob: expected 64 lower-case hex digits, found {shown(digest)}")
    return BLOBS + digest


def vkey_key(keyid: str) -> str:
    """Return the key of a verifier key, by its id of 8 lower-case hex digits."""
    if not _KEYID.fullmatch(keyid):
        raise LayoutError(f"verifier key: expected 8 lower-case hex digits, found {shown(keyid)}")
    return f"{KEYS}{keyid}.vkey"


def parse(key: str) -> Place:
    """Return what a key stands for.

    Raises:
        LayoutError: it is none of this layout; the message says from where on.
    """
    if key.startswith(BLOBS) and _SHA256.fullmatch(digest := key.removeprefix(BLOBS)):
        return Place(Kind.BLOB, digest=digest)
    if key.startswith(KEYS) and key.endswith(".vkey"):
        keyid = key.removeprefix(KEYS).removesuffix(".vkey")
        if _KEYID.fullmatch(keyid):
            return Place(Kind.KEY, digest=keyid)
    log, _, rest = key.removeprefix(LOGS).partition("/")
    if not key.startswith(LOGS) or not _YEAR.fullmatch(log):
        raise LayoutError(f"key: expected evidence/sha256/…, keys/… or log/<year>/…, found {shown(key, 100)}")
    return _in_log(int(log), rest)


def _in_log(year: int, path: str) -> Place:
    if path == "checkpoint":
        return Place(Kind.NEWEST, year)
    for folder, kind in (("seq/", Kind.CLAIM), ("checkpoints/", Kind.HEAD)):
        number = path.removeprefix(folder)
        if path.startswith(folder) and _NUMBER.fullmatch(number) and int(number) <= MAX_SIZE:
            return Place(kind, year, number=int(number))
    if path.startswith("tile/"):
        try:
            return Place(Kind.TILE, year, tile=TileRef.parse(path))
        except TileError as error:
            raise LayoutError(f"key in the log of {year}: {error}") from error
    raise LayoutError(
        f"key in the log of {year}: expected checkpoint, checkpoints/<20 digits>, seq/<20 digits> or tile/…, "
        f"found {shown(path, 100)}"
    )


def _twenty(number: int) -> str:
    if not 0 <= number <= MAX_SIZE:
        raise LayoutError(f"number in a key: expected 0 to {MAX_SIZE}, found {number}")
    return f"{number:0{_DIGITS}}"
