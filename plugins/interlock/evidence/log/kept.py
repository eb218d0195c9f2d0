"""Heads of the log that were kept outside its bucket, and whether the log still contains them.

A log that its operators sign can be rewound by them, and what is left is consistent in itself. Whoever kept
one signed head elsewhere can tell: that head must be the log's own, or lead to it by a consistency proof.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

from interlock.evidence.log.checkpoint import Checkpoint, open_checkpoint
from interlock.evidence.log.layout import year_of
from interlock.evidence.log.merkle import HashReader, ProofError, consistency_proof, verify_consistency
from interlock.evidence.log.note import VerifierKey
from interlock.evidence.log.strict import LogFormatError


class KeptHeadError(LogFormatError):
    """What is kept at a place can't be compared, or contradicts the log."""


class KeptHeadUnusable(KeptHeadError):
    """What is kept is no head of this log: not signed by its keys, or of another log."""


class KeptHeadContradicts(KeptHeadError):
    """The log doesn't contain the head that was kept: it was rewound, or replaced."""


@dataclass(frozen=True)
class KeptHead:
    """A signed head as it was kept.

    Attributes:
        place: where, in words.
        year: the log's year.
        checkpoint: what it says.
    """

    place: str
    year: int
    checkpoint: Checkpoint

    @classmethod
    def read(cls, place: str, note: bytes, keys: Iterable[VerifierKey], log: str) -> Self:
        """Read a signed note.

        Args:
            place: where it was kept, in words.
            note: the note.
            keys: the log's keys.
            log: the log's name.

        Raises:
            KeptHeadUnusable: it is no head of this log.
        """
        try:
            checkpoint, _ = open_checkpoint(note, keys)
        except LogFormatError as error:
            raise KeptHeadUnusable(f"{place} holds no signed head of the log {log}: {error}") from error
        year = year_of(checkpoint.origin, log)
        if year is None:
            raise KeptHeadUnusable(f"{place} holds a head of {checkpoint.origin}, not of the log {log}")
        return cls(place, year, checkpoint)

    def before(self, newest: Checkpoint, year: int) -> bool:
        """Whether a head that the log contains is later than this one."""
        return (self.year, self.checkpoint.size) < (year, newest.size)


def check_contained(kept: KeptHead, newest: Checkpoint | None, read: HashReader) -> None:
    """Check that the log contains a head that was kept.

    Args:
        kept: the head.
        newest: the log's newest head of the same year; None: it has none.
        read: gives the hashes of the tree under that head; what it says is proven, not believed.

    Raises:
        KeptHeadContradicts: it does not.
    """
    old = kept.checkpoint
    said = f"{kept.place} holds a head of {kept.year} with {old.size} entries, root {old.root.hex()}"
    if newest is None:
        raise KeptHeadContradicts(f"{said}; the log has no head of that year: it is gone")
    if newest.size < old.size:
        raise KeptHeadContradicts(f"{said}; the log's newest one has {newest.size}: it was rewound")
    try:
        proof = consistency_proof(old.size, newest.size, read)
        verify_consistency(old.size, newest.size, old.root, newest.root, proof)
    except ProofError as error:
        raise KeptHeadContradicts(
            f"{said}; the log's newest one, with {newest.size}, does not go on from it: {error}"
        ) from error
