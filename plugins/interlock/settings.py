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
SPOOL_MIB: Final = "256"


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
        spool_mib: how much may wait in the spool, in MiB; a warning comes long before.
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
    spool_mib: str = SPOOL_MIB

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
            spool_mib=get("spool_mib") or SPOOL_MIB,
        )

    @property
    def journals_kept(self) -> timedelta:
        """How long after its end a run's journal is kept.

        Raises:
            ValueError: `journal_days` is no whole number of at least 1.
        """
        # Python's dates end with the year 9999; 99,999 days are 273 years.
        return timedelta(days=_whole("journal_days", self.journal_days, "days", 1, 99_999))

    def log_of(self, bucket: str) -> str:
        """The name of the log in a bucket: as set, else after the bucket."""
        return self.log_name or f"interlock/{bucket}"

    @property
    def evidence_wait(self) -> float:
        """For how many seconds a task waits until its statements are in the log.

        Raises:
            ValueError: `evidence_wait_seconds` is no whole number of seconds.
        """
        return float(_whole("evidence_wait_seconds", self.evidence_wait_seconds, "seconds", 0, 9_999))

    @property
    def key_overlap(self) -> timedelta:
        """For how long after a rotation of the log's key the version before signs as well.

        Raises:
            ValueError: `key_overlap_days` is no whole number of days.
        """
        return timedelta(days=_whole("key_overlap_days", self.key_overlap_days, "days", 0, 99_999))

    @property
    def spool_limit(self) -> int:
        """How many bytes may wait in the spool.

        Raises:
            ValueError: `spool_mib` is no whole number of at least 1.
        """
        return _whole("spool_mib", self.spool_mib, "MiB", 1, 999_999) * 1024 * 1024

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


def _whole(option: str, text: str, unit: str, least: int, most: int) -> int:
    if text.isascii() and text.isdecimal() and len(text) <= len(str(most)) and least <= int(text):
        return int(text)
    raise ValueError(
        f"[{SECTION}] {option} is {text!r}: set it to a whole number of {unit}, {least} to {most}"
    )
