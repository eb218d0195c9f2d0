"""Signed heads: read, and taken only when a trusted key signed them for this log."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from interlock.evidence.log.checkpoint import Checkpoint, CheckpointError
from interlock.evidence.log.layout import checkpoint_key, head_key, origin, year_of
from interlock.evidence.log.note import NoteError, open_note, parse_note
from interlock.evidence.verification.findings import Finding, Findings
from interlock.evidence.verification.inventory import YearInventory
from interlock.evidence.verification.settle import Head
from interlock.evidence.verification.source import MAX_CHECKPOINT, UNUSABLE, ObjectMissing, Source, Version
from interlock.evidence.verification.trust import Trust

OVERDUE: Final = timedelta(hours=24)
"""For how long claims may be without a signed head, or heads without being published, before that is bad."""


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
    text: str = ""


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
    return SignedHead(year, head, tuple(one.keyid for one in signers), text.decode())


@dataclass(frozen=True)
class Heads:
    """The signed heads of a year's log.

    Attributes:
        kept: those under `checkpoints/`.
        moved: the versions of `checkpoint`, the newest first; None: it is no head of this log.
        limit: heads of more entries are later than what is looked at; None: none is.
    """

    kept: tuple[SignedHead, ...]
    moved: tuple[SignedHead | None, ...]
    limit: int | None = None

    @property
    def published(self) -> int:
        """The largest size that `checkpoint` had; 0 where it is not there. What it needs was there before."""
        return max((one.head.size for one in self.moved if one is not None), default=0)

    @property
    def all(self) -> list[SignedHead]:
        """Each different head once: the log has to bear out all of them."""
        found: dict[tuple[int, bytes], SignedHead] = {}
        for one in (*self.kept, *self.moved):
            if one is not None and (self.limit is None or one.head.size <= self.limit):
                found.setdefault((one.head.size, one.head.root), one)
        return list(found.values())


def read_heads(
    source: Source, inventory: YearInventory, trust: Trust, findings: Findings, *, after: int = -1
) -> Heads:
    """All signed heads of a year; what is none is a finding.

    Args:
        source: has them.
        inventory: lists them.
        trust: the keys.
        findings: takes what is found.
        after: of the versions of `checkpoint`, those before one of this size or less are not read.
    """

    def read(item: tuple[Version, str]) -> SignedHead | HeadError | None:
        version, name = item
        try:
            return read_head(source.read(version.key, MAX_CHECKPOINT, version.version_id), trust, name)
        except HeadError as error:
            return error
        except UNUSABLE as error:
            if source.live and name != version.key and isinstance(error, ObjectMissing):
                return None  # the lock of a version that was replaced ends after a day: it may be gone
            return HeadError("checkpoint-malformed", "a checkpoint", str(error)[:300])

    def judged(name: str, answer: SignedHead | HeadError, size: int | None) -> SignedHead | None:
        if isinstance(answer, HeadError):
            findings.add(Finding(answer.code, name, answer.expected, str(answer), inventory.year))
        elif answer.year != inventory.year:
            expected, said = origin(trust.log, inventory.year), origin(trust.log, answer.year)
            findings.add(Finding("checkpoint-origin", name, expected, said, inventory.year))
        elif size is not None and size != answer.head.size:
            said = f"size {answer.head.size}"
            findings.add(Finding("checkpoint-size", name, f"size {size}", said, inventory.year))
        else:
            return answer
        return None

    kept = [(size, version) for size, version in inventory.checkpoints.items()]
    answers = source.several(read, ((version, version.key) for _, version in kept))
    found = [
        judged(version.key, answer, size)
        for (size, version), answer in zip(kept, answers, strict=True)
        if answer is not None
    ]
    moved: list[SignedHead | None] = []
    versions = [
        (version, version.key if not number else f"{version.key}, version {version.version_id}")
        for number, version in enumerate(inventory.heads)
    ]
    for (_, name), answer in zip(versions, source.several(read, versions), strict=False):
        if answer is not None:
            moved.append(judged(name, answer, None))
            if (last := moved[-1]) is not None and last.head.size <= after:
                break
    return Heads(tuple(one for one in found if one is not None), tuple(moved), inventory.limit)


def judge_newest(
    inventory: YearInventory, heads: Heads, findings: Findings, *, claimed: int, now: datetime
) -> None:
    """Compare the object `checkpoint` with its versions before, and with the heads that were kept for good.

    Args:
        inventory: lists the claims and heads.
        heads: the signed ones.
        findings: takes what is found.
        claimed: entries that claims have.
        now: the time at which the log is judged.
    """
    year, key = inventory.year, checkpoint_key(inventory.year)
    newest = heads.moved[0].head.size if heads.moved and heads.moved[0] is not None else None
    replaced = max((one.head.size for one in heads.moved if one is not None), default=0)
    largest = max((one.head.size for one in heads.kept), default=None)
    if not heads.all:
        if claimed:
            _headless(inventory, findings, claimed, now)
    elif newest is None and not inventory.heads:
        first = [one.modified for one in inventory.checkpoints.values() if one.modified is not None]
        young = len(inventory.checkpoints) == len(first) == 1 and now - first[0] <= OVERDUE
        code = "head-behind" if young else "checkpoint-missing"
        findings.add(Finding(code, key, f"a signed head of size {largest}", "none", year))
    elif newest is None:
        pass  # it is no signed head: that is a finding already
    elif newest < replaced:
        said = f"size {newest}, put over size {replaced}"
        findings.add(Finding("checkpoint-old", key, f"size {replaced}", said, year, newest, replaced))
    elif largest is not None and newest < largest:
        later = [inventory.checkpoints[one.head.size] for one in heads.kept if one.head.size > newest]
        since = min((one.modified for one in later if one.modified is not None), default=None)
        old = len(later) > 1 and since is not None and now - since > OVERDUE
        code = "checkpoint-old" if old else "head-behind"
        findings.add(Finding(code, key, f"size {largest}", f"size {newest}", year, newest, largest))
    elif (largest is None or largest < newest) and (heads.limit is None or newest <= heads.limit):
        missing = head_key(year, newest)
        findings.add(Finding("checkpoint-missing", missing, f"the head of size {newest}", "none", year))


def _headless(inventory: YearInventory, findings: Findings, claimed: int, now: datetime) -> None:
    """There are claims and no signed head: its writer is at it, or somebody took the heads away."""
    first = inventory.claims[min(inventory.claims)].modified if inventory.claims else None
    young = first is not None and now - first <= OVERDUE and not inventory.heads
    found = f"{claimed} entries and no signed head" if inventory.heads or young else "none"
    code = "head-pending" if young else "checkpoint-missing"
    key, year = checkpoint_key(inventory.year), inventory.year
    findings.add(Finding(code, key, "a head signed by a trusted key", found, year, 0, claimed))
