"""Where the log ends: the next claim's number, the tree's right edge, and how far it is published.

A head moves only by following claims, each checked against the one before: a claim that doesn't begin where
the log ends, or names another root, is a contradiction, and nothing is written after it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Final

from interlock.clients.log_store import LogConflict, LogRewound, LogStore
from interlock.clients.spool_journal import Seen
from interlock.evidence.log.checkpoint import Checkpoint
from interlock.evidence.log.claim import Claim
from interlock.evidence.log.derive import DerivedObject, Edge, advance
from interlock.evidence.log.merkle import ProofError, consistency_proof, verify_consistency
from interlock.evidence.log.strict import LogFormatError
from interlock.evidence.log.tiles import TileReader
from interlock.evidence.redaction import Json
from interlock.evidence.statement import canonical

FORMAT: Final = 1


@dataclass(frozen=True)
class Head:
    """Where a year's log ends.

    Attributes:
        year: the log's year.
        number: the number of the next claim.
        base: the right edge at the size that is published.
        edge: the right edge after all claims.
        ahead: the entries between the two.
        closed: whether the last claim closes the log.
        shared: whether another writer's claim was met lately, so that it is worth looking before claiming.
        etag: that of the newest signed head when it was last seen; None if none was.
        note: the signed head at the size of `base`; empty where there is none.
    """

    year: int
    number: int = 0
    base: Edge = field(default_factory=Edge.empty, repr=False)
    edge: Edge = field(default_factory=Edge.empty, repr=False)
    ahead: tuple[bytes, ...] = field(default=(), repr=False)
    closed: bool = False
    shared: bool = False
    etag: str | None = None
    note: bytes = field(default=b"", repr=False)

    def follow(self, claim: Claim) -> Head:
        """The head after the next claim.

        Raises:
            LogConflict: it doesn't follow.
        """
        expected = (self.number, self.edge.size, self.edge.root())
        if (claim.number, claim.first, claim.root) != expected or self.closed:
            after = " and no claim after a closing one" if self.closed else ""
            raise LogConflict(
                f"claim {claim.number} of {self.year} doesn't follow: expected number {expected[0]}, first "
                f"{expected[1]} and root {expected[2].hex()}{after}, found first {claim.first} "
                f"and root {claim.root.hex()}"
            )
        return replace(
            self,
            number=self.number + 1,
            edge=advance(self.edge, claim.entries)[0],
            ahead=(*self.ahead, *claim.entries),
            closed=claim.closes,
        )

    def derived(self) -> tuple[DerivedObject, ...]:
        """What has to be published before the head at this size."""
        return advance(self.base, self.ahead)[1]

    def published(self, note: bytes, etag: str | None) -> Head:
        """The head once it is published."""
        return replace(self, base=self.edge, ahead=(), note=note, etag=etag)

    def checkpoint(self, origin: str) -> Checkpoint:
        """What is signed at this size."""
        return Checkpoint(origin, self.edge.size, self.edge.root())

    def seen(self, log: str) -> Seen:
        """The head as a spool remembers it, of the log with this name."""
        return Seen(log, self.year, self.number, self.edge.size, self.edge.root().hex())

    def encode(self, log: str) -> bytes:
        """The head as bytes, for the next leader on this host; only where all is published."""
        header: dict[str, Json] = {
            "format": FORMAT,
            "log": log,
            "year": self.year,
            "number": self.number,
            "closed": self.closed,
            "shared": self.shared,
            "etag": self.etag,
            "note": self.note.decode(),
        }
        return canonical(header) + b"\n" + self.base.encode()

    @classmethod
    def decode(cls, content: bytes, log: str) -> Head | None:
        """Read what `encode` gives; None where it is anything else, or of another log."""
        try:
            line, _, rest = content.partition(b"\n")
            header = json.loads(line)
            if (header["format"], header["log"]) != (FORMAT, log):
                return None
            edge = Edge.decode(rest)
            etag = header["etag"]
            return cls(
                int(header["year"]),
                int(header["number"]),
                edge,
                edge,
                closed=header["closed"] is True,
                shared=header.get("shared") is True,
                etag=None if etag is None else str(etag),
                note=str(header["note"]).encode(),
            )
        except (ValueError, KeyError, TypeError):
            return None


def find(log: LogStore, year: int) -> Head:
    """The head as the bucket has it: of the latest year that has a claim, else of `year`, empty.

    The right edge comes from tiles that lead to the signed root, the rest from claims.

    Raises:
        LogConflict: tiles, claims and the signed head contradict each other.
    """
    years = log.years()
    if not years:
        return Head(year)
    year = years[0]
    newest = log.newest(year)
    head = Head(year)
    if newest is not None:
        size, root = newest.checkpoint.size, newest.checkpoint.root
        try:
            edge = Edge.of_partial(size, root, lambda ref: log.tile(year, ref))
        except LogFormatError as error:
            raise LogConflict(f"bucket {log.store.bucket}: log of {year}: {error}") from error
        head = Head(year, 0, edge, edge, etag=newest.etag, note=newest.note)
    claims: list[Claim] = []
    number = log.count(year)
    end = number
    while number and (not claims or claims[-1].first > head.base.size):
        number -= 1
        claim = log.claim(year, number)
        if claim is None:
            raise LogConflict(f"bucket {log.store.bucket}: claim {number} of {year} is gone")
        if claim.end <= head.base.size:
            if claim.end != head.base.size:
                raise LogRewound(
                    f"bucket {log.store.bucket}: log of {year}: size {head.base.size} is published, and its "
                    f"claims end at {claim.end}"
                )
            head = replace(head, number=number + 1, closed=claim.closes)
            break
        claims.append(claim)
    else:
        head = replace(head, number=end - len(claims))
    return follow_all(head, reversed(claims))


def follow_all(head: Head, claims: Iterable[Claim]) -> Head:
    """The head after more claims."""
    for claim in claims:
        head = head.follow(claim)
    return head


def compared(log: LogStore, head: Head) -> Head:
    """A head that was kept, moved on to where the bucket's log ends if that is further.

    Raises:
        LogRewound: the log is shorter than what was kept.
        LogConflict: it is another log.
    """
    where, newest = f"bucket {log.store.bucket}", log.newest(head.year)
    size = newest.checkpoint.size if newest else 0
    if size < head.base.size:
        raise LogRewound(
            f"{where}: {head.base.size} entries of {head.year} were published, its newest head has {size}: "
            f"the log was rewound"
        )
    if newest and size == head.base.size:
        if newest.checkpoint.root != head.base.root():
            raise LogConflict(f"{where}: log of {head.year}: another root at size {size} than was published")
        return replace(head, etag=newest.etag, note=newest.note)
    if size > head.edge.size:
        head = follow_all(head, log.claims(head.year, head.number))
        if head.edge.size < size:
            raise LogRewound(
                f"{where}: size {size} of {head.year} is published, its claims end at {head.edge.size}"
            )
    return head


def check_seen(log: LogStore, head: Head, seen: Seen, where: str) -> None:
    """Check that a head which was seen before is the beginning of what is there now.

    Args:
        log: the log.
        head: its head.
        seen: what was seen.
        where: who has seen it, for the message.

    Raises:
        LogRewound: the log is shorter, or goes another way.
    """
    bucket = log.store.bucket
    if (seen.year, seen.size, seen.root) == (head.year, head.edge.size, head.edge.root().hex()):
        return
    size, root = head.base.size, head.base.root()
    if seen.year != head.year or seen.size > size:
        newest = log.newest(seen.year) if seen.year in log.years() else None
        if seen.year > head.year or newest is None:
            raise LogRewound(f"bucket {bucket}: {where} has seen a log of {seen.year}, which is gone")
        size, root = newest.checkpoint.size, newest.checkpoint.root
    if seen.size > size:
        raise LogRewound(
            f"bucket {bucket}: {where} has seen {seen.size} entries in the log of {seen.year}; there are "
            f"{size}: it was rewound"
        )
    if (seen.size, seen.root) == (size, root.hex()):
        return
    reader = TileReader(size, lambda ref: log.tile(seen.year, ref))
    try:
        proof = consistency_proof(seen.size, size, reader)
        verify_consistency(seen.size, size, bytes.fromhex(seen.root), root, proof)
    except (ProofError, ValueError) as error:
        raise LogRewound(
            f"bucket {bucket}: the log of {seen.year} isn't the one that {where} has seen at size "
            f"{seen.size}: {error}"
        ) from error
