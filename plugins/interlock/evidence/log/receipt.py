"""Receipts: that an entry is in the log, in one text that is checked offline (C2SP tlog-proof v1).

c2sp.org/tlog-proof@v1
extra <Base 64>            (only with extra data; nobody vouches for it)
index <decimal>
<Base 64 of a hash>        (each hash of the inclusion proof, from the leaf's sibling up)

<checkpoint, a signed note>
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

from interlock.evidence.log.checkpoint import Checkpoint, open_checkpoint
from interlock.evidence.log.merkle import HASH_BYTES, leaf_hash, verify_inclusion
from interlock.evidence.log.note import MAX_NOTE_BYTES, VerifierKey
from interlock.evidence.log.strict import MAX_SIZE, LogFormatError, decimal, from_base64, shown, to_base64

HEADER: Final = "c2sp.org/tlog-proof@v1"
EXTENSION: Final = ".tlog-proof"
MAX_EXTRA_BYTES: Final = 64 * 1024
MAX_PROOF: Final = 63
"""Most hashes: the height of a tree of 2**63 - 1 leaves."""
MAX_RECEIPT_BYTES: Final = 2 * MAX_EXTRA_BYTES + 64 * 100 + MAX_NOTE_BYTES


class ReceiptError(LogFormatError):
    """A text is no receipt."""


@dataclass(frozen=True)
class Receipt:
    """A proof that the log holds an entry.

    Attributes:
        index: the entry's index in the log.
        proof: inclusion proof in the checkpoint's tree, from the leaf's sibling up, 32 bytes each.
        checkpoint: the signed note.
        extra: bytes that come along, unauthenticated; None where there are none.
    """

    index: int
    proof: tuple[bytes, ...]
    checkpoint: bytes = field(repr=False)
    extra: bytes | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.index < MAX_SIZE:
            raise ReceiptError(f"receipt, index: expected 0 to {MAX_SIZE - 1}, found {self.index}")
        if len(self.proof) > MAX_PROOF or any(len(value) != HASH_BYTES for value in self.proof):
            raise ReceiptError(
                f"receipt, proof: expected up to {MAX_PROOF} of {HASH_BYTES} bytes, found {len(self.proof)}"
            )
        if self.extra is not None and not 1 <= len(self.extra) <= MAX_EXTRA_BYTES:
            raise ReceiptError(
                f"receipt, extra: expected 1 to {MAX_EXTRA_BYTES} bytes, found {len(self.extra)}"
            )

    def encode(self) -> bytes:
        """Return the receipt's text."""
        lines = [HEADER]
        if self.extra is not None:
            lines.append(f"extra {to_base64(self.extra)}")
        lines.append(f"index {self.index}")
        lines += map(to_base64, self.proof)
        return "\n".join([*lines, "", ""]).encode() + self.checkpoint

    @classmethod
    def decode(cls, text: bytes) -> Receipt:
        """Read a receipt. Nothing is verified, and the checkpoint is taken as it is.

        Raises:
            ReceiptError: it is no tlog-proof of version 1.
        """
        if len(text) > MAX_RECEIPT_BYTES:
            raise ReceiptError(f"receipt: expected at most {MAX_RECEIPT_BYTES} bytes, found {len(text)}")
        head, blank, checkpoint = text.partition(b"\n\n")
        if not blank or not head.isascii():
            raise ReceiptError(
                f"receipt: expected ASCII lines, an empty line and a checkpoint, found {shown(text)}"
            )
        lines = head.decode().split("\n")
        first = lines.pop(0)
        if first != HEADER:
            raise ReceiptError(f"receipt, first line: expected {HEADER}, found {shown(first)}")
        extra = None
        if lines and lines[0].startswith("extra "):
            extra = from_base64(lines.pop(0).removeprefix("extra "), "receipt, extra", ReceiptError)
        if not lines or not lines[0].startswith("index "):
            raise ReceiptError(
                f"receipt: expected a line 'index <decimal>', found {shown(''.join(lines[:1]))}"
            )
        index = decimal(lines.pop(0).removeprefix("index "), "receipt, index", ReceiptError)
        if len(lines) > MAX_PROOF:
            raise ReceiptError(f"receipt, proof: expected at most {MAX_PROOF} hashes, found {len(lines)}")
        proof = tuple(from_base64(line, "receipt, proof", ReceiptError, HASH_BYTES) for line in lines)
        return cls(index, proof, checkpoint, extra)


def verify(
    leaf: bytes, receipt: Receipt, keys: Iterable[VerifierKey], origin: str | None = None
) -> tuple[Checkpoint, tuple[VerifierKey, ...]]:
    """Check that a log holds the entry `leaf` (its bytes, not its hash); return its head and who signed it.

    Args:
        leaf: the entry.
        receipt: what shows it.
        keys: the trusted keys.
        origin: the log; without it, a log of any year with the name of a key that signed.

    Raises:
        NoteError, CheckpointError: the checkpoint is not signed by these keys, or is not of this log.
        ProofError: the entry is not at that place in the checkpoint's tree.
    """
    checkpoint, verified = open_checkpoint(receipt.checkpoint, keys, origin)
    verify_inclusion(receipt.index, checkpoint.size, leaf_hash(leaf), checkpoint.root, receipt.proof)
    return checkpoint, verified
