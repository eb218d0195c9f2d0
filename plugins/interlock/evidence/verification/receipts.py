"""Verify a receipt: that an entry is in the log under a signed head."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from interlock.evidence.log.merkle import leaf_hash
from interlock.evidence.log.receipt import Receipt, ReceiptError, verify
from interlock.evidence.log.strict import LogFormatError
from interlock.evidence.verification.entry import Entry
from interlock.evidence.verification.findings import Finding, Findings
from interlock.evidence.verification.heads import HeadError, read_head
from interlock.evidence.verification.statements import Batch, Statements
from interlock.evidence.verification.trust import Trust


@dataclass(frozen=True, slots=True)
class Shown:
    """What a receipt proves: the entry is there, in a tree of this size and root."""

    name: str
    year: int
    index: int
    entry: bytes = field(repr=False)
    size: int
    root: bytes

    @property
    def leaf(self) -> bytes:
        """The entry's leaf hash."""
        return leaf_hash(self.entry)

    def feed(self, statements: Statements, bound: datetime) -> Entry | None:
        """Have the statement taken, which can't be of later than `bound`; what it says, None: unreadable."""
        batch = Batch(self.year, self.index, [self.entry], self.name, bound=bound, whole=False)
        (entry,) = statements.feed(batch)
        return entry


def verify_receipt(
    text: bytes, name: str, trust: Trust, entry: bytes | None, findings: Findings
) -> Shown | None:
    """Verify a receipt.

    Args:
        text: the receipt.
        name: its file.
        trust: the keys.
        entry: the entry; None: it is the receipt's extra data.
        findings: takes what is found.

    Returns:
        What it shows; None where it proves nothing.
    """
    try:
        receipt = Receipt.decode(text)
    except ReceiptError as error:
        findings.add(Finding("receipt-malformed", name, "a proof in the form tlog-proof", str(error)[:300]))
        return None
    leaf = receipt.extra if entry is None else entry
    try:
        head = read_head(receipt.checkpoint, trust, name)
    except HeadError as error:
        findings.add(Finding(error.code, name, error.expected, str(error)))
        return None
    place = (head.year, receipt.index)
    if leaf is None:
        findings.add(Finding("receipt-mismatch", name, "an entry", "no entry came with the receipt", *place))
        return None
    try:
        verify(leaf, receipt, trust.checkpoints)
    except LogFormatError as error:
        expected = f"entry {receipt.index} under the head of size {head.head.size}"
        findings.add(Finding("receipt-mismatch", name, expected, str(error)[:300], *place))
        return None
    return Shown(name, head.year, receipt.index, leaf, head.head.size, head.head.root)
