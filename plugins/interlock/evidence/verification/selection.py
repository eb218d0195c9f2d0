"""Which statements a part of a log has: all of a day, a period, a train or a run.

With them come the statements that the seals among them list: so each seal in a part is whole in it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
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

    def to_json(self) -> Mapping[str, object]:
        """As an archive's list has it."""
        if self.run is not None:
            return {"dag_id": self.run[0], "run_id": self.run[1]}
        if self.train:
            return {"train": self.train}
        return {name: str(day) for name, day in zip(("from", "to"), self._days, strict=False)}

    @classmethod
    def of_json(cls, said: object) -> Self:
        """Read what `to_json` gives.

        Raises:
            SelectionError: it is anything else.
        """
        if isinstance(said, dict) and all(isinstance(one, str) and one for one in said.values()):
            match said:
                case {"dag_id": dag_id, "run_id": run_id, **more} if not more:
                    return cls(run=(dag_id, run_id))
                case {"train": train, **more} if not more:
                    return cls(train=train)
                case {"from": first, "to": last, **more} if not more:
                    return cls.of(None, (first, last), None, None)
        raise SelectionError(f"{said!r} is no selection"[:300])

    @property
    def _days(self) -> tuple[date, ...]:
        """The period's first and last day; empty where it is none."""
        if self.begin is None or self.end is None:
            return ()
        return self.begin.date(), (self.end - timedelta(days=1)).date()

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
        if not self._days:
            return "everything"
        first, last = self._days
        return f"{first} to {last}, UTC"


def _day(text: str) -> datetime:
    try:
        found = date.fromisoformat(text)
    except ValueError:
        raise SelectionError(f"{text!r} is no day: expected YYYY-MM-DD") from None
    return datetime(found.year, found.month, found.day, tzinfo=UTC)
