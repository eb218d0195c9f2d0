"""The state of what a step writes, before and after it, as one hash each.

A hash covers the fields that the step writes, as its evidence shows them: what looks like a secret is
withheld first, so the hash of a secret's value is never in evidence. Whoever has the statement, or the
evidence beside it, can compute both; and a rollback whose `after_hash` is the promotion's `before_hash`
has left these fields as they were.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from typing import Final

from interlock.evidence.predicates import allow
from interlock.evidence.redaction import Json, clean
from interlock.evidence.statement import canonical

_WRITES: Final = allow(*(f"writes.{name}" for name in ("ref", "path", "before", "after")))


def state_hashes(writes: Iterable[Mapping[str, object]]) -> dict[str, str]:
    """Return `before_hash` and `after_hash` of a step: SHA-256, lower-case hex.

    Each is taken over the canonical JSON of a list of `{"path", "ref", "value"}`, sorted by ref and path; a
    field that is absent has no `value`.

    Args:
        writes: of each field `ref`, `path`, and `before` and `after` where it is not absent.
    """
    shown = clean({"writes": list(writes)}, _WRITES).fields.get("writes")
    items: list[dict[str, Json]] = (
        [one for one in shown if isinstance(one, dict)] if isinstance(shown, list) else []
    )
    items.sort(key=lambda one: (str(one["ref"]), str(one["path"])))
    return {f"{when}_hash": _hash(items, when) for when in ("before", "after")}


def _hash(items: Iterable[dict[str, Json]], when: str) -> str:
    fields: list[Json] = [
        {"ref": one["ref"], "path": one["path"], **({"value": one[when]} if when in one else {})}
        for one in items
    ]
    return hashlib.sha256(canonical(fields)).hexdigest()
