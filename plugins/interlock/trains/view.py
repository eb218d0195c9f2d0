"""Reading values out of a Kubernetes object's JSON, with their types.

An object comes from outside and any part of it may be missing: a status that isn't there yet, a Pod
without conditions. Each function gives its type's empty value then, as Kubernetes' own Go code sees it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping


def lookup(raw: object, *keys: str) -> object:
    """The value at a path of map keys in a JSON object; None where the path ends early."""
    for key in keys:
        if not isinstance(raw, Mapping):
            return None
        raw = raw.get(key)
    return raw


def mapping(raw: object, *keys: str) -> Mapping[str, object]:
    """The object at a path; empty where there is none."""
    value = lookup(raw, *keys)
    return value if isinstance(value, Mapping) else {}


def maps(raw: object, *keys: str) -> Iterator[Mapping[str, object]]:
    """The objects of the list at a path; none where there is no list."""
    value = lookup(raw, *keys)
    if isinstance(value, (list, tuple)):
        yield from (item for item in value if isinstance(item, Mapping))


def text(raw: object, *keys: str) -> str:
    """The string at a path; empty where there is none."""
    value = lookup(raw, *keys)
    return value if isinstance(value, str) else ""


def number(raw: object, *keys: str, default: int = 0) -> int:
    """The integer at a path; `default` where there is none."""
    value = lookup(raw, *keys)
    return value if isinstance(value, int) and not isinstance(value, bool) else default
