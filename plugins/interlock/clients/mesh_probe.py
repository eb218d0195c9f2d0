"""Has the ports of a namespace's services tried by a Job in the mesh, and deletes it whatever happens."""

from __future__ import annotations

import asyncio
import logging
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Any

from interlock.clients.istio import read_mesh
from interlock.clients.kubernetes import KubernetesClient, KubernetesError
from interlock.clients.scope import Scope
from interlock.clients.watch import Connect, View, shared
from interlock.manifest import Manifest
from interlock.mesh.gate import Probe
from interlock.mesh.mesh import Mesh
from interlock.mesh.observed import Observed, observed
from interlock.mesh.probe_job import CONTAINER, DEADLINE_SECONDS, PROBE_LABEL, job
from interlock.mesh.probe_plan import ProbePlan, plan, running, waiting
from interlock.mesh.probe_result import ProbeResultError, read_result
from interlock.trains.view import maps, text

log = logging.getLogger(__name__)
LATE_SECONDS = 30.0
"""After its deadline a Job's end may be so late; then nothing ends it."""
LOG_LINES = 20_000
"""More than a result of the highest number of ports has."""


class ProbeError(KubernetesError):
    """The probe could not be run, or said nothing; so nothing was tried."""


@dataclass(frozen=True)
class Place:
    """Where a probe runs.

    Attributes:
        connect: makes a client.
        connection: names the API server and identity.
        namespace: the services', where the Job runs too.
        root_namespace: the mesh's.
    """

    connect: Connect
    connection: str
    namespace: str
    root_namespace: str


@dataclass(frozen=True)
class Probed:
    """What a probe saw.

    Attributes:
        mesh: the mesh's objects, read before the probe ran.
        plan: what was to be tried.
        seen: what was seen of each port.
    """

    mesh: Mesh
    plan: ProbePlan
    seen: tuple[Observed, ...]


async def probe(place: Place, settings: Probe, *, name: str, owner: str = "") -> Probed:
    """Read the mesh, try the declared ports of its pods, and bring what was seen.

    The Job is deleted also if this is cancelled or fails.

    Args:
        place: where.
        settings: what the Job runs.
        name: the Job's name, which no other has.
        owner: the run that it belongs to.

    Raises:
        ProbeError: the Job did not end in time or failed; the message says why.
        KubernetesError: something could not be read, created or watched.
    """
    async with await place.connect() as client:
        mesh, objects = await read_mesh(client, place.namespace, place.root_namespace)
        planned = plan(mesh, place.namespace, running(objects), settings.limit, late=waiting(objects))
        if not planned.targets:
            return Probed(mesh, planned, ())
        wanted = job(settings, planned, namespace=place.namespace, name=name, owner=owner)
        try:
            created = await client.create(wanted)
            pod = await _ended(place, created)
            said = await client.pod_log(place.namespace, pod, CONTAINER, lines=LOG_LINES)
        finally:
            await _delete(client, wanted)
    try:
        return Probed(mesh, planned, observed(planned, read_result(said)))
    except ProbeResultError as error:
        raise ProbeError(f"{created}: {error}") from error


async def _delete(client: KubernetesClient, wanted: Manifest) -> None:
    """Delete the Job, which may be there also where its creation was not answered."""
    try:
        found = await client.get(wanted.ref, metadata=True)
        if found is not None and found.labels.get(PROBE_LABEL) == wanted.name:
            await client.delete(found.ref, found.uid, with_dependents=True)
    except KubernetesError as error:
        log.warning("%s may be left; it goes by itself some minutes after its end: %s", wanted, error)


async def _ended(place: Place, created: Manifest) -> str:
    """The Job's pod, once the probe's container has ended well; a sidecar may still run."""
    changed, labels = asyncio.Event(), f"{PROBE_LABEL}={created.name}"
    said = (
        "it has no pod: an admission webhook or a quota may have refused it, and "
        f"`kubectl -n {place.namespace} get events` says which"
    )
    try:
        async with asyncio.timeout(DEADLINE_SECONDS + LATE_SECONDS), AsyncExitStack() as stack:
            jobs, pods = [
                await stack.enter_async_context(
                    shared(Scope(place.connection, version, kind, place.namespace, labels), place.connect)
                )
                for version, kind in (("batch/v1", "Job"), ("v1", "Pod"))
            ]
            for view in (jobs, pods):
                stack.enter_context(view.waking(changed, created.name))
            while True:
                changed.clear()
                said = _trouble(pods) or said
                if (pod := _finished(pods)) is not None:
                    return pod
                _check(jobs, created, said)
                await changed.wait()
    except TimeoutError:
        raise ProbeError(f"{created} did not end within its time: {said}") from None


def _finished(pods: View) -> str | None:
    for pod in pods.objects.values():
        for status in maps(pod.raw, "status", "containerStatuses"):
            if text(status, "name") == CONTAINER and _state(status, "terminated"):
                return pod.name
    return None


def _trouble(pods: View) -> str:
    """What keeps a container from running, in the kubelet's words."""
    for pod in pods.objects.values():
        for kind in ("initContainerStatuses", "containerStatuses"):
            for status in maps(pod.raw, "status", kind):
                if waiting := _state(status, "waiting"):
                    why = text(waiting, "message") or text(waiting, "reason")
                    return f"container {text(status, 'name')} waits: {why}"
    return ""


def _state(status: Any, name: str) -> Any:
    return (status.get("state") or {}).get(name) or {}


def _check(jobs: View, created: Manifest, said: str) -> None:
    found = jobs.objects.get(created.name)
    if found is None:
        raise ProbeError(f"{created} was deleted by somebody else before it ended")
    for condition in maps(found.raw, "status", "conditions"):
        if condition.get("type") == "Failed" and condition.get("status") == "True":
            raise ProbeError(f"{created} failed: {text(condition, 'message')} ({said})")
