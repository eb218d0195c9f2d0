"""The log's writer: takes what waits in a spool into the log, one claim at a time.

One claim carries a batch and is the only commit point. It is created if absent, under the number after the
last one that was read; then what follows from it is published, tiles first, and the signed head last. Whoever
finds a claim that isn't published does that for its writer.

A spool has one open position. It is on the disk before its claim is sent, and is not left before that number
is occupied. So after a crash, or an answer that was lost, three things can be: the claim is ours, by its
attempt, and is published; it is another's, and the statements are free again; or there is none, and the same
batch is sent. Nothing is lost or doubled, without a clock or a scan.

The head is signed before the claim is sent: without Vault nothing is claimed.

A year has a log of its own. The first writer whose clock is in a later year closes the old one by a claim
that nothing may follow, and opens the next with the old one's last head.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

from interlock.clients.log_batch import Batch, entries_of, take
from interlock.clients.log_head import Head, check_seen, compared, find, follow_all
from interlock.clients.log_store import LogConflict, LogRewound, LogStore, Published
from interlock.clients.object_store import ObjectStore, StoreUnavailable
from interlock.clients.signing import CheckpointSigner, StatementSigner
from interlock.clients.spool import Leader, Opened
from interlock.evidence.log.checkpoint import Checkpoint
from interlock.evidence.log.claim import Claim
from interlock.evidence.log.layout import origin
from interlock.evidence.log.note import VerifierKey
from interlock.evidence.log_statements import log_closed, log_opened
from interlock.evidence.redaction import rfc3339

RIVALS: Final = 1000
"""How many claims of others may come before ours, one after another."""
FRESH_SECONDS: Final = 30.0
"""For how long a process believes that the log is as it left it; then it looks at the newest head first."""


@dataclass(frozen=True)
class Turn:
    """What a leader's turn did.

    Attributes:
        count: statements that are in the log, under a published head, and were not before.
        left: statements that have a place in the chain and still wait.
    """

    count: int
    left: int


class EvidenceLog:
    """The log of one bucket, as one process writes it."""

    def __init__(
        self,
        *,
        store: ObjectStore,
        statements: StatementSigner,
        checkpoints: CheckpointSigner,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        step: Callable[[str], None] = lambda _: None,
    ) -> None:
        """Keep the parts; nothing is sent.

        Args:
            store: the bucket.
            statements: signs what had to wait for a signature, and what the log says of itself.
            checkpoints: signs the log's heads, and knows the log's name.
            now: the clock.
            step: called with the name of each step that the store or the disk acknowledged; tests stop there.
        """
        self._statements = statements
        self._checkpoints = checkpoints
        self._now = now
        self._step = step
        self.log = LogStore(store, checkpoints.name, self._keys)
        self._head: Head | None = None
        self._blobs: set[bytes] = set()
        self._looked = float("-inf")

    @property
    def _where(self) -> str:
        return f"bucket {self.log.store.bucket}"

    def _keys(self, anew: bool) -> list[VerifierKey]:
        signer = self._checkpoints
        return list((signer.refreshed_keys() if anew else signer.verifier_keys()).values())

    def close(self) -> None:
        """End its threads, and close the connections to Vault and the store."""
        self.log.close()
        self._statements.close()
        self._checkpoints.close()
        self.log.store.close()

    def head(self) -> Published | None:
        """The newest signed head of the latest year; None where there is no log yet."""
        years = self.log.years()
        return self.log.newest(years[0]) if years else None

    def turn(self, leader: Leader, *, until: float | None = None, batches: int | None = None) -> Turn:
        """Take what waits into the log.

        Args:
            leader: holds the spool's lock.
            until: no further batch is begun after this time, by `time.monotonic`.
            batches: at most so many; all when None.

        Raises:
            StoreError, VaultError: the store or Vault did not do it; the open position, where there is one,
                is settled by the next turn.
            LogConflict, LogRewound: the log contradicts itself, or what this spool has seen.
            SpoolTampered: a waiting file isn't the one that was written; those before it are in the log.
        """
        try:
            self._head = self._current(leader)
            count = self._settle(leader)
            left, rivals = leader.gather(), 0
            while left and (batches is None or batches > 0) and (until is None or time.monotonic() < until):
                self._roll_over(leader)
                taken = self._commit(leader, take(leader.waiting(), self._now()))
                if taken:
                    batches, rivals = None if batches is None else batches - 1, 0
                elif (rivals := rivals + 1) == RIVALS:
                    raise StoreUnavailable(f"{self._where}: always another writer's claim")
                count += taken
                # Where another writer was first, what came meanwhile goes along.
                left = leader.gather()
            if self._head.ahead:
                self._publish(leader, self._sign(self._head))
        except BaseException:
            self._head = None
            raise
        finally:
            self._blobs.clear()
        if left:
            leader.save()
        return Turn(count, left)

    def _current(self, leader: Leader) -> Head:
        """The head as it was left, if that was just now; else compared with the newest signed head."""
        for known in (leader.opened, leader.seen):
            if known is not None and known.log != self.log.name:
                raise LogConflict(
                    f"{self._where}: this spool's statements go to the log {known.log}, not "
                    f"to {self.log.name}: give each log a spool of its own"
                )
        kept = leader.edge()
        head = self._head
        mine = b"" if head is None or head.ahead else _line(head, self.log.name)
        if kept is not None and not (mine and kept.startswith(mine)):
            head = Head.decode(kept, self.log.name)
            self._looked = float("-inf") if self._head is None else self._looked
        if head is not None and any(one.year > head.year for one in (leader.opened, leader.seen) if one):
            # The year turned after it was kept.
            head = None
        fresh = time.monotonic() - self._looked < FRESH_SECONDS
        if head is None or not fresh:
            head = self._compared(leader, head)
            self._looked = time.monotonic()
        elif head.shared:
            found = self._followed(head)
            head = replace(found, shared=found.number > head.number)
        return head

    def _compared(self, leader: Leader, head: Head | None) -> Head:
        """A head that was kept, as far as the bucket bears it out; else the bucket's own."""
        if head is None:
            head = find(self.log, self._now().year)
            self.log.put_keys({**self._statements.verifier_keys(), **self._checkpoints.verifier_keys()})
        else:
            head = compared(self.log, head)
        if leader.seen is not None:
            check_seen(self.log, head, leader.seen, "this spool")
        return head

    def _followed(self, head: Head) -> Head:
        return follow_all(head, self.log.claims(head.year, head.number))

    def _settle(self, leader: Leader) -> int:
        """Finish what the open position began; return how many statements came into the log by it."""
        opened = leader.opened
        if opened is None:
            return 0
        assert self._head is not None
        found = self.log.claim(opened.year, opened.number)
        if found is None:
            if (opened.year, opened.number) != (self._head.year, self._head.number):
                self._head = self._followed(self._head)
            if (opened.year, opened.number) != (self._head.year, self._head.number) or self._head.closed:
                raise LogRewound(
                    f"{self._where}: claim {opened.number} of {opened.year} was next, and "
                    f"the log ends before claim {self._head.number} of {self._head.year}: it was rewound"
                )
            batch = Batch(tuple(leader.between(opened.first, opened.last)), opened.waited)
            return self._commit(leader, batch, opened)
        if opened.year == self._head.year and opened.number >= self._head.number:
            self._head = self._followed(self._head)
        if self._head.ahead:
            self._publish(leader, self._sign(self._head))
        if found.attempt != opened.attempt:
            return 0
        return leader.done(self._head.seen(self.log.name), found.first)

    def _commit(self, leader: Leader, batch: Batch, again: Opened | None = None) -> int:
        """Claim a batch and publish it; return how many statements it has, 0 where another claim was first.

        Args:
            leader: holds the spool's lock.
            batch: the statements.
            again: the open position, where this batch's claim may have been sent already.
        """
        assert self._head is not None
        head = self._head
        self._put_blobs(batch)
        opened = again or Opened(
            self.log.name,
            head.year,
            head.number,
            secrets.token_hex(16),
            rfc3339(self._now()),
            batch.first,
            batch.last,
            batch.waited,
        )
        at = datetime.fromisoformat(opened.at)
        entries = entries_of(batch, self._checkpoint(head), at, self._statements)
        claim = _claim(head, entries, opened.attempt, at)
        note = self._sign(head.follow(claim))
        self._step("signed")
        if again is None:
            leader.open(opened)
        if not self._claimed(claim):
            return 0
        self._publish(leader, note)
        return leader.done(self._head.seen(self.log.name), claim.first)

    def _put_blobs(self, batch: Batch) -> None:
        """Put what a batch's statements point to, but for what this turn has put for an earlier claim."""
        blobs = set(batch.blobs)
        self.log.put_blobs(blobs - self._blobs)
        self._blobs = blobs
        self._step("blobs")

    def _claimed(self, claim: Claim) -> bool:
        """Send a claim, and follow what is then there; whether that is ours."""
        assert self._head is not None
        head = self._head
        if self.log.create_claim(head.year, claim):
            found: Claim | None = claim
        else:
            found = self.log.claim(head.year, claim.number)
        self._step("claimed")
        if found is None:
            raise LogConflict(f"{self._where}: claim {claim.number} is there and is not")
        ours = found.attempt == claim.attempt
        if ours and found.entries != claim.entries:
            raise StoreUnavailable(f"{self._where}: our claim was sent twice; the next turn settles it")
        self._head = head.follow(found)
        if not ours:
            self._head = replace(self._followed(self._head), shared=True)
        return ours

    def _publish(self, leader: Leader, note: bytes) -> None:
        """Publish the head: what is derived, then itself."""
        assert self._head is not None
        head = self._head
        self.log.publish(head.year, head.derived(), head.edge.size, note)
        self._step("tiles")
        first = head.base.size == 0
        etag = self.log.move_newest(head.year, self._checkpoint(head), note, etag=head.etag, first=first)
        self._step("published")
        self._head = head.published(note, etag)
        leader.keep_edge(self._head.encode(self.log.name))
        self._looked = time.monotonic()

    def _roll_over(self, leader: Leader) -> None:
        """Close the log of a year that is over, and open the next."""
        assert self._head is not None
        year = self._now().year
        if self._head.number == 0 and self._head.year < year:
            self._head = Head(year)
        while self._head.year < year and not self._head.closed:
            before = self._checkpoint(self._head)
            self._own_claim(log_closed(before, self._now()), closes=True)
        if not self._head.closed:
            return
        if self._head.ahead:
            self._publish(leader, self._sign(self._head))
        final, note = self._checkpoint(self._head), self._head.note
        self._head = Head(max(year, self._head.year + 1))
        self._own_claim(log_opened(final, note, self._now()), closes=False)

    def _own_claim(self, payload: bytes, *, closes: bool) -> None:
        """Claim the one entry that the log says of itself; who comes first has said it."""
        assert self._head is not None
        [envelope] = self._statements.sign([payload])
        at, attempt = self._now(), secrets.token_hex(16)
        claim = replace(_claim(self._head, (envelope.to_json(),), attempt, at), closes=closes)
        self._claimed(claim)

    def _checkpoint(self, head: Head) -> Checkpoint:
        return head.checkpoint(origin(self.log.name, head.year))

    def _sign(self, head: Head) -> bytes:
        return self._checkpoints.sign(self._checkpoint(head).body())


def _claim(head: Head, entries: Sequence[bytes], attempt: str, at: datetime) -> Claim:
    return Claim(head.number, head.edge.size, head.edge.root(), attempt, at, False, tuple(entries))


def _line(head: Head, log: str) -> bytes:
    """How a kept head begins that is this one."""
    return head.encode(log).partition(b"\n")[0]
