"""A batch: which waiting statements go into the next claim, and as which entries."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from interlock.clients.signing import StatementSigner
from interlock.clients.spool import Taken
from interlock.evidence.envelope import Envelope
from interlock.evidence.log.checkpoint import Checkpoint
from interlock.evidence.log.claim import MAX_BYTES, MAX_ENTRIES
from interlock.evidence.log_statements import shipped
from interlock.evidence.statement import attest_late

WAITED: Final = timedelta(seconds=60)
"""A statement that was made longer ago than this has waited, and a `shipped` statement says so."""
_RESERVED_BYTES: Final = 4_096
"""For the claim's first line and a `shipped` statement."""


@dataclass(frozen=True)
class Batch:
    """Statements that go into one claim, in the chain's order, and whether one of them has waited."""

    taken: tuple[Taken, ...]
    waited: bool

    @property
    def first(self) -> int:
        """The first one's place in the chain."""
        return self.taken[0].entry.sequence

    @property
    def last(self) -> int:
        """The last one's place in the chain."""
        return self.taken[-1].entry.sequence

    @property
    def blobs(self) -> list[bytes]:
        """What is kept beside the statements."""
        return [one.waiting.evidence for one in self.taken if one.waiting.evidence is not None]


def take(waiting: Iterable[Taken], now: datetime) -> Batch:
    """Return the batch that comes next: the first of what waits, as many as a claim holds."""
    taken: list[Taken] = []
    room = MAX_BYTES - _RESERVED_BYTES
    for one in waiting:
        room -= _largest(one) + 1
        if taken and (room < 0 or len(taken) == MAX_ENTRIES - 1):
            break
        taken.append(one)
    return Batch(tuple(taken), any(_waited(one, now) for one in taken))


def entries_of(batch: Batch, before: Checkpoint, at: datetime, signer: StatementSigner) -> list[bytes]:
    """Return the entries of a batch: what was signed as it is, the rest attested late; then what was shipped.

    Args:
        batch: the statements.
        before: the log's head before them.
        at: the claim's time.
        signer: signs the late attestations and the `shipped` statement.

    Raises:
        VaultError: something could not be signed.
    """
    unsigned = [
        attest_late(
            one.waiting.payload,
            run_hash=one.waiting.run_hash,
            claimed_at=one.waiting.claimed_at,
            shipped_at=at,
            sequence=one.entry.sequence,
            previous=one.entry.previous,
        )
        for one in batch.taken
        if one.waiting.signature is None
    ]
    if batch.waited:
        long = [one for one in batch.taken if _waited(one, at)] or list(batch.taken)
        places = [one.entry.sequence for one in long]
        unsigned.append(shipped(before, places, [one.waiting.claimed_at for one in long], at))
    signed = iter(signer.sign(unsigned) if unsigned else ())
    entries = []
    for one in batch.taken:
        waiting = one.waiting
        if waiting.signature is None:
            envelope = next(signed)
        else:
            envelope = Envelope(waiting.payload, waiting.signature, waiting.key_id)
        entries.append(envelope.to_json())
    return [*entries, *(envelope.to_json() for envelope in signed)]


def _largest(one: Taken) -> int:
    """At most how many bytes its entry has."""
    more = 0 if one.waiting.signature else 1_024
    return (len(one.waiting.payload) + more) * 4 // 3 + 300


def _waited(one: Taken, now: datetime) -> bool:
    written = int(one.entry.name[:20]) / 1e9
    return now.timestamp() - written > WAITED.total_seconds()
