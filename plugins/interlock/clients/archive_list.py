"""`versions.jsonl`: what versions and locks the exporter of an archive saw.

One JSON object a line, each line ended by a newline. The first is the header: `format`, `source`, `log`,
`exported_at`, `kind` ("whole" or "part") and what was asked for, of a part as `selection`. In a part, lines
follow that say which entries it has, at most some hundred of one claim each:

    {"claim": number, "entries": [index, …], "year": …}

Each other line is one version, by key and from the newest to the oldest:

    {"file": path or null, "key": …, "last_modified": RFC 3339, "latest": bool, "marker": bool,
     "retention": {"mode": …, "until": RFC 3339} or null, "size": bytes, "version": …}
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final, Protocol

from interlock.clients.archive_versions import Lines
from interlock.evidence.log.claim import MAX_NUMBER
from interlock.evidence.verification.source import ArchiveError, Retention, Version

FORMAT: Final = 2
OLDER: Final = 1
"""In this format a part's header has all its entries, so it holds no more than a line does."""
ENTRIES: Final = 800
"""Entries in a line."""
MAX_LINE: Final = 16 * 1024
MAX_LINES: Final = 20_000_000


class Readable(Protocol):
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


def encode_entries(year: int, claim: int, indexes: Sequence[int]) -> Iterator[bytes]:
    """The lines that say which entries of a claim a part has."""
    for at in range(0, len(indexes), ENTRIES):
        line = {"year": year, "claim": claim, "entries": list(indexes[at : at + ENTRIES])}
        yield json.dumps(line, sort_keys=True, separators=(",", ":")).encode() + b"\n"


@dataclass
class Listed:
    """What the list says.

    Attributes:
        header: its first line.
        lines: of versions, by key, the newest first.
        entries: by year and index, which ones a part has, and the number of their claim where it says that.
    """

    header: Mapping[str, object] = field(default_factory=dict)
    lines: Lines = field(default_factory=Lines)
    entries: dict[int, dict[int, int | None]] = field(default_factory=dict)

    def take_entries(self, year: object, indexes: object, claim: object = None) -> None:
        """Take a line with entries.

        Raises:
            ValueError: it is none.
        """
        if not isinstance(indexes, list) or not all(type(one) is int and one >= 0 for one in indexes):
            raise ValueError("its entries are no indexes")
        number = claim if type(claim) is int else None
        if number != claim or not 0 <= (number or 0) <= MAX_NUMBER:
            raise ValueError("its claim is no number")
        self.entries.setdefault(_year(year), {}).update(dict.fromkeys(indexes, number))


def read_list(stream: Readable, name: str) -> Listed:
    """Read the list.

    Raises:
        ArchiveError: it is malformed; the message names the line.
    """
    found = Listed()
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
            if number == 1:
                _header(found, said, where)
            elif "entries" in said:
                found.take_entries(said["year"], said["entries"], said.get("claim"))
            else:
                found.lines.add(read_version(said).version.key, number, line)
        except ArchiveError as error:
            raise ArchiveError(f"{where}: {error}") from None
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            what = "no header" if number == 1 else "not a version"
            raise ArchiveError(f"{where}: {what}: {type(error).__name__}: {error}"[:300]) from None
    if not number:
        raise ArchiveError(f"{name}: versions.jsonl is empty")
    return found


def _header(found: Listed, said: dict[str, Any], where: str) -> None:
    if said["format"] not in (FORMAT, OLDER):
        raise ArchiveError(f"{where}: format {said['format']!r}; this version reads {OLDER} and {FORMAT}")
    found.header = said
    for year, indexes in said.get("entries", {}).items():
        found.take_entries(year, indexes)


def read_version(said: dict[str, Any]) -> ListedVersion:
    """What a line says of a version.

    Raises:
        ValueError, KeyError, TypeError, AttributeError: it is none.
    """
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


def _year(said: object) -> int:
    year = int(str(said))
    if not 1000 <= year <= 9999:
        raise ValueError(f"there is no log of the year {year}")
    return year


def _time(text: str) -> datetime:
    found = datetime.fromisoformat(text)
    if found.tzinfo is None:
        raise ValueError(f"the time {text} has no offset")
    return found
