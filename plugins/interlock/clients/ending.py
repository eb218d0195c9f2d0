"""How a run ends in the cluster, whoever ends it: its services' journals, then its own, then its locks.

In this order: whoever takes the locks next finds the run ended, and its journals say what it left.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from interlock.clients import locks
from interlock.clients.journal import JournalStore, Written
from interlock.clients.kubernetes import KubernetesClient
from interlock.trains.entries import Head
from interlock.trains.lock import holder_of
from interlock.trains.outcome import RunOutcome


async def end(
    client: KubernetesClient,
    namespace: str,
    head: Head,
    journals: Mapping[str, Written],
    verdict: RunOutcome,
    now: datetime,
) -> list[str]:
    """Note which services are not whole, close the run's journal, release its locks.

    Args:
        client: an opened client.
        namespace: Interlock's own namespace in the environment.
        head: the run's head.
        journals: the journals of all services that the verdict names.
        verdict: how the run left them.
        now: the present.

    Returns:
        The names of the leases that were released.

    Raises:
        Reopened: the run was started over since its head was read; nothing is released.
    """
    store = JournalStore(client, namespace)
    # What is held by now; a lock that a run that starts over takes from now on stays its own.
    held = await locks.held_by(client, namespace, holder_of(head.dag_id, head.run_id))
    for found in verdict.services:
        if found.state == "not-whole":
            await store.leave(head.run, journals[found.service], found.reason)
    await store.close(head, now, verdict.state)
    return await locks.give_back(client, held, now)
