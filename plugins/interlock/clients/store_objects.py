"""What an object store keeps: objects, their versions, and how they are locked."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import Any


class Keep(Enum):
    """For how long an object is locked."""

    LASTING = "lasting"
    """What can't be made again: for the retention of the settings."""
    DERIVED = "derived"
    """What can be derived from lasting objects, or is soon replaced: for a day."""


@dataclass(frozen=True)
class Retention:
    """How an object is locked: its mode, and until when."""

    mode: str
    until: datetime


@dataclass(frozen=True)
class Object:
    """What is kept under a key.

    Attributes:
        body: the content.
        etag: what `replace` compares, as the store writes it.
        last_modified: when the store wrote it, by the store's clock, in whole seconds.
        version_id: its version.
        retention: how it is locked; None where it isn't, or where the reader may not know.
    """

    body: bytes
    etag: str
    last_modified: datetime
    version_id: str
    retention: Retention | None = None


@dataclass(frozen=True)
class Version:
    """One version of a key, or one delete marker.

    Attributes:
        key: the key.
        version_id: the version.
        latest: whether it is what the key shows now.
        marker: whether it is a delete marker; it then has no size and no etag.
        size: bytes.
        last_modified: when the store wrote it.
        etag: as in Object.
    """

    key: str
    version_id: str
    latest: bool
    marker: bool
    size: int
    last_modified: datetime
    etag: str


def in_utc(told: datetime) -> datetime:
    """A time that the store told, in UTC."""
    return told.astimezone(UTC)


def retention_in(answer: dict[str, Any]) -> Retention | None:
    """The retention in the header fields of an answer, where it has them."""
    mode, until = answer.get("ObjectLockMode"), answer.get("ObjectLockRetainUntilDate")
    return Retention(str(mode), in_utc(until)) if mode and until else None


def listed(item: dict[str, Any], *, marker: bool) -> Version:
    """A version, or a delete marker, as ListObjectVersions gives it."""
    return Version(
        key=str(item["Key"]),
        version_id=str(item.get("VersionId") or "null"),
        latest=bool(item["IsLatest"]),
        marker=marker,
        size=int(item.get("Size") or 0),
        last_modified=in_utc(item["LastModified"]),
        etag=str(item.get("ETag") or ""),
    )
