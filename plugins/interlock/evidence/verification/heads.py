"""Signed heads: read, and taken only when a trusted key signed them for this log."""

from __future__ import annotations

from dataclasses import dataclass

from interlock.evidence.log.checkpoint import Checkpoint, CheckpointError
from interlock.evidence.log.layout import checkpoint_key, head_key, origin, year_of
from interlock.evidence.log.note import NoteError, open_note, parse_note
from interlock.evidence.verification.findings import Finding, Findings
from interlock.evidence.verification.inventory import YearInventory
from interlock.evidence.verification.settle import Head
from interlock.evidence.verification.source import MAX_CHECKPOINT, Source, SourceError, Version
from interlock.evidence.verification.trust import Trust


class HeadError(ValueError):
    """This is no signed head of the log.

    Attributes:
        code: the finding's.
        expected: what it should be.
    """

    def __init__(self, code: str, expected: str, found: str) -> None:
        super().__init__(found)
        self.code = code
        self.expected = expected


@dataclass(frozen=True, slots=True)
class SignedHead:
    """A head of a year's log that a trusted key signed."""

    year: int
    head: Head
    signers: tuple[str, ...]


def read_head(text: bytes, trust: Trust, key: str) -> SignedHead:
    """Read a checkpoint.

    Raises:
        HeadError: it is malformed, of another log, or not signed by a trusted key.
    """
    expected = "a signed note with a checkpoint (C2SP tlog-checkpoint)"
    try:
        parse_note(text)
    except NoteError as error:
        raise HeadError("checkpoint-malformed", expected, str(error)[:300]) from None
    try:
        body, signers = open_note(text, trust.checkpoints)
    except NoteError as error:
        names = ", ".join(f"{one.name}+{one.keyid}" for one in trust.checkpoints)
        raise HeadError("checkpoint-signature", f"a signature of {names}", str(error)[:300]) from None
    try:
        checkpoint = Checkpoint.of_body(body)
    except CheckpointError as error:
        raise HeadError("checkpoint-malformed", expected, str(error)[:300]) from None
    if (year := year_of(checkpoint.origin, trust.log)) is None:
        raise HeadError("checkpoint-origin", f"{trust.log}/YEAR", checkpoint.origin[:200])
    head = Head(checkpoint.size, checkpoint.root, key)
    return SignedHead(year, head, tuple(one.keyid for one in signers))


def read_heads(
    source: Source, inventory: YearInventory, trust: Trust, findings: Findings
) -> list[SignedHead]:
    """All signed heads of a year; what is none is a finding."""
    versions = [*inventory.checkpoints.values(), *inventory.heads[:1]]
    found: list[SignedHead] = []

    def read(version: Version) -> SignedHead | HeadError:
        try:
            text = source.read(version.key, MAX_CHECKPOINT, version.version_id)
            return read_head(text, trust, version.key)
        except HeadError as error:
            return error
        except SourceError as error:
            return HeadError("checkpoint-malformed", "a checkpoint", str(error)[:300])

    for version, answer in zip(versions, source.several(read, versions), strict=True):
        size = version.key.rpartition("/")[2]
        if isinstance(answer, HeadError):
            findings.add(Finding(answer.code, version.key, answer.expected, str(answer), inventory.year))
        elif answer.year != inventory.year:
            expected, said = origin(trust.log, inventory.year), origin(trust.log, answer.year)
            findings.add(Finding("checkpoint-origin", version.key, expected, said, inventory.year))
        elif size.isdecimal() and int(size) != answer.head.size:
            said = f"size {answer.head.size}"
            findings.add(Finding("checkpoint-size", version.key, f"size {int(size)}", said, inventory.year))
        else:
            found.append(answer)
    return found


def judge_newest(
    inventory: YearInventory, heads: list[SignedHead], findings: Findings, *, claimed: int
) -> None:
    """Compare the object `checkpoint` with the heads that were kept for good."""
    year = inventory.year
    key = checkpoint_key(year)
    newest = next((one.head.size for one in heads if one.head.object == key), None)
    largest = max((one.head.size for one in heads if one.head.object != key), default=None)
    if not heads:
        if claimed:
            found = f"{claimed} entries and no signed head" if inventory.heads else "none"
            findings.add(
                Finding("checkpoint-missing", key, "a head signed by a trusted key", found, year, 0, claimed)
            )
    elif newest is None and not inventory.heads:
        findings.add(Finding("checkpoint-missing", key, f"a signed head of size {largest}", "none", year))
    elif newest is not None and largest is not None and newest < largest:
        later = [one.head.size for one in heads if one.head.size > newest and one.head.object != key]
        code = "head-behind" if len(later) == 1 else "checkpoint-old"
        findings.add(Finding(code, key, f"size {largest}", f"size {newest}", year, newest, largest))
    elif newest is not None and (largest is None or largest < newest):
        missing = head_key(year, newest)
        findings.add(Finding("checkpoint-missing", missing, f"the head of size {newest}", "none", year))
