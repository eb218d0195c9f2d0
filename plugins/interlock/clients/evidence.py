"""Record what a run claims: signed by Vault, in the log under a signed head; else in the spool.

`EvidenceWriter` is the one way in. `record` writes the statement to the spool, and then waits for the log:
one of those that wait is the leader and takes what all of them have into the log by one claim. It never waits
longer than it is told to, and needs neither the store nor Vault: what can't be signed or claimed stays in the
spool, on the disk. `ship` carries what waits to the log, in the spool's order; what was made while Vault
could not sign is signed then, inside a `late` attestation that names both times.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Final

from interlock.clients.evidence_writer import EvidenceWriter, Recorded, RunStatements, Shipped
from interlock.clients.log import EvidenceLog
from interlock.clients.object_store import StoreError, StoreUnavailable
from interlock.clients.signing import StatementSigner
from interlock.clients.spool import Spool, SpoolError
from interlock.clients.spool_callers import Caller
from interlock.clients.vault import VaultError
from interlock.evidence.envelope import Envelope, EnvelopeError
from interlock.evidence.log.strict import LogFormatError
from interlock.evidence.redaction import rfc3339
from interlock.evidence.statement import (
    Run,
    Statement,
    StatementError,
    claimed_payload,
    parse_payload,
    sha256,
)
from interlock.evidence.waiting import Waiting

__all__ = ["BucketWriter", "EvidenceWriter", "Recorded", "RunStatements", "Shipped"]

WAIT_SECONDS: Final = 10.0
"""For how long a statement waits for the log before it is left to the spool."""
SHIP_SECONDS: Final = 240.0
"""For how long one call of `ship` begins further claims."""
LOOK_SECONDS: Final = 0.5
"""How often one who waits looks for itself, should the leader have been killed."""
TRIES: Final = 3
"""How many turns of its own a writer takes while the store fails in passing."""
log = logging.getLogger(__name__)


class BucketWriter:
    """An EvidenceWriter with a log in a bucket, a signer and a spool, of which only the spool is needed."""

    def __init__(
        self,
        *,
        spool: Spool,
        signer: StatementSigner | None = None,
        log: EvidenceLog | None = None,
        missing: str = "there is no store for evidence",
        wait_seconds: float = WAIT_SECONDS,
    ) -> None:
        """Keep the parts, which are closed with the writer.

        Args:
            spool: where statements wait.
            signer: signs statements; without credentials None, and then they are signed when shipped.
            log: keeps them; None where a part of it is not set up, and then all statements wait.
            missing: which part that is.
            wait_seconds: for how long a statement waits for the log; 0: not at all, it is left to a shipper.
        """
        self._spool = spool
        self._signer = signer
        self._log = log
        self._missing = missing
        self._wait = wait_seconds

    @property
    def log(self) -> EvidenceLog | None:
        """The log; None where a part of it is not set up."""
        return self._log

    def close(self) -> None:
        """Close the connections to Vault and the store."""
        for part in (self._signer, self._log):
            if part is not None:
                part.close()

    def record(self, statement: Statement) -> Recorded:
        """Keep a statement: in the log, else in the spool.

        Raises:
            SpoolError: it could not be kept; the caller decides whether anything waits for that.
        """
        return self.record_all([statement])[0]

    def record_all(self, statements: Sequence[Statement]) -> list[Recorded]:
        """Keep several statements, in their order.

        Raises:
            SpoolError: they could not be kept.
        """
        if not statements:
            return []
        for statement in statements:
            for redaction in statement.redactions:
                log.warning(
                    "a value at %s looks like a secret (%s) and was withheld", redaction.path, redaction.rule
                )
        envelopes, unsigned = self._signed([statement.payload for statement in statements])
        waiting = [
            Waiting(
                statement.run.hash,
                statement.payload,
                None if envelope is None else envelope.signature,
                "" if envelope is None else envelope.key_id,
                statement.evidence,
                rfc3339(statement.at),
            )
            for statement, envelope in zip(statements, envelopes, strict=True)
        ]
        with self._spool.caller() as caller:
            names = self._spool.append(waiting, caller.token)
            reason, places = self._committed(names, caller, unsigned)
        found = []
        for statement, name in zip(statements, names, strict=True):
            if name in places:
                year, index = places[name]
                found.append(Recorded(statement.digest, "log", index, year))
            else:
                log.warning("statement %s waits in the spool: %s", statement.digest, reason)
                found.append(Recorded(statement.digest, "spool", reason=reason))
        return found

    def _signed(self, payloads: Sequence[bytes]) -> tuple[Sequence[Envelope | None], str]:
        """The signed form of each, or none at all and the reason."""
        if self._signer is None:
            return [None] * len(payloads), "there are no credentials for signing"
        try:
            return self._signer.sign(payloads), ""
        except VaultError as error:
            return [None] * len(payloads), str(error)

    def _committed(
        self, names: Sequence[str], caller: Caller, unsigned: str
    ) -> tuple[str, dict[str, tuple[int | None, int | None]]]:
        """Wait until these files are in the log; why some are not, and the place of each that is."""
        places: dict[str, tuple[int | None, int | None]] = {}
        # What can't be signed now can't be claimed either; a shipper will find out when it can.
        reason = unsigned or (self._missing if self._log is None else "")
        if reason or self._wait <= 0:
            self._chain()
            return reason or "it is left to the shipper", places
        until, tries = time.monotonic() + self._wait, 0
        while time.monotonic() < until:
            try:
                with self._spool.lead() as leader:
                    if leader is not None:
                        assert self._log is not None
                        leader.overhear(names, places)
                        try:
                            self._log.turn(leader, until=until, batches=1)
                        except (StoreError, VaultError, SpoolError) as error:
                            reason, tries = str(error), tries + 1
                            if not isinstance(error, StoreUnavailable) or tries == TRIES:
                                leader.save_what_can()
                                leader.failed(reason)
                                break
            except SpoolError as error:
                reason = str(error)
                break
            if len(places) == len(names):
                break
            heard = caller.hear(min(LOOK_SECONDS, max(until - time.monotonic(), 0)))
            for name, index in (heard.get("places") or {}).items():
                places[name] = (int(heard["year"]), int(index))
            if heard.get("failed"):
                reason = str(heard["failed"])
                break
            if not heard and len(self._spool.waits(names)) < len(names):
                self._look(names, places)
            if len(places) == len(names):
                break
        self._look(names, places)
        return reason or f"it was not in the log after {self._wait:g} s", places

    def _look(self, names: Sequence[str], places: dict[str, tuple[int | None, int | None]]) -> None:
        """Count what is no longer waiting as in the log: only a leader removes it, and only then."""
        still = set(self._spool.waits(names))
        for name in names:
            if name not in still:
                places.setdefault(name, (None, None))

    def _chain(self) -> None:
        """Give what waits its place in the chain, if nobody else is about to."""
        with suppress(SpoolError), self._spool.lead() as leader:
            if leader is not None:
                leader.gather()
                leader.save()

    def ship(self, seconds: float = SHIP_SECONDS) -> Shipped:
        """Carry what waits to the log, oldest first; stop at the first that can't be.

        Several shippers take turns: one that is killed is followed by the next. Only who waited for another
        and found nothing left has shipped none.

        Raises:
            SpoolTampered: a waiting file isn't the one that was written; those before it were shipped.
            SpoolError: the spool can't be used.
        """
        self._spool.sweep()
        if self._log is None:
            self._chain()
            left = self._spool.count()
            return Shipped(0, left, self._missing if left else "")
        until = time.monotonic() + seconds
        with self._spool.lead(wait=True) as leader:
            assert leader is not None
            before = leader.shipped
            try:
                self._log.turn(leader, until=until)
                reason = "recorded while shipping"
            except (StoreError, VaultError) as error:
                reason = str(error)
                log.warning("shipping stopped: %s", error)
                leader.save_what_can()
            count = leader.shipped - before
        left = self._spool.count()
        return Shipped(count, left, reason if left else "")

    def of_run(self, run: Run, since: datetime) -> RunStatements:
        """Return the digests of a run's statements in the log and in the spool.

        Args:
            run: the run.
            since: when it began; what the log has of the time before is not looked at.
        """
        found: set[str] = set()
        reasons: list[str] = []
        # The spool first: what is shipped between the two looks is then seen twice, not missed.
        try:
            found.update(w.digest for w in self._spool.statements() if w.run_hash == run.hash)
        except SpoolError as error:
            reasons.append(f"the spool could not be read: {error}")
        if self._log is None:
            reasons.append(f"the log could not be read: {self._missing}")
        else:
            try:
                for claim in self._log.log.since(since):
                    found.update(digest for digest in _of_run(claim.entries, run.hash))
            except (StoreError, LogFormatError) as error:
                reasons.append(f"the log could not be read: {error}")
        return RunStatements(tuple(sorted(found)), "; ".join(reasons))


def _of_run(entries: Sequence[bytes], run_hash: str) -> Iterator[str]:
    """The digests of a run's statements among entries."""
    for entry in entries:
        try:
            payload = claimed_payload(Envelope.from_json(entry).payload)
            predicate = parse_payload(payload).get("predicate")
        except (EnvelopeError, StatementError):
            continue
        run = predicate.get("run") if isinstance(predicate, dict) else None
        if isinstance(run, dict) and run.get("hash") == run_hash:
            yield sha256(payload)
