"""Checks of a log in a bucket, from its claims by the pure code: forks, gaps, what is lost or doubled."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from interlock.clients.object_store import ObjectMissing, ObjectStore
from interlock.evidence.envelope import Envelope
from interlock.evidence.log.checkpoint import Checkpoint, open_checkpoint
from interlock.evidence.log.claim import Claim
from interlock.evidence.log.derive import Edge, advance
from interlock.evidence.log.layout import checkpoint_key, head_key, seq_key, seq_prefix, tile_key
from interlock.evidence.log.note import VerifierKey
from interlock.evidence.statement import claimed_payload, parse_payload, sha256

OF_THE_LOG = ("shipped", "log-closed", "log-opened")
"""What the log says of itself: nobody records it."""


@dataclass
class CheckedLog:
    """A year's log as far as it was checked.

    Attributes:
        digests: how often each statement is in it, also those that were attested late.
        kinds: how many entries there are of each predicate type.
    """

    store: ObjectStore
    year: int
    keys: list[VerifierKey]
    number: int = 0
    edge: Edge = field(default_factory=Edge.empty)
    digests: Counter[str] = field(default_factory=Counter)
    kinds: Counter[str] = field(default_factory=Counter)
    claims: list[Claim] = field(default_factory=list)
    closed: bool = False

    def go_on(self, *, tiles: bool = True) -> CheckedLog:
        """Check what has come since, each claim against the one before.

        Args:
            tiles: whether the full tiles must be there: not where the last writer was interrupted.
        """
        while True:
            try:
                claim = Claim.decode(self.store.get(seq_key(self.year, self.number)))
            except ObjectMissing:
                break
            assert not self.closed
            assert (claim.number, claim.first) == (self.number, self.edge.size), "a gap"
            assert claim.root == self.edge.root(), "a fork"
            self.edge, derived = advance(self.edge, claim.entries)
            for one in derived:
                if tiles and one.lasting:
                    assert self.store.get(tile_key(self.year, one.ref)) == one.body
            self._count(claim.entries)
            self.claims.append(claim)
            self.number += 1
            self.closed = claim.closes
        return self

    def head(self) -> Checkpoint:
        """The newest head; it is of all claims, and what leads to it is there."""
        head, _ = open_checkpoint(self.store.get(checkpoint_key(self.year)), self.keys)
        assert (head.size, head.root) == (self.edge.size, self.edge.root()), "the head is not of all claims"
        assert self.store.get(head_key(self.year, head.size))
        for one in self.edge.objects():
            assert self.store.get(tile_key(self.year, one.ref)) == one.body
        return head

    def gapless(self) -> None:
        """There is no claim after the last that was read."""
        assert len(list(self.store.keys(seq_prefix(self.year)))) == self.number

    def has_each_once(self, digests: Iterable[str]) -> None:
        """It has these statements, each once, and no others."""
        assert self.digests == Counter(digests)

    def _count(self, entries: Iterable[bytes]) -> None:
        for kind, digest in statements(entries):
            self.kinds[kind] += 1
            if kind not in OF_THE_LOG:
                self.digests[digest] += 1


def statements(entries: Iterable[bytes]) -> Iterator[tuple[str, str]]:
    """Of each entry the predicate type's short name, and the digest of the statement as it was claimed."""
    for entry in entries:
        signed = Envelope.from_json(entry).payload
        yield str(parse_payload(signed)["predicateType"]).split("/")[-2], sha256(claimed_payload(signed))


def envelopes(log: CheckedLog) -> dict[str, Envelope]:
    """The signed form of each statement, by the statement's digest."""
    found = [Envelope.from_json(entry) for claim in log.claims for entry in claim.entries]
    return {sha256(claimed_payload(one.payload)): one for one in found}


def predicates(log: CheckedLog, kind: str) -> list[Any]:
    """What the entries of a predicate type say."""
    signed = [
        parse_payload(Envelope.from_json(entry).payload) for claim in log.claims for entry in claim.entries
    ]
    return [one["predicate"] for one in signed if str(one["predicateType"]).split("/")[-2] == kind]
