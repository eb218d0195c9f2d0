"""What a statement says, in a few lines for people: who started a run, its plan, each step, the outcome.

What it says is what was signed, cut short; nothing is judged here, and whatever is odd in it is passed over.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

MAX_LINES: Final = 12
MAX_CHARACTERS: Final = 300
_NAMED: Final = (
    ("triggered_by", "started by"),
    ("approved_by", "approved by"),
    ("reason", "reason"),
    ("change", "change"),
    ("environment", "environment"),
    ("undo_of", "takes back"),
    ("service", "service"),
    ("plan_hash", "plan"),
    ("dry_run", "dry run"),
    ("passed", "passed"),
    ("outcome", "outcome"),
    ("before_hash", "before"),
    ("after_hash", "after"),
    ("verdict", "verdict"),
    ("size", "entries of the log"),
    ("root", "root"),
    ("bad", "findings"),
)


def sayings(kind: str, body: Mapping[str, Any]) -> Iterator[str]:
    """The lines of a statement: fields by name, then what was written, then how each service ended.

    Args:
        kind: its predicate type.
        body: its predicate.
    """
    lines = [*_fields(kind, body), *_writes(body), *_services(body)]
    for line in lines[:MAX_LINES]:
        yield line if len(line) <= MAX_CHARACTERS else f"{line[:MAX_CHARACTERS]}…"
    if (more := len(lines) - MAX_LINES) > 0:
        yield f"and {more} lines more"


def _fields(kind: str, body: Mapping[str, Any]) -> Iterator[str]:
    for field, name in _NAMED:
        value = body.get(field)
        if value is None or value in ("", []):
            continue
        if isinstance(value, bool):
            value = "yes" if value else "no"
        elif isinstance(value, list):
            value = ", ".join(map(str, value))
        yield f"{name}: {value}"
    services = body.get("services")
    if kind == "plan" and isinstance(services, list):
        yield f"on board: {', '.join(map(str, services))}"


def _writes(body: Mapping[str, Any]) -> Iterator[str]:
    for field in ("writes", "restored"):
        for one in _objects(body.get(field)):
            path = f"{one.get('ref', '')} {one.get('path', '')}".strip()
            if "before" in one or "after" in one:
                yield f"{path}: {one.get('before', 'absent')} → {one.get('after', 'absent')}"
            else:
                yield f"{field}: {path}"
    for one in _objects(body.get("conflicts")):
        yield f"left as somebody else changed it: {one.get('path', '')}"


def _services(body: Mapping[str, Any]) -> Iterator[str]:
    for one in _objects(body.get("services")):
        reason = f" ({one['reason']})" if one.get("reason") else ""
        yield f"{one.get('service', '')}: {one.get('verdict', '')}{reason}"


def _objects(value: object) -> list[Mapping[str, Any]]:
    return [one for one in value if isinstance(one, dict)] if isinstance(value, list) else []
