"""The Kubernetes API: is it there, do we have each right of rbac.yaml, can we write what a train writes."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

import yaml

from interlock.connections import Connection, ConnectionMissing
from interlock.doctor.line import CONNECTIONS, Line
from interlock.manifest import Manifest, ObjectRef
from interlock.trains.model import Environment

if TYPE_CHECKING:
    from interlock.clients.kubeconfig import KubernetesSettings

RBAC: Final = "include/deploy/kubernetes/rbac.yaml"
TRAINS, JOURNAL = "interlock-trains", "interlock-journal"
WORKLOADS: Final = ("Deployment", "StatefulSet", "DaemonSet")
LEASES: Final = "coordination.k8s.io/v1"


class Rights(Protocol):
    """What tells whether we have a right."""

    async def allowed(self, namespace: str, verb: str, group: str, resource: str) -> bool:
        """Whether we do."""


class Writes(Protocol):
    """The writes that are tried."""

    async def list(
        self, api_version: str, kind: str, namespace: str | None, *, metadata: bool
    ) -> tuple[list[Manifest], str]:
        """All objects of a kind."""

    async def create(self, manifest: Manifest) -> Manifest:
        """The object as created."""

    async def merge(self, ref: ObjectRef, patch: Mapping[str, Any]) -> Manifest:
        """The object as patched."""

    async def delete(self, ref: ObjectRef, uid: str) -> None:
        """Delete the object."""


def examine_kubernetes(
    environment: Environment, include: Path, read: Callable[[str], Connection]
) -> Iterator[Line]:
    """One line for the API, one for each right, one for each write."""
    from interlock.clients.kubeconfig import KubernetesSettings
    from interlock.clients.kubernetes import KubernetesError

    what = f"Kubernetes API ({environment.kubernetes})"
    lines: list[Line] = []

    async def collect() -> None:
        settings = KubernetesSettings.of_connection(read(environment.kubernetes))
        async for line in _examine(what, settings, environment, include):
            lines.append(line)

    try:
        asyncio.run(collect())
    except ConnectionMissing as missing:
        lines.append(Line(what, False, str(missing), CONNECTIONS))
    except (KubernetesError, OSError) as error:
        lines.append(Line(what, False, str(error), RBAC))
    except Exception as error:  # a kubeconfig can be wrong in many ways
        lines.append(Line(what, False, f"{type(error).__name__}: {error}", "the connection's kubeconfig"))
    yield from lines


async def _examine(
    what: str, settings: KubernetesSettings, environment: Environment, include: Path
) -> AsyncIterator[Line]:
    from interlock.clients.kubernetes import KubernetesClient

    async with KubernetesClient.of(settings) as client:
        yield Line(what, True, await client.version())
        rbac = (include / "deploy" / "kubernetes" / "rbac.yaml").read_text()
        for line in await rights_lines(client, needed(rbac, environment)):
            yield line
        async with KubernetesClient.of(settings, dry_run=True) as rehearsal:
            async for line in write_lines(client, rehearsal, environment):
                yield line


def needed(rbac: str, environment: Environment) -> list[tuple[str, str, str, tuple[str, ...]]]:
    """The rights that rbac.yaml gives: namespace, API group, resource, verbs."""
    namespaces = {TRAINS: environment.namespace, JOURNAL: environment.journal_namespace}
    rights = []
    for item in yaml.safe_load_all(rbac):
        if not isinstance(item, Mapping) or item.get("kind") != "Role":
            continue
        metadata: Mapping[str, Any] = item["metadata"]
        namespace = namespaces.get(metadata["name"], metadata["namespace"])
        for rule in item["rules"]:
            for group in rule["apiGroups"]:
                for resource in rule["resources"]:
                    rights.append((namespace, group, resource, tuple(rule["verbs"])))
    return rights


async def rights_lines(client: Rights, needs: list[tuple[str, str, str, tuple[str, ...]]]) -> list[Line]:
    """One line for each resource, with the verbs that are missing."""
    lines = []
    for namespace, group, resource, verbs in needs:
        answers = await asyncio.gather(*(client.allowed(namespace, verb, group, resource) for verb in verbs))
        missing = [verb for verb, allowed in zip(verbs, answers, strict=True) if not allowed]
        name = f"{resource}.{group}" if group else resource
        said = f"may not {', '.join(missing)}" if missing else ", ".join(verbs)
        lines.append(Line(f"right on {name} in {namespace}", not missing, said, RBAC))
    return lines


async def write_lines(client: Writes, rehearsal: Writes, environment: Environment) -> AsyncIterator[Line]:
    """Write what a train writes: a journal's Secret and removes it; the rest only as dry runs.

    Args:
        client: writes.
        rehearsal: the same identity, whose writes are checked by the API server and not kept.
        environment: the namespaces.
    """
    name, journal = f"interlock-doctor-{secrets.token_hex(4)}", environment.journal_namespace

    async def secret() -> str:
        made = await client.create(
            _named("v1", "Secret", journal, name, {"type": "interlock.internal/doctor"})
        )
        await client.delete(made.ref, made.uid)
        return "made and removed"

    async def lease() -> str:
        await rehearsal.create(_named(LEASES, "Lease", journal, name, {"spec": {"holderIdentity": ""}}))
        return "made in a dry run"

    yield await _written(f"write of a Secret in {journal}", secret)
    yield await _written(f"write of a Lease in {journal}", lease)
    for kind in WORKLOADS:

        async def workload(kind: str = kind) -> str:
            found, _ = await client.list("apps/v1", kind, environment.namespace, metadata=True)
            if not found:
                return "none is there to try it on"
            await rehearsal.merge(found[0].ref, {})
            return f"{found[0].name} patched in a dry run"

        yield await _written(f"write of a {kind} in {environment.namespace}", workload)


async def _written(what: str, write: Callable[[], Awaitable[str]]) -> Line:
    from interlock.clients.kubernetes import KubernetesError

    try:
        return Line(what, True, await write(), RBAC)
    except KubernetesError as error:
        return Line(what, False, str(error), RBAC)


def _named(api_version: str, kind: str, namespace: str, name: str, rest: Mapping[str, Any]) -> Manifest:
    metadata = {"name": name, "namespace": namespace}
    return Manifest.of({"apiVersion": api_version, "kind": kind, "metadata": metadata, **rest})
