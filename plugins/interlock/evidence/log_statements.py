"""What the log's writer says in the log: what was shipped later, where a year's log ends and goes on."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from interlock.evidence.log.checkpoint import Checkpoint
from interlock.evidence.predicates import CLOSED_URI, OPENED_URI, SHIPPED_URI
from interlock.evidence.redaction import rfc3339
from interlock.evidence.statement import Subject, make_payload


def shipped(before: Checkpoint, places: Sequence[int], claimed: Sequence[str], shipped_at: datetime) -> bytes:
    """Return the payload that says which statements of a claim had waited in a spool.

    Args:
        before: the log's head before the claim.
        places: their sequence numbers in the spool's chain.
        claimed: when each was made by its writer's clock, RFC 3339 in UTC.
        shipped_at: when they were shipped.
    """
    return make_payload(
        SHIPPED_URI,
        (_subject(before),),
        {
            "first": min(places),
            "last": max(places),
            "count": len(places),
            "claimed_from": min(claimed),
            "claimed_to": max(claimed),
            "shipped_at": rfc3339(shipped_at),
        },
    )


def log_closed(before: Checkpoint, at: datetime) -> bytes:
    """Return the payload of the last entry of a year's log."""
    return make_payload(CLOSED_URI, (_subject(before),), {"at": rfc3339(at), "size": before.size})


def log_opened(final: Checkpoint, note: bytes, at: datetime) -> bytes:
    """Return the payload of the first entry of a log that goes on after another, with its signed head."""
    return make_payload(OPENED_URI, (_subject(final),), {"at": rfc3339(at), "checkpoint": note.decode()})


def _subject(head: Checkpoint) -> Subject:
    return Subject(f"log/{head.origin}", {"sha256": head.root.hex()})
