"""Which statements an export takes: all of a day, a period, a train or a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import Self

from interlock.evidence.verification.entry import Entry


class SelectionError(ValueError):
    """This selects nothing."""


@dataclass(frozen=True)
class Selection:
    """What an export takes; everything where nothing is given.

    Attributes:
        begin, end: the period, the end excluded.
        train: a train's name.
        run: DAG id and run id.
    """

    begin: datetime | None = None
    end: datetime | None = None
    train: str = ""
    run: tuple[str, str] | None = None

    @classmethod
    def of(cls, day: str | None, period: Sequence[str] | None, train: str | None, run: str | None) -> Self:
        """The selection that the command line names.

        Raises:
            SelectionError: a day is no day, the period ends before it begins, or a run is not DAG_ID/RUN_ID.
        """
        if day is not None:
            period = (day, day)
        if period is not None:
            first, last = (_day(text) for text in period)
            if last < first:
                raise SelectionError(f"the period ends on {last}, before it begins on {first}")
            return cls(begin=first, end=last + timedelta(days=1))
        if run is not None:
            dag_id, slash, run_id = run.partition("/")
            if not (dag_id and slash and run_id):
                raise SelectionError(f"{run!r} is no run: expected DAG_ID/RUN_ID")
            return cls(run=(dag_id, run_id))
        return cls(train=train or "")

    @property
    def whole(self) -> bool:
        """Whether it takes everything."""
        return self == type(self)()

    @property
    def closed(self) -> bool:
        """Whether what a seal lists belongs to it too."""
        return bool(self.train or self.run)

    def takes(self, entry: Entry, stored: datetime | None) -> bool:
        """Whether it takes an entry that the store got at `stored`."""
        if self.run is not None:
            return (entry.dag_id, entry.run_id) == self.run
        if self.train:
            return entry.dag_id in (f"promotion_train__{self.train}", f"undo_train__{self.train}")
        if self.begin is None or self.end is None:
            return True
        times = [at for at in (entry.at, entry.shipped_at, stored) if at is not None]
        return any(self.begin <= at < self.end for at in times)

    def __str__(self) -> str:
        """For people."""
        if self.run is not None:
            return f"run {'/'.join(self.run)}"
        if self.train:
            return f"train {self.train}"
        if self.begin is None or self.end is None:
            return "everything"
        return f"{self.begin.date()} to {(self.end - timedelta(days=1)).date()}, UTC"


def _day(text: str) -> datetime:
    try:
        found = date.fromisoformat(text)
    except ValueError:
        raise SelectionError(f"{text!r} is no day: expected YYYY-MM-DD") from None
    return datetime(found.year, found.month, found.day, tzinfo=UTC)
