"""An entry of the log, read: which statement it is, of which run, who signed it, with which grade.

Grades: *signed then*: the statement was signed when it was made. *attested late*: it was signed when it was
shipped, inside a `late` attestation that gives both times; until then only the spool's chain protected it.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from interlock.evidence.envelope import PAYLOAD_TYPE, pae
from interlock.evidence.log.strict import LogFormatError, from_base64
from interlock.evidence.predicates import BASE, KNOWN, LATE_URI
from interlock.evidence.statement import STATEMENT_TYPE, canonical
from interlock.evidence.verification.findings import Affected
from interlock.evidence.verification.source import shifted
from interlock.evidence.verification.trust import Trust

_KEYS: Final = {"payload", "payloadType", "signatures"}
_HEX: Final = frozenset("0123456789abcdef")
SKEW: Final = timedelta(minutes=5)
"""By how much the clocks of who made a statement and who shipped it may differ."""


class EntryError(ValueError):
    """An entry is not what it should be.

    Attributes:
        code: the finding's.
        expected: what an entry should be.
        entry: what could be read of it all the same.
    """

    def __init__(self, code: str, expected: str, found: str, entry: Entry | None = None) -> None:
        super().__init__(found)
        self.code = code
        self.expected = expected
        self.entry = entry


@dataclass(frozen=True, slots=True)
class Entry:
    """What an entry says.

    Attributes:
        digest: SHA-256 of the statement that it stands for, hex.
        kind: its predicate type's short name, such as "promote".
        late: whether it is attested late.
        dag_id, run_id, run_hash: its run.
        at: the time that it claims; None where it claims none.
        blob: digest and size of the evidence beside it.
        body: the predicate of a `seal`, `shipped`, `log-opened` or `log-closed`; else None.
        shipped_at: of a late attestation.
        known: whether this version knows its predicate type.
    """

    digest: str
    kind: str
    late: bool
    dag_id: str
    run_id: str
    run_hash: str
    at: datetime | None
    blob: tuple[str, int] | None
    body: dict[str, Any] | None = None
    shipped_at: datetime | None = None
    known: bool = True

    def affected(self, index: int) -> Affected:
        """It, as a finding names it."""
        return Affected(index, self.digest, self.kind, self.dag_id, self.run_id, self.run_hash)


_KEPT: Final = frozenset({"seal", "shipped", "log-opened", "log-closed"})


def read_entry(leaf: bytes, trust: Trust | None, *, whole: bool = False) -> Entry:
    """Read an entry and check its signature.

    Args:
        leaf: a DSSE envelope, canonical JSON.
        trust: the keys; None, or one without statement keys: the signature is not looked at.
        whole: whether the entry keeps what it says, whatever its kind.

    Raises:
        EntryError: it is malformed, or its signature does not hold.
    """
    payload, signature, keyid = _envelope(leaf)
    entry = _statement(payload, whole=whole)
    if trust is None or not trust.statements:
        return entry
    answer = trust.signed(keyid, signature, pae(payload))
    if answer == "no":
        raise EntryError(
            "statement-signature", f"a signature of key {keyid} over this payload", "another one", entry
        )
    if answer == "unknown":
        known = ", ".join(sorted(trust.statements))
        raise EntryError(
            "statement-key", f"a signature by one of {known}", f"one by {keyid or 'no key'}", entry
        )
    return entry


def describe(leaf: bytes | None, index: int) -> Affected:
    """What can be said of an entry that is not what it should be."""
    if leaf is not None:
        try:
            return read_entry(leaf, None).affected(index)
        except EntryError:
            pass
    return Affected(index, "", "", "", "", "")


def _envelope(leaf: bytes) -> tuple[bytes, bytes, str]:
    expected = "a DSSE envelope of an in-toto statement with one signature, as canonical JSON"
    try:
        content = json.loads(leaf)
        (one,) = content["signatures"]
        keyid, payload, signature = one["keyid"], content["payload"], one["sig"]
        if content["payloadType"] != PAYLOAD_TYPE or not set(keyid) <= _HEX or len(keyid) > 64:
            raise ValueError("another payload type or key id")
        # RFC 8785 of exactly these members, in which none has a character to escape.
        canon = (
            f'{{"payload":"{payload}","payloadType":"{PAYLOAD_TYPE}",'
            f'"signatures":[{{"keyid":"{keyid}","sig":"{signature}"}}]}}'
        )
        if canon.encode() != leaf:
            raise ValueError("not canonical, or with more members")
        body = from_base64(payload, "payload", LogFormatError)
        return body, from_base64(signature, "sig", LogFormatError), keyid
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise EntryError("envelope-malformed", expected, f"{type(error).__name__}: {error}"[:200]) from None


def _statement(payload: bytes, *, whole: bool) -> Entry:
    fractions: list[str] = []

    def fraction(text: str) -> float:
        fractions.append(text)
        return float(text)

    try:
        content = json.loads(payload, parse_float=fraction)
        if content["_type"] != STATEMENT_TYPE:
            raise ValueError(f"_type {content['_type']!r}"[:80])
        if content["predicateType"] == LATE_URI:
            return _late(content, payload, whole=whole)
        # Of the rest Python's own printer, which is the faster one, makes canonical JSON too.
        odd = bool(fractions) or not payload.isascii()
        if (odd or _printed(content) != payload) and canonical(content) != payload:
            raise ValueError("not canonical JSON (RFC 8785): it can be read in more than one way")
        return _plain(content, hashlib.sha256(payload).hexdigest(), late=False, shipped_at=None, whole=whole)
    except EntryError:
        raise
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError, OverflowError) as error:
        raise EntryError(
            "statement-malformed",
            "an in-toto Statement v1 of Interlock",
            f"{type(error).__name__}: {error}"[:200],
        ) from None


def _printed(content: object) -> bytes:
    return json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def _late(content: dict[str, Any], payload: bytes, *, whole: bool) -> Entry:
    body = content["predicate"]
    claimed = body["statement"]
    digest = hashlib.sha256(canonical(claimed)).hexdigest()
    entry = _plain(claimed, digest, late=True, shipped_at=read_time(body["shipped_at"]), whole=whole)
    if canonical(content) != payload:
        said = "the same in another spelling, of which the statement's digest says nothing"
        raise EntryError("late-malformed", "canonical JSON (RFC 8785)", said, entry)
    named = content["subject"][0]["digest"]["sha256"]
    if named != digest:
        raise EntryError(
            "late-malformed",
            f"the digest {named} of its subject",
            f"a statement with the digest {digest}",
            entry,
        )
    claimed_at = read_time(body["claimed_at"])
    if claimed_at is None or entry.shipped_at is None:
        raise EntryError("late-malformed", "claimed_at and shipped_at, RFC 3339", "something else", entry)
    if entry.at is not None and entry.at != claimed_at:
        raise EntryError(
            "late-malformed",
            f"a statement of {claimed_at.isoformat()}, as claimed_at says",
            f"one of {entry.at.isoformat()}",
            entry,
        )
    if entry.shipped_at < shifted(claimed_at, -SKEW):
        raise EntryError(
            "late-malformed",
            f"shipped at or after {claimed_at.isoformat()}",
            entry.shipped_at.isoformat(),
            entry,
        )
    return entry


def _plain(
    content: dict[str, Any], digest: str, *, late: bool, shipped_at: datetime | None, whole: bool
) -> Entry:
    uri = content["predicateType"]
    kind = uri.removeprefix(f"{BASE}/").rpartition("/")[0] if uri.startswith(f"{BASE}/") else uri
    body = content["predicate"]
    run = body.get("run") or {}
    blob = None
    if named := body.get("evidence"):
        sha256 = named["digest"]["sha256"]
        if (
            not isinstance(sha256, str)
            or len(sha256) != 64
            or not set(sha256) <= _HEX
            or type(named["size"]) is not int
        ):
            raise ValueError("its evidence is named by no SHA-256 and size")
        blob = (sha256, named["size"])
    return Entry(
        digest=digest,
        kind=str(kind)[:80],
        late=late,
        dag_id=str(run.get("dag_id") or "")[:250],
        run_id=str(run.get("run_id") or "")[:250],
        run_hash=str(run.get("hash") or "")[:64],
        at=read_time(body.get("at")),
        blob=blob,
        body=body if whole or kind in _KEPT else None,
        shipped_at=shipped_at,
        known=uri in KNOWN,
    )


def read_time(text: object) -> datetime | None:
    """A time in RFC 3339 with its offset; None for anything else."""
    try:
        found = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return found if found.tzinfo is not None else None
