"""Verify a part of a log: entries with a receipt each, as an export has them.

A part proves of each entry that it is in the log under a signed head. That nothing was left out it proves
only where a seal lists what belongs together; a period's borders are by times that writers claim.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

from interlock.evidence.log.layout import LOGS
from interlock.evidence.log.merkle import leaf_hash
from interlock.evidence.log.receipt import Receipt, ReceiptError, verify
from interlock.evidence.log.strict import LogFormatError
from interlock.evidence.verification import words
from interlock.evidence.verification.findings import Finding, Findings
from interlock.evidence.verification.heads import HeadError, read_head
from interlock.evidence.verification.locks import Locks, Missed, Place, judge_blobs, judge_retention
from interlock.evidence.verification.report import Report, YearReport
from interlock.evidence.verification.runs import judge_runs
from interlock.evidence.verification.source import Source, Version
from interlock.evidence.verification.statements import Batch, Statements
from interlock.evidence.verification.trust import Trust
from interlock.evidence.verification.verify import Options, Progress


@dataclass(frozen=True, slots=True)
class Shown:
    """What a receipt proves: the entry with this leaf hash is there, in a tree of this size and root."""

    year: int
    index: int
    leaf: bytes
    size: int
    root: bytes


def verify_receipt(
    text: bytes, name: str, trust: Trust, entry: bytes | None, statements: Statements, findings: Findings
) -> Shown | None:
    """Verify a receipt and the statement in it.

    Args:
        text: the receipt.
        name: its file.
        trust: the keys.
        entry: the entry; None: it is the receipt's extra data.
        statements: takes the statement.
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
    statements.feed(Batch(head.year, receipt.index, [leaf], name, whole=False))
    return Shown(head.year, receipt.index, leaf_hash(leaf), head.head.size, head.head.root)


def verify_part(
    receipts: Iterable[tuple[str, bytes]],
    listed: Mapping[int, set[int]],
    source: Source,
    trust: Trust,
    options: Options,
    *,
    closed: bool,
    now: datetime,
    progress: Progress | None = None,
) -> Report:
    """Verify an archive that holds a part of a log.

    Args:
        receipts: each file's name and content.
        listed: by year, the indexes that the archive says it has.
        source: has the blobs, and the versions that the exporter saw.
        trust: the keys.
        options: what to verify.
        closed: whether what a seal lists has to be in the archive (a run's, a train's), or may lie outside.
        now: the verifier's clock.
        progress: told how far it is.
    """
    tell = progress or (lambda step, done: None)
    findings = Findings()
    report = Report(source.name, trust.log, now, findings)
    statements = Statements(trust, options.tolerance)
    found: dict[int, dict[int, bytes]] = {}
    heads: dict[int, dict[int, bytes]] = {}
    for done, (name, text) in enumerate(receipts, 1):
        if (shown := verify_receipt(text, name, trust, None, statements, findings)) is not None:
            _contradicts(shown, name, found, heads, findings)
        tell("entries", done)
    for year, indexes in listed.items():
        for index in sorted(indexes - found.get(year, {}).keys()):
            if not findings.full("entry-missing"):
                said = "no receipt that proves it"
                findings.add(
                    Finding("entry-missing", f"receipts/{year}/", f"entry {index}", said, year, index)
                )
    seals = judge_runs([statements], source, findings, whole=closed, where="this part")
    findings.take(statements.findings)
    versions: list[Version] = []
    missed = Missed()
    if options.blobs:
        versions, missed = judge_blobs(
            source, statements.blobs, findings, lambda done: tell("blobs", done), all_at_once=False
        )
    locks = Locks()
    if options.retention and source.knows_versions:
        places = {digest: (year, index) for digest, (_, year, index) in statements.blobs.items()}
        asked: list[tuple[Version, Place]] = [
            (one, places.get(one.key.rpartition("/")[2])) for one in versions
        ]
        asked += [(one, None) for one in source.versions(LOGS) if not one.marker]
        locks = judge_retention(source, asked, options.lock, findings, lambda done: tell("locks", done))
    for year, roots in sorted(heads.items()):
        size = max(roots)
        proven = len(found[year])
        report.years.append(YearReport(year, 0, size, proven, roots[size].hex(), 0, len(roots)))
    report.grades = Counter(statements.grades)
    report.counts = {
        "entries": statements.count,
        **words.counted(seals, locks),
        "blobs": len(statements.blobs) if options.blobs else 0,
        "witnesses": 0,
    }
    words.conclude_part(report, trust, options, source, words.Steps(seals, missed, locks))
    return report


def _contradicts(
    shown: Shown,
    name: str,
    found: dict[int, dict[int, bytes]],
    heads: dict[int, dict[int, bytes]],
    findings: Findings,
) -> None:
    """Take what a receipt shows; two that can't both be of one log are a fork that was signed."""
    leaf = found.setdefault(shown.year, {}).setdefault(shown.index, shown.leaf)
    root = heads.setdefault(shown.year, {}).setdefault(shown.size, shown.root)
    if root != shown.root:
        expected = f"root {root.hex()} at size {shown.size}, as other receipts have it"
        said = f"a signed root {shown.root.hex()}"
    elif leaf != shown.leaf:
        expected = f"leaf hash {leaf.hex()} at {shown.index}, as another receipt proves"
        said = f"leaf hash {shown.leaf.hex()}, under the signed head of size {shown.size}"
    else:
        return
    findings.add(Finding("checkpoint-fork", name, expected, said, shown.year, shown.index))
