"""Checkpoints, the log's signed heads (C2SP tlog-checkpoint): origin, tree size and root in a signed note.

Ours have no extension lines, and the key's name is the log's name: the origin without its year, so that one
key signs the logs of all years.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from interlock.evidence.log.layout import year_of
from interlock.evidence.log.merkle import EMPTY_ROOT, HASH_BYTES
from interlock.evidence.log.note import VerifierKey, open_note
from interlock.evidence.log.strict import MAX_SIZE, LogFormatError, decimal, from_base64, shown, to_base64


class CheckpointError(LogFormatError):
    """A text is no checkpoint, or not one of the expected log."""


@dataclass(frozen=True)
class Checkpoint:
    """A tree head.

    Attributes:
        origin: the log, `<log name>/<year>`.
        size: number of leaves, 0 to 2**63 - 1.
        root: root hash, 32 bytes.
    """

    origin: str
    size: int
    root: bytes

    def __post_init__(self) -> None:
        if not self.origin or any(ord(letter) < 0x20 for letter in self.origin):
            raise CheckpointError(
                f"checkpoint, origin: expected one line of text, found {shown(self.origin)}"
            )
        if not 0 <= self.size <= MAX_SIZE:
            raise CheckpointError(f"checkpoint, size: expected 0 to {MAX_SIZE}, found {self.size}")
        if len(self.root) != HASH_BYTES:
            raise CheckpointError(f"checkpoint, root: expected {HASH_BYTES} bytes, found {len(self.root)}")
        if self.size == 0 and self.root != EMPTY_ROOT:
            raise CheckpointError(
                f"checkpoint, root at size 0: expected {to_base64(EMPTY_ROOT)}, found {to_base64(self.root)}"
            )

    def body(self) -> str:
        """Return the note text: three lines, each ended by a newline."""
        return f"{self.origin}\n{self.size}\n{to_base64(self.root)}\n"

    @classmethod
    def of_body(cls, body: str) -> Checkpoint:
        """Read the text that `body` gives.

        Raises:
            CheckpointError: it is anything else; also with extension lines, which no log of ours writes.
        """
        lines = body.split("\n", 4)
        if len(lines) != 4 or lines[3]:
            raise CheckpointError(
                f"checkpoint: expected three whole lines (origin, size, root), found {shown(body)}"
            )
        origin, size, root, _ = lines
        return cls(
            origin,
            decimal(size, "checkpoint, size", CheckpointError),
            from_base64(root, "checkpoint, root", CheckpointError, HASH_BYTES),
        )


def open_checkpoint(
    note: bytes, keys: Iterable[VerifierKey], origin: str | None = None
) -> tuple[Checkpoint, tuple[VerifierKey, ...]]:
    """Return the checkpoint in a signed note, and which of the keys signed it.

    Args:
        note: the signed note.
        keys: the trusted keys.
        origin: the log it must be of; without it, a log of any year with the name of a key that signed.

    Raises:
        NoteError: it is no note, a known key's signature does not fit, or none of the keys signed.
        CheckpointError: it is signed, but no checkpoint of that log.
    """
    body, verified = open_note(note, keys)
    checkpoint = Checkpoint.of_body(body)
    if origin is None:
        names = list(dict.fromkeys(key.name for key in verified))
        if all(year_of(checkpoint.origin, name) is None for name in names):
            raise CheckpointError(
                f"checkpoint, origin: expected {' or '.join(names)}/<year>, found {shown(checkpoint.origin)}"
            )
    elif checkpoint.origin != origin:
        raise CheckpointError(f"checkpoint, origin: expected {origin}, found {shown(checkpoint.origin)}")
    return checkpoint, verified
