"""How the evaluator reads parsed JSON that it can't trust: what has another shape reads as absent.

Kubernetes objects that came through an API server have the shapes of their schemas, but a manifest from a
file need not. The readers of each kind tell what is wrong (`Problem`); these functions only never fail.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time

_DIGITS = 19


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """A field of an object that isn't what Istio's schema or validation asks for.

    Attributes:
        field: The path of the field, `spec.portLevelMtls.0`.
        text: What was found, and what was expected.
        undecodable: Istio could not even read the object, and would go on as if it weren't there.
        warning: Istio's validation accepts it, but warns.
    """

    field: str
    text: str
    undecodable: bool = False
    warning: bool = False

    def __str__(self) -> str:
        return f"{self.field}: {self.text}"


def mapping(value: object) -> Mapping[str, object]:
    """The value as an object; empty if it is none."""
    return value if isinstance(value, Mapping) else {}


def items(value: object) -> tuple[object, ...]:
    """The value as a list; empty if it is none."""
    return tuple(value) if isinstance(value, list | tuple) else ()


def text(value: object) -> str:
    """The value as text; empty if it is none."""
    return value if isinstance(value, str) else ""


def texts(value: object) -> tuple[str, ...]:
    """The texts of a list."""
    return tuple(item for item in items(value) if isinstance(item, str))


def number(value: object) -> int | None:
    """A whole number, also one that is written as text; None if it is none."""
    if isinstance(value, bool):
        return None
    if isinstance(value, int):
        return value
    if isinstance(value, str):
        found = digits(value.removeprefix("-"))
        return -found if found is not None and value.startswith("-") else found
    return None


def digits(value: str) -> int | None:
    """A whole number of decimal digits alone; None if it is none, or one that no field of 64 bits holds."""
    if not (value.isascii() and value.isdigit()) or len(value.lstrip("0")) > _DIGITS:
        return None
    return int(value.lstrip("0") or "0")


def labels(value: object) -> dict[str, str]:
    """The text entries of an object: labels, annotations, selectors."""
    return {str(key): item for key, item in mapping(value).items() if isinstance(item, str)}


def path(value: object, *keys: str) -> object:
    """What is found by following the keys; None where there is nothing."""
    for key in keys:
        value = mapping(value).get(key)
    return value


def timestamp(value: object) -> datetime:
    """A creation time (RFC 3339 text, or what a YAML parser makes of it), in UTC.

    Absent or unreadable is the earliest of all times, as Go's zero time is for Istio.
    """
    found: object = value
    if isinstance(found, str):
        try:
            found = datetime.fromisoformat(found)
        except ValueError:
            return datetime.min.replace(tzinfo=UTC)
    if isinstance(found, datetime):
        try:
            return found.replace(tzinfo=UTC) if found.tzinfo is None else found.astimezone(UTC)
        except OverflowError:  # An offset can lead out of the years that there are.
            return datetime.min.replace(tzinfo=UTC)
    if isinstance(found, date):
        return datetime.combine(found, time(), UTC)
    return datetime.min.replace(tzinfo=UTC)


def selects(selector: Mapping[str, str], found: Mapping[str, str]) -> bool:
    """Whether each entry of the selector is among the labels; an empty selector selects all.

    As `labels.Instance.SubsetOf` of Istio.
    """
    return all(found.get(key) == value for key, value in selector.items())


def typed_texts(value: object, field: str, problems: list[Problem]) -> tuple[str, ...]:
    """A list of texts; anything else in it, or instead of it, keeps Istio from reading the object."""
    if value is None:
        return ()
    found = texts(value)
    if not isinstance(value, list | tuple) or len(found) != len(value):
        problems.append(Problem(field, f"found {value!r}, expected a list of texts", undecodable=True))
    return found
