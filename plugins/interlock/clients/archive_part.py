"""Archives that hold a part of a log, and single receipts, handed to the core."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

from interlock.clients.archive import LIST, Archive
from interlock.evidence.log.receipt import EXTENSION, MAX_RECEIPT_BYTES
from interlock.evidence.verification import words
from interlock.evidence.verification.findings import Findings
from interlock.evidence.verification.part import Claimed, verify_part
from interlock.evidence.verification.receipts import verify_receipt
from interlock.evidence.verification.report import Report, YearReport
from interlock.evidence.verification.selection import Selection, SelectionError
from interlock.evidence.verification.source import ArchiveError
from interlock.evidence.verification.statements import Statements
from interlock.evidence.verification.trust import Trust
from interlock.evidence.verification.verify import TOLERANCE, Options, Progress

RECEIPTS: Final = "receipts/"
PART: Final = "part"
WHOLE: Final = "whole"


def is_part(archive: Archive) -> bool:
    """Whether an archive says that it holds a part of a log."""
    return archive.header.get("kind") == PART


def receipt_path(year: int, index: int) -> str:
    """Where an archive has the receipt of an entry."""
    return f"{RECEIPTS}{year:04d}/{index:020d}{EXTENSION}"


def verify_archived_part(
    archive: Archive, trust: Trust, options: Options, now: datetime, progress: Progress
) -> Report:
    """Verify an archive that holds a part of a log.

    Raises:
        SourceError: it can't be read.
    """
    claimed = Claimed(archive.entries, _selection(archive))
    return verify_part(_receipts(archive), claimed, archive, trust, options, now=now, progress=progress)


def _selection(archive: Archive) -> Selection | None:
    said = archive.header.get("selection")
    try:
        return None if said is None else Selection.of_json(said)
    except SelectionError as error:
        raise ArchiveError(f"{archive.name}: {LIST}, line 1: {error}") from None


def verify_one_receipt(text: bytes, name: str, trust: Trust, entry: bytes | None) -> Report:
    """Verify a receipt on its own."""
    findings, now = Findings(), datetime.now(UTC)
    report = Report(f"receipt {name}", trust.log, now, findings)
    statements = Statements(trust, TOLERANCE)
    shown = verify_receipt(text, name, trust, entry, findings)
    if shown is not None:
        shown.feed(statements, now)
        findings.take(statements.findings)
        size, root = shown.size, shown.root.hex()
        report.years.append(YearReport(shown.year, 0, size, 1, root, 0, 1))
        said = next(iter(statements.runs.values()), None)
        report.proven.append(
            f"entry {shown.index} of {shown.year} is in the tree of {size} entries with root {root}, "
            f"which a key of {trust.log} signed{f'; it is of {said.name}' if said else ''}"
        )
    report.grades = dict(statements.grades)
    report.counts = {"entries": statements.count}
    words.conclude_receipt(report, trust)
    return report


def _receipts(archive: Archive) -> Iterator[tuple[str, bytes]]:
    for path in sorted(archive.paths):
        # A file browser leaves files of its own, whose names begin with a dot.
        if path.startswith(RECEIPTS) and not path.rpartition("/")[2].startswith("."):
            yield path, archive.file(path, MAX_RECEIPT_BYTES)
