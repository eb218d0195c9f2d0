"""Claims: the log's only commit points, each one object that holds a batch of entries and its place.

    {"at":…,"attempt":…,"closes":false,"count":2,"first":0,"format":1,"number":0,"root":…}
    <entry>
    <entry>

The first line is canonical JSON (RFC 8785); every line ends in a newline, the last one too. Claim n + 1
begins where claim n ended, and names the root of the tree that it found. Who created claim n has written its
entries; `attempt`, drawn at random for each claim, tells after a lost answer whether that was oneself.

Decoding takes time and memory linear in at most `MAX_BYTES`, for any input.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Final

from interlock.evidence.log.merkle import EMPTY_ROOT, HASH_BYTES
from interlock.evidence.log.strict import LogFormatError, from_base64, shown, to_base64
from interlock.evidence.log.tiles import MAX_ENTRY_BYTES
from interlock.evidence.redaction import rfc3339
from interlock.evidence.statement import canonical

FORMAT: Final = 1
MAX_ENTRIES: Final = 1_500
MAX_BYTES: Final = 4 * 1024 * 1024
MAX_HEADER_BYTES: Final = 400
"""Longest first line, without its newline."""
MAX_NUMBER: Final = 2**53 - 1
"""Largest number and first index: what canonical JSON carries exactly."""

_ATTEMPT = re.compile(r"[0-9a-f]{32}")
_FIELDS = ("at", "attempt", "closes", "count", "first", "format", "number", "root")


class ClaimError(LogFormatError):
    """Bytes or values make no claim."""


@dataclass(frozen=True)
class Claim:
    """A batch of entries with its place in the log.

    Attributes:
        number: 0, 1, 2, … within the year's log.
        first: index of its first entry, which is the tree's size before it.
        root: the tree's root before it, 32 bytes.
        attempt: 32 lower-case hex digits, drawn at random for this claim.
        at: the writer's clock, aware.
        closes: whether the year's log ends with it.
        entries: 1 to 1,500 entries, each 1 to 65,535 bytes without newlines.
    """

    number: int
    first: int
    root: bytes
    attempt: str
    at: datetime
    closes: bool
    entries: tuple[bytes, ...] = field(repr=False)

    def __post_init__(self) -> None:
        for name, value in (("number", self.number), ("first", self.first), ("end", self.end)):
            if not 0 <= value <= MAX_NUMBER:
                raise ClaimError(f"claim, {name}: expected 0 to {MAX_NUMBER}, found {value}")
        where = f"claim {self.number}"
        if (self.number == 0) != (self.first == 0):
            raise ClaimError(f"{where}, first: expected 0 in claim 0 and in no other, found {self.first}")
        if len(self.root) != HASH_BYTES:
            raise ClaimError(f"{where}, root: expected {HASH_BYTES} bytes, found {len(self.root)}")
        if self.first == 0 and self.root != EMPTY_ROOT:
            raise ClaimError(f"{where}, root: expected the empty tree's, found {to_base64(self.root)}")
        if not _ATTEMPT.fullmatch(self.attempt):
            raise ClaimError(
                f"{where}, attempt: expected 32 lower-case hex digits, found {shown(self.attempt)}"
            )
        if self.at.tzinfo is None:
            raise ClaimError(f"{where}, at: expected a time with a zone, found {self.at.isoformat()}")
        if not 1 <= len(self.entries) <= MAX_ENTRIES:
            raise ClaimError(f"{where}: expected 1 to {MAX_ENTRIES} entries, found {len(self.entries)}")
        for position, entry in enumerate(self.entries):
            if not 1 <= len(entry) <= MAX_ENTRY_BYTES or b"\n" in entry:
                raise ClaimError(
                    f"{where}, entry {position}: expected one line of 1 to {MAX_ENTRY_BYTES} bytes, "
                    f"found {shown(entry)}"
                )

    @property
    def end(self) -> int:
        """Return the tree's size after it."""
        return self.first + len(self.entries)

    def encode(self) -> bytes:
        """Return the claim's bytes.

        Raises:
            ClaimError: they are more than `MAX_BYTES`.
        """
        data = b"\n".join((self._header(), *self.entries, b""))
        if len(data) > MAX_BYTES:
            raise ClaimError(f"claim {self.number}: expected at most {MAX_BYTES} bytes, found {len(data)}")
        return data

    @classmethod
    def decode(cls, data: bytes) -> Claim:
        """Read what `encode` gives.

        Raises:
            ClaimError: it is anything else, also where it only spells the same values differently.
        """
        if len(data) > MAX_BYTES:
            raise ClaimError(f"claim: expected at most {MAX_BYTES} bytes, found {len(data)}")
        header, newline, rest = data.partition(b"\n")
        if not newline or len(header) > MAX_HEADER_BYTES:
            raise ClaimError(
                f"claim: expected a first line of at most {MAX_HEADER_BYTES} bytes, found {shown(header)}"
            )
        fields = _object(header)
        count, attempt, at, root = (fields[name] for name in ("count", "attempt", "at", "root"))
        lines = rest.count(b"\n")
        if count != lines or not rest.endswith(b"\n"):
            raise ClaimError(
                f"claim: expected {count} entries, each ended by a newline, found {lines} newlines"
            )
        if lines > MAX_ENTRIES:
            raise ClaimError(f"claim: expected at most {MAX_ENTRIES} entries, found {lines}")
        claim = cls(
            number=_integer(fields["number"], "number"),
            first=_integer(fields["first"], "first"),
            root=from_base64(_text(root, "root"), "claim, root", ClaimError, HASH_BYTES),
            attempt=_text(attempt, "attempt"),
            at=_time(_text(at, "at")),
            closes=fields["closes"] is True,
            entries=tuple(rest[:-1].split(b"\n")),
        )
        if header != claim._header():
            raise ClaimError(
                f"claim, first line: expected {shown(claim._header(), 400)}, found {shown(header, 400)}"
            )
        return claim

    def _header(self) -> bytes:
        return canonical(
            {
                "attempt": self.attempt,
                "at": rfc3339(self.at),
                "closes": self.closes,
                "count": len(self.entries),
                "first": self.first,
                "format": FORMAT,
                "number": self.number,
                "root": to_base64(self.root),
            }
        )


def batch(sizes: Iterable[int]) -> int:
    """Return how many of the entries with these sizes in bytes, from the first on, fit into one claim."""
    taken = 0
    room = MAX_BYTES - MAX_HEADER_BYTES - 1
    for size in sizes:
        room -= size + 1
        if room < 0 or taken == MAX_ENTRIES:
            break
        taken += 1
    return taken


def _object(header: bytes) -> dict[str, object]:
    try:
        fields = json.loads(header)
    except (ValueError, RecursionError) as error:
        raise ClaimError(f"claim, first line: expected JSON, found {shown(header)}: {error}") from error
    if not isinstance(fields, dict) or sorted(fields) != sorted(_FIELDS):
        raise ClaimError(
            f"claim, first line: expected the fields {', '.join(_FIELDS)}, found {shown(header, 400)}"
        )
    if fields["format"] != FORMAT:
        raise ClaimError(f"claim, format: expected {FORMAT}, found {fields['format']!r}")
    return fields


def _integer(value: object, name: str) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise ClaimError(f"claim, {name}: expected an integer, found {value!r}")
    return value


def _text(value: object, name: str) -> str:
    if not isinstance(value, str):
        raise ClaimError(f"claim, {name}: expected text, found {value!r}")
    return value


def _time(text: str) -> datetime:
    try:
        at = datetime.fromisoformat(text)
        if at.tzinfo is not None:
            at.astimezone(UTC)  # a time at the calendar's end may not exist in UTC
        return at
    except (ValueError, OverflowError) as error:
        raise ClaimError(f"claim, at: expected an RFC 3339 time, found {shown(text)}") from error
