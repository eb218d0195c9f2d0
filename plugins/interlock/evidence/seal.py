"""The seal: the last statement of a run, which lists all its other statements by digest.

A statement proves what it says; only a seal proves that nothing was taken away. It also says who triggered
the run and who approved it, as Airflow told it. A seal that could not see all statements of its run says so.
A list too long for a statement is the seal's evidence, a blob `{"statements": […]}`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Final

from interlock.evidence.redaction import Json
from interlock.evidence.statement import (
    Run,
    Statement,
    StatementError,
    make_statement,
    parse_payload,
)

MAX_LISTED: Final = 400
"""How many statements a seal lists by itself: 27 kB of the 48 kB that a statement may have."""


def make_seal(
    *,
    run: Run,
    statements: Iterable[str],
    triggered_by: str,
    approved_by: Sequence[str],
    outcome: str,
    at: datetime,
    incomplete_because: str = "",
    fields: Mapping[str, object] | None = None,
) -> Statement:
    """Return the seal of a run.

    Args:
        run: the DAG run that ends.
        statements: SHA-256 of each of its other statements; order and repetition don't matter.
        triggered_by: who started the run, or what ("schedule").
        approved_by: who approved its plan; empty when no approval was asked.
        outcome: the run's verdict, such as "all-new".
        at: the time of sealing, aware.
        incomplete_because: why statements may be missing from the list; empty when none can be.
        fields: further fields of the seal's list (train, environment, plan_hash, services, …).

    Raises:
        StatementError: a digest is not one, or the further fields are too large.
    """
    listed = sorted(set(statements))
    for digest in listed:
        if len(digest) != 64 or not set(digest) <= set("0123456789abcdef"):
            raise StatementError(f"{digest!r} is not a statement's SHA-256 in lower-case hex")
    said: dict[str, object] = {
        **(fields or {}),
        "outcome": outcome,
        "triggered_by": triggered_by,
        "approved_by": list(approved_by),
        "complete": not incomplete_because,
        "incomplete_because": incomplete_because,
    }
    if len(listed) > MAX_LISTED:
        return make_statement("seal", run=run, fields=said, at=at, evidence={"statements": listed})
    return make_statement("seal", run=run, fields={**said, "statements": listed}, at=at)


def listed_in(seal_payload: bytes, evidence: bytes | None = None) -> tuple[str, ...]:
    """Return the digests that a seal lists, sorted.

    Args:
        seal_payload: the seal's payload.
        evidence: the blob beside it, where it has one.

    Raises:
        StatementError: it has no list of statements.
    """
    body = parse_payload(seal_payload).get("predicate")
    listed: Json = body.get("statements") if isinstance(body, dict) else None
    if listed is None and evidence is not None:
        listed = parse_payload(evidence).get("statements")
    if not isinstance(listed, list):
        raise StatementError("this statement lists no statements: it is not a seal")
    return tuple(sorted(str(digest) for digest in listed))


def missing_from(
    seal_payload: bytes, present: Iterable[str], evidence: bytes | None = None
) -> tuple[str, ...]:
    """Return the digests that a seal lists and that are not among `present`, sorted.

    Raises:
        StatementError: as `listed_in`.
    """
    return tuple(sorted(set(listed_in(seal_payload, evidence)) - set(present)))
