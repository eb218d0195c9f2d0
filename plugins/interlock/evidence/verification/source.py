"""What verification reads from: a bucket or an archive of one, through one narrow interface.

Errors:

    SourceError       it can't be read: away, refused, malformed; nothing is said about the evidence
      ObjectMissing   there is no such object, or no such version of it
      ObjectTooLarge  it is larger than anything that belongs there, so it was not read
      ArchiveError    this is no archive, or one that holds what no archive holds; nothing of it was used
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol, TypeVar

from interlock.evidence.log.note import MAX_NOTE_BYTES

T = TypeVar("T")
R = TypeVar("R")

MAX_CLAIM: Final = 4 * 1024 * 1024 + 4096
MAX_BUNDLE: Final = 256 * (65_535 + 2)
MAX_TILE: Final = 256 * 32
MAX_CHECKPOINT: Final = MAX_NOTE_BYTES
MAX_BLOB: Final = 64 * 1024 * 1024


class SourceError(Exception):
    """The source can't be read."""


class ObjectMissing(SourceError):
    """There is no such object or version."""


class ObjectTooLarge(SourceError):
    """The object is larger than anything that belongs there."""


class ArchiveError(SourceError):
    """This is no archive, or one that holds what no archive holds."""


UNUSABLE: Final = (ObjectMissing, ObjectTooLarge)
"""What an object itself is to blame for. Any other SourceError is the store's or the disk's: no finding."""


@dataclass(frozen=True, slots=True)
class Version:
    """One version of an object, as the store lists it.

    Attributes:
        key: the object's key.
        version_id: the store's name of this version; empty: a copy has the object, and says nothing of it.
        latest: whether a plain read gives this version.
        marker: whether it is a delete marker: no content, and a plain read finds nothing.
        size: bytes.
        modified: when the store took it, aware; None where the source doesn't say.
    """

    key: str
    version_id: str
    latest: bool = True
    marker: bool = False
    size: int = 0
    modified: datetime | None = None


@dataclass(frozen=True, slots=True)
class Retention:
    """How a version is locked: "GOVERNANCE" or "COMPLIANCE", and until when, aware."""

    mode: str
    until: datetime


def shifted(at: datetime, by: timedelta) -> datetime:
    """A time moved by a span; what lies outside of the calendar becomes its first or last moment."""
    try:
        return at + by
    except OverflowError:
        return (datetime.max if by > timedelta(0) else datetime.min).replace(tzinfo=UTC)


class Source(Protocol):
    """Gives objects; a bucket gives them as they are now, an archive as its exporter saw them."""

    @property
    def name(self) -> str:
        """What it is, for people: `bucket NAME`, `archive FILE`."""

    @property
    def knows_versions(self) -> bool:
        """Whether all versions and their retention are known; a bare copy of files knows neither."""

    @property
    def live(self) -> bool:
        """Whether it is the store itself that answers, while writers may go on."""

    @property
    def taken_at(self) -> datetime | None:
        """When the copy was made, as its maker says; None: nobody says, or it is no copy."""

    def versions(self, prefix: str, after: str = "") -> Iterator[Version]:
        """All versions of the objects whose key begins with `prefix` and is greater than `after`.

        In the order of the keys (by their UTF-8 bytes), the newest version of a key first.
        """

    def read(self, key: str, limit: int, version_id: str | None = None) -> bytes:
        """An object's content, the newest version where none is named.

        Raises:
            ObjectMissing: it isn't there.
            ObjectTooLarge: it has more than `limit` bytes.
            SourceError: it can't be read.
        """

    def several(self, ask: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
        """`ask` for each of the items, in their order; some at a time where that is faster."""

    def retention(self, key: str, version_id: str) -> Retention | None:
        """How a version is locked; None: not at all.

        Raises:
            SourceError: it can't be asked, or the source doesn't know (`knows_versions`).
        """
