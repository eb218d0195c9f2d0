"""Tries each connection and each right that Interlock needs in an environment.

A right is asked for, and where that is safe it is used: a Secret is made and removed again, a Lease and a
workload are written as dry runs, a signature is made and verified, a file is written into the spool and
removed. In the bucket a dozen small objects are locked for a day, and what must not be possible is attempted
on them: nothing else shows that they can't be removed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from interlock.connections import Connection, connection
from interlock.doctor.kubernetes import examine_kubernetes
from interlock.doctor.line import Line
from interlock.doctor.prometheus import examine_prometheus
from interlock.doctor.spool import examine_spool
from interlock.doctor.store import examine_store
from interlock.doctor.vault import examine_log_vault, examine_vault
from interlock.doctor.witnesses import examine_witnesses
from interlock.settings import Settings
from interlock.trains.model import Environment

__all__ = ["Line", "examine"]


def examine(
    environment: Environment,
    include: Path,
    settings: Settings,
    *,
    executor: str,
    read: Callable[[str], Connection] = connection,
) -> Iterator[Line]:
    """Try everything, one line each.

    Args:
        environment: what is to be reached.
        include: the folder with deploy/.
        settings: Interlock's settings.
        executor: the name of Airflow's executor.
        read: gives a connection by its name, or raises ConnectionMissing.
    """
    yield from examine_kubernetes(environment, include, read)
    yield from examine_vault(environment, include, settings.transit_key, read)
    yield from examine_log_vault(settings, read)
    yield from examine_store(environment, read)
    yield from examine_prometheus(environment.namespace, read)
    yield from examine_spool(settings, executor)
    yield from examine_witnesses(environment, settings, read)
