"""Who may move a service: one Lease for each service, held by one DAG run.

A lock is a Lease of coordination.k8s.io/v1 in Interlock's own namespace. It doesn't expire by time,
for an approval may take days: the holder is a DAG run, which gives it back, or, once that run has ended and
its journal is closed, the watchdog or a person does.

Kubernetes doesn't check Leases on writes. Each take counts up ``leaseTransitions``, also one by the
holder itself, whose run starts over then; a promotion stamps that count on its target (`FENCE`), and
every write carries the resourceVersion of a read that showed the stamp. A worker that lives on after
its lock was taken anew thus can't write.

Pure: these functions return the Lease to write. Write it with the resourceVersion it carries
(create where there was none), so that of two takers one fails.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from interlock.manifest import Manifest, ObjectRef
from interlock.trains.model import Environment, Train
from interlock.trains.view import number, text

API = ("coordination.k8s.io/v1", "Lease")
FENCE = "interlock.internal/fence"
"""Annotation on a workload: the transitions of the lock under which it is being changed."""


@dataclass(frozen=True)
class HeldBy:
    """Another run holds the lock."""

    holder: str
    since: str
    lease: str

    def __str__(self) -> str:
        """Say who holds what since when."""
        return f"lock {self.lease} is held by {self.holder} since {self.since or 'an unknown time'}"


def holder_of(dag_id: str, run_id: str) -> str:
    """The identity under which a DAG run holds its locks."""
    return f"{dag_id}/{run_id}"


def lease_name(namespace: str, service: str) -> str:
    """The name of a service's Lease in the journal namespace."""
    return f"{namespace}.{service}"


def guarding(
    workload: ObjectRef, kubernetes: str, environments: Iterable[Environment], trains: Iterable[Train]
) -> tuple[ObjectRef, ...]:
    """The Leases under which a train may move a workload.

    Args:
        workload: a Deployment, StatefulSet or DaemonSet.
        kubernetes: the Airflow connection of its cluster.
        environments: all environments.
        trains: all trains.
    """
    services = {
        (name, service.name)
        for train in trains
        for service in train.services
        if (service.kind, service.workload) == (workload.kind, workload.name)
        for name in train.environments
    }
    return tuple(
        sorted(
            {
                ObjectRef(*API, where.journal_namespace, lease_name(where.namespace, service))
                for where in environments
                for name, service in services
                if (where.name, where.kubernetes, where.namespace) == (name, kubernetes, workload.namespace)
            },
            key=str,
        )
    )


def empty(namespace: str, service: str, journal_namespace: str) -> Manifest:
    """The Lease of a service that never had one, held by nobody."""
    return Manifest.of(
        {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {
                "name": lease_name(namespace, service),
                "namespace": journal_namespace,
                "labels": {"app.kubernetes.io/managed-by": "interlock"},
            },
            "spec": {"holderIdentity": "", "leaseTransitions": 0},
        }
    )


def take(lease: Manifest, holder: str, now: datetime, *, above: int = 0) -> Manifest | HeldBy:
    """Take a lock.

    Args:
        lease: the Lease as read, or `empty` where there is none.
        holder: who takes it (`holder_of`).
        now: the present, with a time zone.
        above: the highest number that the service's objects are stamped with: those of a service that was
            renamed bear the stamps of another lock.

    Returns:
        The Lease to write; `HeldBy` if another has it.
    """
    present = holder_in(lease)
    if present and present != holder:
        return HeldBy(present, text(lease.raw, "spec", "acquireTime"), lease.name)
    return _with_spec(
        lease,
        holderIdentity=holder,
        acquireTime=micro_time(now),
        renewTime=micro_time(now),
        leaseTransitions=max(transitions(lease), above) + 1,
    )


def release(lease: Manifest, holder: str, now: datetime) -> Manifest | None:
    """Give a lock back: the Lease to write, or None if the holder doesn't have it."""
    if not holder or holder_in(lease) != holder:
        return None
    return _with_spec(lease, holderIdentity="", renewTime=micro_time(now))


def stamped(objects: Iterable[Manifest | None]) -> int:
    """The highest number that one of these objects is stamped with; 0 for none."""
    stamps = (found.annotations.get(FENCE, "").partition("-")[0] for found in objects if found is not None)
    return max((int(stamp) for stamp in stamps if stamp.isdigit()), default=0)


def holder_in(lease: Manifest) -> str:
    """Who holds the lock; empty if nobody does."""
    return text(lease.raw, "spec", "holderIdentity")


def transitions(lease: Manifest) -> int:
    """How often the lock was taken: the number that fences the writes under it."""
    return number(lease.raw, "spec", "leaseTransitions")


def micro_time(moment: datetime) -> str:
    """A time as Kubernetes' MicroTime: RFC 3339 in UTC with six digits."""
    if moment.tzinfo is None:
        raise ValueError(f"{moment!r} has no time zone")
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _with_spec(lease: Manifest, **fields: object) -> Manifest:
    raw = copy.deepcopy(dict(lease.raw))
    raw["spec"] = {**(raw.get("spec") or {}), **fields}
    return Manifest.of(raw)
