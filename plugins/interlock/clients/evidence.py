"""Record what a run claims: signed by Vault and locked in the store, or in the spool until that can be had.

`EvidenceWriter` is the one way in. `record` never waits longer than the clients' time limits, and never
needs the store or Vault: a statement that can't be signed or kept there waits in the spool, on the disk.
`ship` carries what waits to the store, in order; a statement that was made while Vault could not sign is
signed then, inside a `late` attestation that names both times.

Shipping is idempotent: objects are created only if absent and are named by the statement's digest, so a
shipper that was killed, or one that never got its answer, is simply repeated. "Already there" counts as
success only after the object was read back and found to stand for the same statement.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Literal, Protocol

from interlock.clients.object_store import ObjectStore, StoreConflict, StoreError
from interlock.clients.spool import Spool, SpoolError
from interlock.clients.vault import VaultClient, VaultError
from interlock.evidence.envelope import Envelope, EnvelopeError, pae
from interlock.evidence.redaction import rfc3339
from interlock.evidence.statement import (
    Run,
    Statement,
    StatementError,
    attest_late,
    claimed_payload,
    evidence_key,
    sha256,
    statement_key,
    statement_prefix,
)
from interlock.evidence.waiting import Place, Waiting
from interlock.settings import STATEMENTS_KEY

DEFAULT_KEY: Final = STATEMENTS_KEY
AT_ONCE: Final = 8
"""How many statements of one writer are on their way to the store at a time."""
SIGNED_AT_ONCE: Final = 100
"""How many statements one request to Vault signs: at their largest 9 MB, of the 32 MiB that it takes."""
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Recorded:
    """Where a statement is kept now.

    Attributes:
        digest: its SHA-256.
        where: "bucket", signed and locked; or "spool", waiting to be shipped.
        key: its key in the bucket, also while it waits.
        reason: why it waits; empty in the bucket.
    """

    digest: str
    where: Literal["bucket", "spool"]
    key: str
    reason: str = ""


@dataclass(frozen=True)
class Shipped:
    """What a shipper did.

    Attributes:
        count: statements that are in the store now and were not before this call removed them from the spool.
        left: statements that still wait.
        reason: why any are left; empty when none are.
    """

    count: int
    left: int
    reason: str = ""


@dataclass(frozen=True)
class RunStatements:
    """The statements of one run that the store and the spool have.

    Attributes:
        digests: their SHA-256s, sorted.
        incomplete_because: why there may be more; empty when both could be read.
    """

    digests: tuple[str, ...]
    incomplete_because: str = ""


class EvidenceWriter(Protocol):
    """What the rest of Interlock knows of evidence."""

    def record(self, statement: Statement) -> Recorded:
        """Keep a statement; it is in the bucket or on the disk of the spool when this returns."""

    def record_all(self, statements: Sequence[Statement]) -> list[Recorded]:
        """Keep several statements, some at a time."""

    def ship(self) -> Shipped:
        """Carry what waits in the spool to the bucket, oldest first."""

    def of_run(self, run: Run) -> RunStatements:
        """Return the statements of a run, for its seal."""


class BucketWriter:
    """An EvidenceWriter with a bucket, a signing key and a spool, of which only the spool is needed."""

    def __init__(
        self,
        *,
        spool: Spool,
        vault: VaultClient | None = None,
        store: ObjectStore | None = None,
        key: str = DEFAULT_KEY,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        step: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Keep the parts.

        Args:
            spool: where statements wait.
            vault: signs; None when there are no credentials, and then all statements wait.
            store: keeps; None when there is none yet, and then all statements wait.
            key: name of the transit key.
            now: the clock of shipping times.
            step: called with the name of each step that the store acknowledged; tests stop there.
        """
        self._spool = spool
        self._vault = vault
        self._store = store
        self._key = key
        self._now = now
        self._step = step

    def close(self) -> None:
        """Close the connections to Vault and the store."""
        for part in (self._vault, self._store):
            if part is not None:
                part.close()

    def record(self, statement: Statement) -> Recorded:
        """Keep a statement: signed and locked in the bucket, else in the spool.

        Raises:
            SpoolError: it could be kept in neither; the caller decides whether anything waits for that.
        """
        return self._keep(statement, self._signed([statement])[0])

    def record_all(self, statements: Sequence[Statement]) -> list[Recorded]:
        """Keep several statements, a few at a time; where the first has to wait, the others do as well.

        Raises:
            SpoolError: one could be kept in neither.
        """
        if not statements:
            return []
        # The first logs in and finds out who is away, so that not each of hundreds waits for an answer.
        signature = self._signed(statements[:1])[0]
        first, rest = self._keep(statements[0], signature), statements[1:]
        away = _MissingPartError(first.reason) if first.where == "spool" else None
        signed = self._signed(rest) if isinstance(signature, bytes) else [signature] * len(rest)
        with ThreadPoolExecutor(max_workers=AT_ONCE) as pool:
            return [first, *pool.map(lambda one, by: self._keep(one, by, away), rest, signed)]

    def ship(self) -> Shipped:
        """Carry what waits to the bucket, oldest first; stop at the first that can't be.

        Only one process ships at a time; another one returns at once and says so.

        Raises:
            SpoolTampered: a waiting file isn't the one that was written; those before it were shipped.
            SpoolError: the spool can't be used.
        """
        count = 0
        with self._spool.shipping() as mine:
            if not mine:
                return Shipped(0, self._spool.count(), "another process is shipping")
            try:
                for place, waiting in self._spool.waiting():
                    self._ship_one(place, waiting)
                    count += 1
            except (VaultError, StoreError, _MissingPartError) as error:
                log.warning("shipping stopped after %d statements: %s", count, error)
                return Shipped(count, self._spool.count(), str(error))
        left = self._spool.count()
        return Shipped(count, left, "recorded while shipping" if left else "")

    def of_run(self, run: Run) -> RunStatements:
        """Return the digests of a run's statements in the bucket and in the spool."""
        found: set[str] = set()
        reasons: list[str] = []
        # The spool first: what is shipped between the two looks is then seen twice, not missed.
        try:
            found.update(w.digest for _, w in self._spool.waiting() if w.run_hash == run.hash)
        except SpoolError as error:
            reasons.append(f"the spool could not be read: {error}")
        prefix = statement_prefix(run.hash)
        try:
            keys = self._some_store().keys(prefix)
            found.update(key.removeprefix(prefix).removesuffix(".json") for key in keys)
        except (StoreError, _MissingPartError) as error:
            reasons.append(f"the store could not be listed: {error}")
        return RunStatements(tuple(sorted(found)), "; ".join(reasons))

    def _signed(self, statements: Sequence[Statement]) -> list[bytes | Exception]:
        """Each statement's signature, or why it has none."""
        found: list[bytes | Exception] = []
        for begin in range(0, len(statements), SIGNED_AT_ONCE):
            some = statements[begin : begin + SIGNED_AT_ONCE]
            try:
                found += self._sign(*(statement.payload for statement in some))
            except (VaultError, _MissingPartError) as error:
                found += [error] * len(some)
        return found

    def _keep(
        self, statement: Statement, signature: bytes | Exception, store_away: _MissingPartError | None = None
    ) -> Recorded:
        """Keep a statement in the bucket, or where it isn't signed or the store is away, in the spool."""
        for redaction in statement.redactions:
            log.warning(
                "a value at %s looks like a secret (%s) and was withheld", redaction.path, redaction.rule
            )
        if isinstance(signature, Exception):
            return self._spooled(statement, None, signature)
        try:
            if store_away:
                raise store_away
            self._put(statement.key, Envelope(statement.payload, signature, self._key), statement.evidence)
        except (StoreError, _MissingPartError) as error:
            return self._spooled(statement, signature, error)
        return Recorded(statement.digest, "bucket", statement.key)

    def _spooled(self, statement: Statement, signature: bytes | None, error: Exception) -> Recorded:
        log.warning("statement %s goes to the spool: %s", statement.digest, error)
        at, key = rfc3339(statement.at), "" if signature is None else self._key
        self._spool.append(
            Waiting(statement.run.hash, statement.payload, signature, key, statement.evidence, at)
        )
        return Recorded(statement.digest, "spool", statement.key, str(error))

    def _ship_one(self, place: Place, waiting: Waiting) -> None:
        self._some_store()
        if waiting.signature is not None:
            envelope = Envelope(waiting.payload, waiting.signature, waiting.key_id)
        else:
            late = attest_late(
                waiting.payload,
                run_hash=waiting.run_hash,
                claimed_at=waiting.claimed_at,
                shipped_at=self._now(),
                sequence=place.sequence,
                previous=place.previous,
            )
            envelope = Envelope(late, self._sign(late)[0], self._key)
        self._put(statement_key(waiting.run_hash, waiting.digest), envelope, waiting.evidence)
        self._spool.remove(place)
        self._step("removed")

    def _sign(self, *payloads: bytes) -> list[bytes]:
        if self._vault is None:
            raise _MissingPartError("there are no credentials for signing")
        return self._vault.sign_all(self._key, [pae(payload) for payload in payloads])

    def _some_store(self) -> ObjectStore:
        if self._store is None:
            raise _MissingPartError("there is no store for evidence")
        return self._store

    def _put(self, key: str, envelope: Envelope, evidence: bytes | None) -> None:
        """Put the evidence, then the statement that names it, so that no statement names a missing blob."""
        store = self._some_store()
        if evidence is not None:
            where = evidence_key(sha256(evidence))
            if not store.create(where, evidence) and store.get(where) != evidence:
                raise StoreConflict(f"bucket {store.bucket}: {where} is something else than its name says")
            self._step("evidence kept")
        if not store.create(key, envelope.to_json()):
            self._check_same(store, key, envelope)
        self._step("statement kept")

    def _check_same(self, store: ObjectStore, key: str, envelope: Envelope) -> None:
        wanted = claimed_payload(envelope.payload)
        try:
            found = claimed_payload(Envelope.from_json(store.get(key)).payload)
        except (EnvelopeError, StatementError) as error:
            raise StoreConflict(f"bucket {store.bucket}: {key} is no statement: {error}") from error
        if found != wanted:
            raise StoreConflict(f"bucket {store.bucket}: {key} holds another statement")


class _MissingPartError(Exception):
    """There is no signer or no store."""
