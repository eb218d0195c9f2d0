"""Take out of a statement what it may not say: fields off the list, and values that look like a secret.

`clean` is a pure function from what an operator knows to what a statement may carry. A field that is not on
the predicate type's allow-list is dropped and counted. A value that looks like a secret is replaced with
`{"redacted": rule}`, whole: a reader learns that something was there and which rule held it back, never a
part of it.

This is a net, not a proof: a secret that looks like an ordinary word passes. That is why the allow-list comes
first, and why clients hand over key names and versions instead of values.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final, TypeAlias, TypeGuard

from interlock.evidence.predicates import Allowed

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"

_RULES: Final = (
    ("private-key", re.compile(r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY")),
    ("vault-token", re.compile(r"\b(?:hv[sbr]\.[\w-]{20,}|[sbr]\.[A-Za-z0-9]{24,})")),
    ("aws-access-key", re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b")),
    ("github-token", re.compile(r"\b(?:gh[pousr]_[A-Za-z0-9]{30,}|github_pat_\w{20,})")),
    ("gitlab-token", re.compile(r"\bgl(?:pat|dt|rt)-[\w-]{20,}")),
    ("slack-token", re.compile(r"\bxox[abeoprs]-[\w-]{10,}")),
    ("json-web-token", re.compile(r"\beyJ[\w-]{8,}\.eyJ[\w-]{8,}\.[\w-]+")),
    ("url-credentials", re.compile(r"\b[a-z][a-z0-9+.-]*://[^/\s:@]*:[^/\s@]+@", re.IGNORECASE)),
    ("authorization", re.compile(r"\b(?:bearer|basic)\s+[\w+/.~=-]{16,}", re.IGNORECASE)),
    (
        "assignment",
        re.compile(
            r"(?:passw(?:or)?d|passphrase|secret|token|api[_-]?key|access[_-]?key|credentials?)[\"']?\s*[=:]\s*"
            r"[\"']?[^\s\"']{4,}",
            re.IGNORECASE,
        ),
    ),
)
_SECRET_NAME: Final = re.compile(
    r"passw(?:or)?d|passphrase|secret|token|api[_-]?key|private[_-]?key|access[_-]?key|credential",
    re.IGNORECASE,
)
_REFERENCE: Final = re.compile(
    r"(?:^|\.)(?:image|secretName|secretRef\.(?:name|optional)|secretKeyRef\.(?:name|key|optional))$"
)
"""Fields that name an image or a Secret, whatever the things around them are called."""
_BESIDE_A_PATH: Final = frozenset({"before", "after", "expected", "found"})
_DENSE: Final = re.compile(r"[A-Za-z0-9+/_=-]{32,}")
_DENSE_BITS: Final = 4.3
_SAFE_INTEGER: Final = 2**53 - 1


class UnspeakableValueError(ValueError):
    """A value that has no place in a statement: its type is neither JSON nor a time."""


@dataclass(frozen=True)
class Redaction:
    """One value that was held back: where, and by which rule."""

    path: str
    rule: str


@dataclass(frozen=True)
class Cleaned:
    """What a statement may carry, and what was kept out of it.

    Attributes:
        fields: the allowed fields, as JSON.
        dropped: number of fields that are not on the list.
        redactions: values of allowed fields that look like a secret.
    """

    fields: dict[str, Json]
    dropped: int
    redactions: tuple[Redaction, ...]


def secret_rule(text: str) -> str | None:
    """Return the name of the first rule by which `text` looks like a secret, or None."""
    for name, pattern in _RULES:
        if pattern.search(text):
            return name
    for run in _DENSE.findall(text):
        mixed = re.search(r"[a-z]", run) and re.search(r"[A-Z]", run) and re.search(r"[0-9]", run)
        if mixed and _bits_per_character(run) >= _DENSE_BITS:
            return "high-entropy"
    return None


def names_a_secret(path: str) -> bool:
    """Whether a field's name, or the path that leads to it, says that its value is a secret."""
    return bool(_SECRET_NAME.search(path)) and not _REFERENCE.search(path)


def redact_text(text: str) -> str:
    """Return `text`, or `redacted:<rule>` where only a string can stand, as in a subject's name."""
    rule = secret_rule(text)
    return text if rule is None else f"redacted:{rule}"


def clean(fields: Mapping[str, object], allowed: Allowed) -> Cleaned:
    """Return what of `fields` a statement may carry.

    Times become RFC 3339 in UTC, durations seconds, integers beyond 2**53 strings (RFC 8785 has no others).

    Raises:
        UnspeakableValueError: an allowed field has a value that is neither JSON nor a time.
    """
    cleaner = _Cleaner()
    kept = cleaner.mapping(fields, allowed, "")
    return Cleaned(kept, cleaner.dropped, tuple(cleaner.redactions))


class _Cleaner:
    def __init__(self) -> None:
        self.dropped = 0
        self.redactions: list[Redaction] = []

    def mapping(self, fields: Mapping[str, object], allowed: Allowed, at: str) -> dict[str, Json]:
        kept: dict[str, Json] = {}
        of_a_secret = names_a_secret(str(fields.get("path", "")))
        for key, value in fields.items():
            listed = key in allowed
            if not listed and ("*" not in allowed or secret_rule(key)):
                self.dropped += 1
                continue
            inner = allowed[key] if listed else allowed["*"]
            path = f"{at}.{key}" if at else key
            if value is not None and (
                (of_a_secret and key in _BESIDE_A_PATH) or (not listed and _SECRET_NAME.search(key))
            ):
                kept[key] = self._held_back(path, "secret-name")
                continue
            try:
                kept[key] = self._inner(value, inner, path)
            except _DropError:
                self.dropped += 1
        return kept

    def _inner(self, value: object, allowed: Allowed | None, at: str) -> Json:
        if allowed is None:
            return self._leaf(value, at)
        if value is None:
            return None
        if isinstance(value, Mapping):
            return self.mapping(value, allowed, at)
        if _is_list(value):
            return [self._inner(item, allowed, at) for item in value]
        raise _DropError

    def _leaf(self, value: object, at: str) -> Json:
        if isinstance(value, Mapping):
            raise _DropError
        if _is_list(value):
            return [self._leaf(item, at) for item in value]
        plain = _scalar(value, at)
        rule = secret_rule(plain) if isinstance(plain, str) else None
        return plain if rule is None else self._held_back(at, rule)

    def _held_back(self, path: str, rule: str) -> Json:
        self.redactions.append(Redaction(path, rule))
        return {"redacted": rule}


class _DropError(Exception):
    """The value has a shape that the list does not foresee."""


def _is_list(value: object) -> TypeGuard[Sequence[object]]:
    return isinstance(value, Sequence) and not isinstance(value, str | bytes | bytearray)


def rfc3339(time: datetime) -> str:
    """Return an aware time as RFC 3339 text in UTC, to the microsecond.

    Raises:
        UnspeakableValueError: the time has no zone.
    """
    if time.tzinfo is None:
        raise UnspeakableValueError(f"{time.isoformat()} has no time zone")
    return time.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def _scalar(value: object, at: str) -> bool | int | float | str | None:
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return str(value)
    if isinstance(value, int):
        return int(value) if abs(value) <= _SAFE_INTEGER else str(value)
    if isinstance(value, float) and math.isfinite(value):
        return value
    if isinstance(value, datetime):
        return rfc3339(value)
    if isinstance(value, timedelta):
        return value.total_seconds()
    raise UnspeakableValueError(f"{at}: expected JSON, a time or a duration, found {type(value).__name__}")


def _bits_per_character(text: str) -> float:
    total = len(text)
    return -sum(n / total * math.log2(n / total) for n in Counter(text).values())
