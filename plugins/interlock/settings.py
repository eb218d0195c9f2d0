"""Interlock's settings: the options of Airflow's section `[interlock]`, in one place.

They are read by Airflow's configuration where Airflow is, and else from the variables AIRFLOW__INTERLOCK__….
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final, Self

SECTION: Final = "interlock"
STATEMENTS_KEY: Final = "interlock-statements"
LOCK_NOTICE_MINUTES: Final = "30"
JOURNAL_DAYS: Final = "30"


@dataclass(frozen=True)
class Settings:
    """The settings; each attribute is an option's name.

    The last three are read where they are used: a mistake in them must not keep a train from its evidence.

    Attributes:
        spool: the folder where statements wait; `spool` in Airflow's home unless it is set.
        transit_key: the name of the transit key that signs statements.
        notifiers: whom to tell of failures, waiting approvals and stuck locks: a JSON list of Airflow
            notifiers, each with its `classpath` and `kwargs`; empty: nobody.
        lock_notice_minutes: for how many minutes a train may wait for its lock before people are told; 0:
            they never are.
        journal_days: for how many days after its end a run's journal is kept.
    """

    spool: Path
    transit_key: str = STATEMENTS_KEY
    notifiers: str = ""
    lock_notice_minutes: str = LOCK_NOTICE_MINUTES
    journal_days: str = JOURNAL_DAYS

    @classmethod
    def read(cls, get: Callable[[str], str], home: str) -> Self:
        """The settings from what gives an option's text, empty where it isn't set.

        Args:
            get: gives an option of the section.
            home: Airflow's home, a folder.
        """
        return cls(
            spool=Path(get("spool") or f"{home}/spool").expanduser().absolute(),
            transit_key=get("transit_key") or STATEMENTS_KEY,
            notifiers=get("notifiers"),
            lock_notice_minutes=get("lock_notice_minutes") or LOCK_NOTICE_MINUTES,
            journal_days=get("journal_days") or JOURNAL_DAYS,
        )

    @property
    def journals_kept(self) -> timedelta:
        """How long after its end a run's journal is kept.

        Raises:
            ValueError: `journal_days` is no whole number of at least 1.
        """
        days = self.journal_days
        # Python's dates end with the year 9999; five digits are 273 years.
        if not (days.isascii() and days.isdecimal() and len(days) <= 5 and int(days) >= 1):
            raise ValueError(
                f"[{SECTION}] journal_days is {days!r}: set it to a whole number of days, 1 to 99999"
            )
        return timedelta(days=int(days))

    @classmethod
    def of_environment(cls, variables: Mapping[str, str] | None = None) -> Self:
        """The settings from Airflow's environment variables, without Airflow."""
        found = os.environ if variables is None else variables
        return cls.read(
            lambda option: found.get(f"AIRFLOW__{SECTION.upper()}__{option.upper()}", ""), airflow_home(found)
        )


def airflow_home(variables: Mapping[str, str] | None = None) -> str:
    """Airflow's home, by its variable."""
    return (os.environ if variables is None else variables).get("AIRFLOW_HOME") or "~/airflow"
