"""The locks of services, kept as Leases in the Kubernetes API.

All or none, in sorted order: a train that can't have one of its locks holds none of them while it waits, so
two trains that share services neither interleave nor wait for each other for ever.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from datetime import datetime

from interlock.clients.kubernetes import Conflict, KubernetesClient
from interlock.manifest import Manifest
from interlock.trains import lock

API = lock.API
ATTEMPTS = 3
AT_ONCE = 8
LABELS = "app.kubernetes.io/managed-by=interlock"


async def take_all(
    client: KubernetesClient,
    namespace: str,
    journal_namespace: str,
    services: Iterable[str],
    holder: str,
    now: datetime,
    above: Mapping[str, int] | None = None,
) -> dict[str, int] | lock.HeldBy:
    """Take the locks of all services, or none.

    Args:
        client: an opened client.
        namespace: of the services.
        journal_namespace: of the leases.
        services: whose locks to take.
        holder: who takes them (`holder_of`).
        now: the present, with a time zone.
        above: by service, the highest number that its objects are stamped with.

    Returns:
        The transitions of each service's lock, which fence the writes under it; or who holds one of them.
    """
    leases = await _read(client, journal_namespace)
    taken: dict[str, Manifest] = {}
    for service in sorted(services):
        name = lock.lease_name(namespace, service)
        lease = leases.get(name) or lock.empty(namespace, service, journal_namespace)
        wanted = await _take(client, lease, holder, now, (above or {}).get(service, 0))
        if isinstance(wanted, lock.HeldBy):
            await give_back(client, taken.values(), now)
            return wanted
        taken[service] = wanted
    return {service: lock.transitions(lease) for service, lease in taken.items()}


async def held_by(client: KubernetesClient, journal_namespace: str, holder: str) -> list[Manifest]:
    """The leases that a run holds."""
    leases = await _read(client, journal_namespace)
    return [lease for lease in leases.values() if lock.holder_in(lease) == holder]


async def all_held(client: KubernetesClient, journal_namespace: str) -> list[Manifest]:
    """The leases that anybody holds."""
    leases = await _read(client, journal_namespace)
    return [lease for lease in leases.values() if lock.holder_in(lease)]


async def release_all(
    client: KubernetesClient, journal_namespace: str, holder: str, now: datetime
) -> list[str]:
    """Release all that a run holds; the names of the leases that it gave back."""
    return await give_back(client, await held_by(client, journal_namespace, holder), now)


async def give_back(client: KubernetesClient, leases: Iterable[Manifest], now: datetime) -> list[str]:
    """Release leases as they were read; the names of those that were given back."""
    at_once = asyncio.Semaphore(AT_ONCE)

    async def free(lease: Manifest) -> str:
        holder = lock.holder_in(lease)
        present: Manifest | None = lease
        # A lock that was taken anew is its taker's, even where that is the same run: its task was cleared.
        while present is not None and lock.transitions(present) == lock.transitions(lease):
            freed = lock.release(present, holder, now)
            if freed is None:
                return ""
            try:
                async with at_once:
                    await client.replace(freed)
                return lease.name
            except Conflict:
                present = await client.get(lease.ref)
        return ""

    return [name for name in await asyncio.gather(*(free(lease) for lease in leases)) if name]


async def _take(
    client: KubernetesClient, lease: Manifest, holder: str, now: datetime, above: int
) -> Manifest | lock.HeldBy:
    for _ in range(ATTEMPTS):
        wanted = lock.take(lease, holder, now, above=above)
        if isinstance(wanted, lock.HeldBy):
            return wanted
        try:
            return await _write(client, wanted)
        except Conflict:
            # Somebody else was faster, or the answer to our own write was lost.
            lease = await client.get(lease.ref) or lease
    return lock.HeldBy("another run, just now", "", lease.name)


async def _read(client: KubernetesClient, journal_namespace: str) -> dict[str, Manifest]:
    items, _ = await client.list(*API, journal_namespace, labels=LABELS)
    return {item.name: item for item in items}


async def _write(client: KubernetesClient, lease: Manifest) -> Manifest:
    return await (client.replace(lease) if lease.resource_version else client.create(lease))
