"""Judges what was seen of the evidence store, which decides how evidence is collected.

`worm`: the credentials are valid and the bucket locks what it is given. `temporary`: statements wait in the
spool, because the credentials are pending or refused, or the bucket isn't fit, or the store is away.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final, Literal

from interlock.environment.check import At, Check, Severity, Unseen

Credentials = Literal["pending", "valid", "refused"]
Collection = Literal["worm", "temporary"]
WRITER: Final = "include/deploy/s3/writer-policy.json"
_WHO: Final = "the credentials"


@dataclass(frozen=True, slots=True)
class StoreFacts:
    """All that was seen.

    Attributes:
        connection: the Airflow connection.
        address: the store's URL, or AWS.
        bucket: its name; empty: the connection names none.
        credentials: whether there are any and the store takes them; Unseen: it could not be asked.
        said: what the store, or whoever looked for credentials, answered.
        identity: whose they are; Unseen: the store has no answer to that.
        region: the one of the connection.
        found_region: the bucket's; None: the store names none.
        fit: what keeps the bucket from locking objects, empty if nothing; Unseen: it could not be asked.
    """

    connection: str
    address: str
    bucket: str
    credentials: Credentials | Unseen
    said: str
    identity: str | Unseen
    region: str
    found_region: str | None
    fit: str | Unseen


def collection(facts: StoreFacts) -> Collection:
    """How evidence is collected as things are."""
    return "worm" if facts.credentials == "valid" and facts.fit == "" else "temporary"


def judge_store(facts: StoreFacts, mode: str) -> Iterator[Check]:
    """The checks of the store.

    Args:
        facts: what was seen.
        mode: the environment's `evidence.mode`: with `require` no train starts without the store.
    """
    at = At(f"{facts.connection}, {facts.address}")
    severity: Severity = "error" if mode == "require" else "warning"
    yield _credentials(at, facts, severity)
    if facts.credentials == "valid":
        yield _identity(at, facts.identity)
        yield from _bucket(at, facts, severity)
    yield _collection(at, facts, mode, severity)


def _credentials(at: At, facts: StoreFacts, severity: Severity) -> Check:
    code, found = "store.credentials", facts.credentials
    if isinstance(found, Unseen):
        return at.unseen(
            code, _WHO, found, "Check the connection's endpoint, and that the store runs", severity=severity
        )
    fixes = {
        "pending": "Put the access key into the connection's login and password, and name the bucket",
        "refused": f"Make a new access key for the writer ({WRITER}), and put it into the connection",
    }
    return at.either(
        found == "valid",
        code,
        _WHO,
        facts.said,
        wrong=f"{found}: {facts.said}",
        fix=fixes.get(found, ""),
        severity=severity,
    )


def _identity(at: At, identity: str | Unseen) -> Check:
    code = "store.identity"
    if isinstance(identity, Unseen):
        return at.unseen(code, _WHO, identity, "Nothing: not every store tells", severity="note")
    return at.either(
        not identity.endswith(":root"),
        code,
        _WHO,
        f"they are those of {identity}",
        wrong=f"they are those of {identity}, who may do everything, removing evidence included",
        fix=f"Make a user with {WRITER} alone, and use its access key",
    )


def _bucket(at: At, facts: StoreFacts, severity: Severity) -> Iterator[Check]:
    what = f"bucket {facts.bucket}"
    if facts.found_region is None:
        told = Unseen("the store names no region for it")
        yield at.unseen("store.region", what, told, "Nothing: not every store has regions", severity="note")
    else:
        yield at.either(
            facts.found_region == facts.region,
            "store.region",
            what,
            f"it is in {facts.region}",
            wrong=f"it is in {facts.found_region}; the connection says {facts.region}",
            fix=f"Set `region_name` in the connection's extra to {facts.found_region}",
            severity="warning",
        )
    if isinstance(facts.fit, Unseen):
        yield at.unseen(
            "store.bucket", what, facts.fit, f"Apply {WRITER}, and run the check again", severity=severity
        )
        return
    yield at.either(
        not facts.fit,
        "store.bucket",
        what,
        "it has Object Lock, versioning and a default retention",
        wrong=facts.fit,
        fix="Make one with include/deploy/s3/create-bucket.sh; `interlock doctor` tries what it has to do",
        severity=severity,
    )


def _collection(at: At, facts: StoreFacts, mode: str, severity: Severity) -> Check:
    how = collection(facts)
    starts = "no train starts until the store takes it" if mode == "require" else "trains start nevertheless"
    return at.either(
        how == "worm",
        "store.collection",
        "evidence",
        "it goes to the bucket, locked (WORM)",
        wrong=f"temporary collection: it waits in the spool, and {starts} (evidence.mode: {mode})",
        fix="Settle what the other lines on the store say, then `interlock ship` carries what waits",
        severity=severity,
    )
