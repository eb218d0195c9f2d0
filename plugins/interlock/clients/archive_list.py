"""`versions.jsonl`: what versions and locks the exporter of an archive saw.

One JSON object a line, each line ended by a newline. The first is the header: `format`, `bucket`, `log`,
`exported_at`, `kind` ("whole" or "part") and what was asked for. Each other line is one version, by key and
from the newest to the oldest:

    {"etag": …, "file": path or null, "key": …, "last_modified": RFC 3339, "latest": bool, "marker": bool,
     "retention": {"mode": …, "until": RFC 3339} or null, "size": bytes, "version": …}
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Protocol

from interlock.evidence.verification.source import ArchiveError, Retention, Version

FORMAT: Final = 1
MAX_LINE: Final = 16 * 1024
MAX_LINES: Final = 20_000_000


class Lines(Protocol):
    """What the list is read from."""

    def readline(self, size: int = -1, /) -> bytes:
        """A line, at most `size` bytes of it."""


@dataclass(frozen=True, slots=True)
class ListedVersion:
    """A version, how it is locked, and the file that holds its content (None: `objects/KEY`)."""

    version: Version
    retention: Retention | None
    file: str | None


def encode_version(version: Version, retention: Retention | None, file: str | None) -> bytes:
    """A line of the list."""
    line = {
        "key": version.key,
        "version": version.version_id,
        "latest": version.latest,
        "marker": version.marker,
        "size": version.size,
        "last_modified": version.modified.isoformat() if version.modified else None,
        "retention": {"mode": retention.mode, "until": retention.until.isoformat()} if retention else None,
        "file": file,
    }
    return json.dumps(line, sort_keys=True, separators=(",", ":")).encode() + b"\n"


def encode_header(said: Mapping[str, object]) -> bytes:
    """The first line."""
    return json.dumps({"format": FORMAT, **said}, sort_keys=True, separators=(",", ":")).encode() + b"\n"


def read_list(stream: Lines, name: str) -> tuple[Mapping[str, object], dict[str, list[ListedVersion]]]:
    """Read the list: its header, and the versions by key.

    Raises:
        ArchiveError: it is malformed; the message names the line.
    """
    header: Mapping[str, object] | None = None
    found: dict[str, list[ListedVersion]] = {}
    number = 0
    while line := stream.readline(MAX_LINE + 1):
        number += 1
        where = f"{name}: versions.jsonl, line {number}"
        if number > MAX_LINES:
            raise ArchiveError(f"{where}: no archive has so many versions")
        if len(line) > MAX_LINE or not line.endswith(b"\n"):
            raise ArchiveError(f"{where}: longer than {MAX_LINE} bytes, or cut off")
        try:
            said = json.loads(line)
            if header is None:
                if said["format"] != FORMAT:
                    raise ArchiveError(f"{where}: format {said['format']!r}; this version reads {FORMAT}")
                header = said
                continue
            one = _version(said)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ArchiveError(f"{where}: not a version: {type(error).__name__}: {error}"[:300]) from None
        found.setdefault(one.version.key, []).append(one)
    if header is None:
        raise ArchiveError(f"{name}: versions.jsonl is empty")
    return header, found


def _version(said: dict[str, Any]) -> ListedVersion:
    modified, lock, file = said["last_modified"], said["retention"], said["file"]
    if (
        type(said["size"]) is not int
        or not isinstance(said["key"], str)
        or not (file is None or isinstance(file, str))
    ):
        raise ValueError("its size, key or file is something else")
    return ListedVersion(
        Version(
            said["key"],
            str(said["version"]),
            bool(said["latest"]),
            bool(said["marker"]),
            said["size"],
            None if modified is None else _time(modified),
        ),
        None if lock is None else Retention(str(lock["mode"]), _time(lock["until"])),
        file,
    )


def _time(text: str) -> datetime:
    found = datetime.fromisoformat(text)
    if found.tzinfo is None:
        raise ValueError(f"the time {text} has no offset")
    return found
