"""Look for a statement in the log, and for a signed head over it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

from interlock.evidence.log.claim import Claim, ClaimError
from interlock.evidence.log.layout import checkpoint_key, seq_key
from interlock.evidence.verification.entry import EntryError, read_entry
from interlock.evidence.verification.heads import HeadError, read_head
from interlock.evidence.verification.since import last_claim
from interlock.evidence.verification.source import (
    MAX_CHECKPOINT,
    MAX_CLAIM,
    ObjectMissing,
    Source,
    SourceError,
)
from interlock.evidence.verification.trust import Trust

MARGIN: Final = timedelta(hours=1)
"""By how much writers' clocks may differ, at most."""


class ClosableSource(Source, Protocol):
    """A source that holds something open."""

    def close(self) -> None:
        """Let go of it."""


class StatementSearch:
    """Looks again and again, each time only at what is new."""

    def __init__(self, source: ClosableSource, trust: Trust, digest: str, since: datetime) -> None:
        """Nothing is read yet.

        Args:
            source: the bucket; closed by `close`.
            trust: the keys; what they did not sign does not count.
            digest: the statement's SHA-256, hex.
            since: when the statement was recorded, or earlier.
        """
        self._source, self._trust, self._digest = source, trust, digest
        self._since = since - MARGIN
        self._next: dict[int, int] = {}
        self._found: tuple[int, int] | None = None

    def close(self) -> None:
        """Let go of the bucket."""
        self._source.close()

    def look(self) -> dict[str, int] | None:
        """Year and index of the statement, and the size of the head over it; None: not yet.

        Raises:
            SourceError: the bucket can't be read.
        """
        for year in range(self._since.year, datetime.now(UTC).year + 1):
            if self._found is None:
                self._search(year)
        if self._found is None:
            return None
        year, index = self._found
        key = checkpoint_key(year)
        try:
            size = read_head(self._source.read(key, MAX_CHECKPOINT), self._trust, key).head.size
        except ObjectMissing:
            return None
        except HeadError as error:
            raise SourceError(f"{key}: {error}; expected {error.expected}") from None
        return {"year": year, "index": index, "size": size} if size > index else None

    def _search(self, year: int) -> None:
        if year not in self._next:
            self._next[year] = last_claim(self._source, year, lambda claim: claim.at <= self._since)[0]
        while self._found is None:
            try:
                content = self._source.read(seq_key(year, self._next[year]), MAX_CLAIM)
            except ObjectMissing:
                return
            try:
                claim = Claim.decode(content)
            except ClaimError as error:
                raise SourceError(f"{seq_key(year, self._next[year])}: {error}") from None
            self._next[year] += 1
            for index, leaf in enumerate(claim.entries, claim.first):
                if self._is_it(leaf):
                    self._found = (year, index)

    def _is_it(self, leaf: bytes) -> bool:
        try:
            return read_entry(leaf, self._trust).digest == self._digest
        except EntryError:
            return False
