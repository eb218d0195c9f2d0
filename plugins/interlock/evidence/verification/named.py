"""The evidence that statements name, taken together."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from interlock.evidence.verification.findings import Finding, Findings


@dataclass(frozen=True, slots=True)
class Named:
    """Evidence that a statement names.

    Attributes:
        size: bytes, as it signs.
        year, index: of the first entry that names it.
        newest: when the store took the newest entry that names it; None: that is not known.
    """

    size: int
    year: int
    index: int
    newest: datetime | None = None


class Blobs(dict[str, Named]):
    """By digest, the evidence that is named."""

    def name(self, digest: str, named: Named) -> tuple[str, str] | None:
        """Take what a statement names; where another one signs another size, what was expected and found."""
        before = self.setdefault(digest, named)
        times = [one.newest for one in (before, named) if one.newest is not None]
        newest = max(times, default=None)
        if before.newest != newest:
            self[digest] = replace(before, newest=newest)
        if before.size == named.size:
            return None
        said = f"{before.size} bytes of evidence {digest}, as entry {before.index} of {before.year} signs"
        return said, f"{named.size} bytes"


def named_by_all(years: Iterable[Mapping[str, Named]], findings: Findings) -> Blobs:
    """What the statements of several years name; two sizes of one blob are a finding."""
    found = Blobs()
    for year in years:
        for digest, named in year.items():
            if (differs := found.name(digest, named)) is not None:
                findings.add(Finding("blob-size", "", *differs, named.year, named.index))
    return found
