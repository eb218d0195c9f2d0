"""Look for statements that were logged again, among entries that an incremental verification doesn't read.

There is no index by digest. But the store took the first one soon after it was made, and claims are in the
order in which the store took them: so it is looked for beside the time that it claims, and costs a search
over the claims' times and a few claims. Who waited in a spool for longer is found when all is verified.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from interlock.evidence.log.claim import Claim, ClaimError
from interlock.evidence.log.layout import seq_key
from interlock.evidence.verification.entry import SKEW, EntryError, read_entry
from interlock.evidence.verification.findings import Finding, Findings
from interlock.evidence.verification.since import last_number
from interlock.evidence.verification.source import MAX_CLAIM, UNUSABLE, Source, shifted
from interlock.evidence.verification.statements import UNBOUNDED, Older

MOST: Final = 64
"""Claims that are read at most, beyond as many as are new."""


@dataclass
class _Claims:
    """The claims before a number: when the store took them, and which statements they have."""

    source: Source
    year: int
    end: int

    def stored(self, number: int) -> datetime | None:
        """When the store took a claim."""
        key = seq_key(self.year, number)
        times = [one.modified for one in self.source.versions(key) if one.key == key and not one.marker]
        return times[-1] if times else None

    def after(self, at: datetime) -> int:
        """The number of the first claim that the store took at that time or later."""

        def before(number: int) -> bool:
            stored = self.stored(number) if number < self.end else None
            return stored is not None and stored < at

        return last_number(before) + 1 if before(0) else 0

    def entries(self, number: int) -> Iterator[tuple[int, str]]:
        """Index and digest of a claim's statements; of what is unreadable none."""
        try:
            claim = Claim.decode(self.source.read(seq_key(self.year, number), MAX_CLAIM))
        except (ClaimError, *UNUSABLE):
            return
        for index, leaf in enumerate(claim.entries, claim.first):
            try:
                yield index, read_entry(leaf, None).digest
            except EntryError:
                continue


def judge_doubled(
    source: Source, year: int, end: int, older: Sequence[Older], findings: Findings, *, most: int
) -> int:
    """Look for each of the statements among the claims before `end`; a second one is a finding.

    Args:
        source: has the log.
        year: of the log.
        end: number of the first claim that was read anyway.
        older: the statements, which claim times before what was not read ended.
        findings: takes what is found.
        most: claims to read at most.

    Returns:
        For how many statements it was not looked, there being too many claims beside their time.
    """
    claims, read = _Claims(source, year, end), 0
    waiting = {one.digest: one for one in older}
    position = 0
    for number, one in enumerate(ordered := sorted(older, key=lambda each: each.at)):
        position = max(position, claims.after(shifted(one.at, -SKEW)))
        while position < end and (taken := claims.stored(position)) is not None:
            if taken > shifted(one.at, UNBOUNDED + SKEW):
                break
            if read == most:
                return len(ordered) - number
            read += 1
            for index, digest in claims.entries(position):
                if (again := waiting.get(digest)) is not None and again.index != index:
                    said = f"statement {digest} is entry {index} of {year} already"
                    findings.add(
                        Finding(
                            "entry-duplicate", again.object, "each statement once", said, year, again.index
                        )
                    )
            position += 1
    return 0
