"""An audit of a log while it is written: verified, and compared with what the writers were told."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime

from interlock.clients.log_reader import BucketSource
from interlock.evidence.log.layout import checkpoint_key
from interlock.evidence.log.note import VerifierKey
from interlock.evidence.verification.heads import SignedHead, read_head
from interlock.evidence.verification.report import Exit
from interlock.evidence.verification.source import MAX_CHECKPOINT
from interlock.evidence.verification.trust import Trust
from interlock.evidence.verification.verify import Options, verify
from tests.clients.log_checks import OF_THE_LOG, CheckedLog, statements
from tests.clients.log_writers import Crowd, Ledger


@dataclass
class Audit:
    """What the log has, next to what the writers were told.

    Attributes:
        checked: the log by its claims.
        source: the bucket, as the auditor reads it.
        keys: of the log's heads.
        statement_keys: of the statements.
        places: index of each statement in the log.
        head: the head up to which it was verified.
    """

    crowd: Crowd
    checked: CheckedLog
    source: BucketSource
    keys: tuple[VerifierKey, ...]
    statement_keys: tuple[VerifierKey, ...]
    places: dict[str, int] = field(default_factory=dict)
    head: SignedHead | None = None
    _open: list[Ledger] = field(default_factory=list)
    _ledgers: int = 0

    def verify(self) -> None:
        """Verify what is new since the last look."""
        trust = Trust.of(self.keys, self.statement_keys)
        report = verify(self.source, trust, Options(since=self.head), now=datetime.now(UTC))
        assert report.exit is Exit.VERIFIED, list(report.findings)
        key = checkpoint_key(self.checked.year)
        self.head = read_head(self.source.read(key, MAX_CHECKPOINT), trust, key)

    def compare(self) -> None:
        """Compare what is new: no fork, no gap, nothing twice, each where its writer was told it is."""
        for claim in self.checked.go_on(tiles=False).claims:
            for index, (kind, digest) in enumerate(statements(claim.entries), claim.first):
                assert digest not in self.places, f"doubled: entries {self.places[digest]} and {index}"
                if kind not in OF_THE_LOG:
                    self.places[digest] = index
        self.checked.claims.clear()
        self._open += self.crowd.ledgers[self._ledgers :]
        self._ledgers = len(self.crowd.ledgers)
        for ledger in self._open:
            for one in ledger.go_on():
                if one.index is not None:
                    assert self.places.get(one.digest) == one.index, f"{ledger.file.name}: {one}"
        self._open = [ledger for ledger in self._open if not ledger.ended]

    def close(self) -> int:
        """All that was kept is in the log, what is there was begun, each writer's in its order; how many."""
        kept, begun = 0, set[str]()
        for ledger in self.crowd.ledgers:
            lost = [one for one in ledger.told.values() if one.kept and one.digest not in self.places]
            assert not lost, f"{ledger.file.name}: lost {lost}"
            found = [self.places[digest] for digest in ledger.told if digest in self.places]
            assert found == sorted(found), f"{ledger.file.name}: not in its order"
            begun.update(ledger.told)
            kept += sum(one.kept for one in ledger.told.values())
        assert self.places.keys() <= begun, "made up"
        return kept
