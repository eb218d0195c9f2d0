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
CHECKPOINTS_KEY: Final = "interlock-checkpoints"
LOG_VAULT: Final = "interlock_log_vault"
EVIDENCE_WAIT_SECONDS: Final = "10"
KEY_OVERLAP_DAYS: Final = "30"
LOCK_NOTICE_MINUTES: Final = "30"
JOURNAL_DAYS: Final = "30"


@dataclass(frozen=True)
class Settings:
    """The settings; each attribute is an option's name.

    What is text here though it is a number or a list is read where it is used: a mistake in it must not keep
    a train from its evidence.

    Attributes:
        spool: the folder where statements wait; `spool` in Airflow's home unless it is set.
        transit_key: the name of the transit key that signs statements.
        log_transit_key: the name of the transit key that signs the log's heads.
        log_vault: the connection to Vault of the log's own role, which signs the log's heads.
        log_name: the log's name, which is the name of its key; `interlock/` and the bucket unless it is set.
        witnesses: where the log's last head is kept besides Airflow's metadata, separated by commas: absolute
            paths of files, and `connection:NAME` for second buckets.
        evidence_wait_seconds: for how long a task waits until its statements are in the log; then they wait
            in the spool; 0: not at all.
        key_overlap_days: for how many days after the rotation of the log's key its heads are also signed by
            the version before.
        notifiers: whom to tell of failures, waiting approvals and stuck locks: a JSON list of Airflow
            notifiers, each with its `classpath` and `kwargs`; empty: nobody.
        lock_notice_minutes: for how many minutes a train may wait for its lock before people are told; 0:
            they never are.
        journal_days: for how many days after its end a run's journal is kept.
    """

    spool: Path
    transit_key: str = STATEMENTS_KEY
    log_transit_key: str = CHECKPOINTS_KEY
    log_vault: str = LOG_VAULT
    log_name: str = ""
    witnesses: str = ""
    evidence_wait_seconds: str = EVIDENCE_WAIT_SECONDS
    key_overlap_days: str = KEY_OVERLAP_DAYS
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
            log_transit_key=get("log_transit_key") or CHECKPOINTS_KEY,
            log_vault=get("log_vault") or LOG_VAULT,
            log_name=get("log_name"),
            witnesses=get("witnesses"),
            evidence_wait_seconds=get("evidence_wait_seconds") or EVIDENCE_WAIT_SECONDS,
            key_overlap_days=get("key_overlap_days") or KEY_OVERLAP_DAYS,
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

    def log_of(self, bucket: str) -> str:
        """The name of the log in a bucket: as set, else after the bucket."""
        return self.log_name or f"interlock/{bucket}"

    @property
    def evidence_wait(self) -> float:
        """For how many seconds a task waits until its statements are in the log.

        Raises:
            ValueError: `evidence_wait_seconds` is no whole number of seconds.
        """
        text = self.evidence_wait_seconds
        if not (text.isascii() and text.isdecimal() and len(text) <= 4):
            raise ValueError(
                f"[{SECTION}] evidence_wait_seconds is {text!r}: set it to a whole number of seconds, "
                f"0 to 9999"
            )
        return float(text)

    @property
    def key_overlap(self) -> timedelta:
        """For how long after a rotation of the log's key the version before signs as well.

        Raises:
            ValueError: `key_overlap_days` is no whole number of days.
        """
        text = self.key_overlap_days
        if not (text.isascii() and text.isdecimal() and len(text) <= 5):
            raise ValueError(
                f"[{SECTION}] key_overlap_days is {text!r}: set it to a whole number of days, 0 to 99999"
            )
        return timedelta(days=int(text))

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
