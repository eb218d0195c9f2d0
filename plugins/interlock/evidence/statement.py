"""A statement: one claim about one run, as an in-toto Statement v1 in canonical JSON (RFC 8785).

A statement is made from plain fields, cut down to its predicate type's allow-list and cleaned of what looks
like a secret. Its digest is the SHA-256 of its canonical bytes, so the same claim made twice is one object in
the store. What is too large for a statement goes beside it as evidence, a blob that the statement names by
digest.

Where it is kept: an entry of the log (`interlock.evidence.log`) holds the signed envelope,
`evidence/sha256/<hex>` the evidence.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

import rfc8785

from interlock.evidence.log.layout import BLOBS
from interlock.evidence.predicates import LATE_URI, predicate
from interlock.evidence.redaction import Json, Redaction, clean, redact_text, rfc3339

STATEMENT_TYPE: Final = "https://in-toto.io/Statement/v1"
MAX_BYTES: Final = 48_000
"""Largest statement, in bytes of canonical JSON. An entry of the log holds 65,535: Base 64 makes a third
more of it, and a late attestation carries it whole."""


class StatementError(ValueError):
    """These fields make no statement; the message says which and what to do."""


@dataclass(frozen=True)
class Run:
    """The DAG run that a statement is about."""

    dag_id: str
    run_id: str

    @property
    def hash(self) -> str:
        """12 hex digits that stand for the run in names, the same as in its journal's name."""
        return hashlib.sha256(f"{self.dag_id}/{self.run_id}".encode()).hexdigest()[:12]


@dataclass(frozen=True)
class Subject:
    """What a statement is about: a name and its digests by algorithm, lower-case hex.

    Attributes:
        name: its name; one that looks like a secret is held back.
        digest: the digests.
        checked: whether the name was put together from parts that were looked through one by one.
    """

    name: str
    digest: Mapping[str, str]
    checked: bool = False

    @classmethod
    def of(cls, name: str, content: bytes) -> Subject:
        """Return the subject whose content is `content`."""
        return cls(name, {"sha256": sha256(content)})


@dataclass(frozen=True)
class Statement:
    """One claim, ready to be signed.

    Attributes:
        run: the DAG run it belongs to.
        predicate_type: its type's URI.
        payload: canonical JSON, what is signed.
        evidence: the blob that belongs beside it, canonical JSON, or None.
        at: the time that the writer claims, aware.
        dropped: number of fields left out because nobody listed them.
        redactions: values left out because they look like a secret.
    """

    run: Run
    predicate_type: str
    payload: bytes = field(repr=False)
    evidence: bytes | None = field(repr=False)
    at: datetime
    dropped: int
    redactions: tuple[Redaction, ...]

    @property
    def digest(self) -> str:
        """SHA-256 of the payload, lower-case hex."""
        return sha256(self.payload)


def sha256(content: bytes) -> str:
    """Return the SHA-256 of `content` as lower-case hex."""
    return hashlib.sha256(content).hexdigest()


def canonical(value: Json) -> bytes:
    """Return `value` as RFC 8785 canonical JSON."""
    return rfc8785.dumps(value)


def evidence_key(digest: str) -> str:
    """Return the key of the evidence with this digest."""
    return BLOBS + digest


def make_statement(
    name: str,
    *,
    run: Run,
    fields: Mapping[str, object],
    at: datetime,
    subjects: Sequence[Subject] = (),
    evidence: Mapping[str, object] | None = None,
) -> Statement:
    """Return the statement of predicate type `name` that these fields make.

    Args:
        name: the predicate type, such as "promote".
        run: the DAG run that speaks.
        fields: what it says; fields off the type's list are dropped and counted.
        at: the time of the claim, aware.
        subjects: what it is about; the run itself when empty.
        evidence: what goes beside it, cut down to the type's own list.

    Raises:
        UnknownPredicateError: there is no such predicate type.
        UnspeakableValueError: an allowed field has a value that is neither JSON nor a time.
        StatementError: the statement is larger than MAX_BYTES, or a subject's digest isn't hex.
    """
    kind = predicate(name)
    said = clean({"at": at, **fields}, kind.fields)
    shown = clean(evidence or {}, kind.evidence)
    dropped = said.dropped + shown.dropped
    redactions = said.redactions + tuple(Redaction(f"evidence.{r.path}", r.rule) for r in shown.redactions)
    body: dict[str, Json] = {
        **said.fields,
        "run": {"dag_id": redact_text(run.dag_id), "run_id": redact_text(run.run_id), "hash": run.hash},
        "dropped_fields": dropped,
        "redacted_values": len(redactions),
    }
    blob: bytes | None = None
    if evidence is not None:
        blob = canonical(shown.fields)
        digest = sha256(blob)
        body["evidence"] = {"uri": evidence_key(digest), "digest": {"sha256": digest}, "size": len(blob)}
    payload = make_payload(kind.uri, subjects or (_run_subject(run),), body)
    if len(payload) > MAX_BYTES:
        raise StatementError(
            f"a {name} statement of {len(payload)} bytes; {MAX_BYTES} fit: give the bulk of it as evidence"
        )
    return Statement(run, kind.uri, payload, blob, at, dropped, redactions)


def attest_late(
    payload: bytes, *, run_hash: str, claimed_at: str, shipped_at: datetime, sequence: int, previous: str
) -> bytes:
    """Return the payload that vouches, when shipped, for a statement that could not be signed when made.

    It carries the statement whole and names both times, so that nobody takes the signature for one of the
    claimed time; and the statement's place in the spool's hash chain.
    """
    claimed = parse_payload(payload)
    subject = Subject("statement", {"sha256": sha256(payload)})
    body: dict[str, Json] = {
        "statement": claimed,
        "claimed_at": claimed_at,
        "shipped_at": rfc3339(shipped_at),
        "spool": {"sequence": sequence, "previous": previous},
        "run": {"hash": run_hash},
    }
    return make_payload(LATE_URI, (subject,), body)


def claimed_payload(payload: bytes) -> bytes:
    """Return the statement that a payload stands for: itself, or the one that a late attestation carries."""
    content = parse_payload(payload)
    body = content.get("predicate")
    if content.get("predicateType") == LATE_URI and isinstance(body, dict):
        return canonical(body.get("statement"))
    return payload


def parse_payload(payload: bytes) -> dict[str, Json]:
    """Return a payload's JSON object.

    Raises:
        StatementError: it is not a JSON object.
    """
    try:
        content = json.loads(payload)
    except ValueError as error:
        raise StatementError(f"a statement's payload is not JSON: {error}") from error
    if not isinstance(content, dict):
        raise StatementError("a statement's payload is not a JSON object")
    return content


def _run_subject(run: Run) -> Subject:
    # Together, the words and the date of two plain ids may look like a secret.
    name = f"run/{redact_text(run.dag_id)}/{redact_text(run.run_id)}"
    return Subject(name, {"sha256": sha256(f"{run.dag_id}/{run.run_id}".encode())}, checked=True)


def make_payload(predicate_type: str, subjects: Sequence[Subject], body: dict[str, Json]) -> bytes:
    """Return the in-toto Statement v1 with this predicate, in canonical JSON."""
    return canonical(
        {
            "_type": STATEMENT_TYPE,
            "subject": [_subject_json(s) for s in subjects],
            "predicateType": predicate_type,
            "predicate": body,
        }
    )


def _subject_json(subject: Subject) -> dict[str, Json]:
    for algorithm, value in subject.digest.items():
        if not value or not set(value) <= set("0123456789abcdef"):
            raise StatementError(
                f"subject {redact_text(subject.name)}: its {algorithm} is not lower-case hex"
            )
    name = subject.name if subject.checked else redact_text(subject.name)
    return {"name": name, "digest": dict(subject.digest)}
