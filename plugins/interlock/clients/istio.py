"""Reads a mesh's objects from a cluster, and asks the mesh gate about the services of a train."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Final

from interlock.clients.kubernetes import KubernetesClient
from interlock.clients.kubernetes_api import KubernetesError, NotFound, workload_of
from interlock.manifest import Manifest, ObjectRef
from interlock.mesh.mesh import WORKLOAD_KINDS, Mesh
from interlock.mesh.secured import missing
from interlock.mesh.settings import MeshSettings
from interlock.trains.model import Environment, Train

POLICIES: Final = (
    ("security.istio.io/v1", "PeerAuthentication"),
    ("security.istio.io/v1", "AuthorizationPolicy"),
    ("security.istio.io/v1", "RequestAuthentication"),
    ("networking.istio.io/v1", "DestinationRule"),
    ("networking.istio.io/v1", "Sidecar"),
)
"""What says how the mesh is secured, in the services' namespace and in the root namespace."""
WORKLOADS: Final = (
    ("v1", "Service"),
    ("v1", "Pod"),
    ("apps/v1", "Deployment"),
    ("apps/v1", "StatefulSet"),
    ("apps/v1", "DaemonSet"),
)
SETTINGS: Final = "istio"
"""The ConfigMap of the root namespace that holds the mesh's settings."""
NO_MESH: Final = (
    "the cluster has no Istio API: install Istio, 1.22 or later, which serves its kinds as v1, or take "
    "`mesh` out of the environment"
)


class NoMesh(KubernetesError):
    """The cluster has no Istio API."""


async def read_mesh(
    client: KubernetesClient, namespace: str, root_namespace: str
) -> tuple[Mesh, list[Manifest]]:
    """The mesh as the services of a namespace are in it, and the objects that run there.

    Raises:
        NoMesh: The cluster has no Istio API.
        KubernetesError: Something could not be read; without it nothing can be said.
    """
    objects, settings = await mesh_objects(client, namespace, root_namespace)
    running = [one for one in objects if one.kind in WORKLOAD_KINDS]
    return Mesh.of(objects, settings), running


async def mesh_objects(
    client: KubernetesClient, namespace: str, root_namespace: str
) -> tuple[list[Manifest], MeshSettings]:
    """The objects that `read_mesh` makes a mesh of, and the mesh's settings; it raises the same."""
    names = dict.fromkeys((namespace, root_namespace))
    policies = [(*kind, where) for where in names for kind in POLICIES]
    asked = [_listed(client, *one) for one in policies]
    asked += [_listed(client, *kind, namespace) for kind in WORKLOADS]
    found = await asyncio.gather(*asked, *(namespace_object(client, name) for name in names))
    settings = await mesh_settings(client, root_namespace)
    if all(one is None for one in found[: len(policies)]):
        raise NoMesh(NO_MESH)
    return [one for group in found if group is not None for one in group], settings


async def istio_kinds(client: KubernetesClient) -> tuple[str, ...]:
    """The kinds of Istio's security API that the cluster has.

    Raises:
        NoMesh: it has none.
        KubernetesError: the API server did not say.
    """
    try:
        found = await client.json("GET", "/apis/security.istio.io/v1")
    except NotFound as error:
        raise NoMesh(NO_MESH) from error
    return tuple(sorted({str(one["kind"]) for one in found["resources"] if "/" not in one["name"]}))


def unsecured(mesh: Mesh, running: Iterable[Manifest], name: str, client: str | None) -> tuple[str, ...]:
    """What keeps a workload from being secured, as `secured.missing` says it.

    Args:
        mesh: the mesh.
        running: what runs in the workload's namespace.
        name: of the workload.
        client: name of the workload that has to reach it; None for none.
    """
    pods: dict[str, list[str]] = {}
    for one in running:
        if one.kind == "Pod":
            pods.setdefault(workload_of(one), []).append(f"Pod {one.namespace}/{one.name}")
    return missing(mesh, pods.get(name, []), None if client is None else pods.get(client, []))


async def refusals(
    client: KubernetesClient,
    environment: Environment,
    train: Train,
    services: Iterable[str],
    *,
    wait_out: bool = False,
) -> list[str]:
    """Why these services may not move, by the mesh security of themselves and of what they come after.

    What can't be seen does not pass: it is one of the reasons.

    Args:
        client: an opened client.
        environment: where the services run.
        train: their train.
        services: their names.
        wait_out: raise where the API server is away, instead of making that a reason: the caller asks again.
    """
    gate = environment.mesh
    if gate is None:
        return []
    names: dict[str, None] = {}
    for name in services:
        names.update(dict.fromkeys((*train.service(name).after, name)))
    try:
        mesh, running = await read_mesh(client, environment.namespace, gate.root_namespace)
    except KubernetesError as error:
        if wait_out and error.passing:
            raise
        return [f"the mesh could not be looked at: {error}"]
    refs = {}
    for name in names:
        service = train.service(name)
        mine = [one for one in running if (one.kind, one.name) == (service.kind, service.workload)]
        pods = [one for one in running if one.kind == "Pod" and workload_of(one) == service.workload]
        # A template does not show its sidecar yet; its pods do.
        refs[name] = [f"{one.kind} {one.namespace}/{one.name}" for one in pods or mine]
    return gate.refusals(mesh, refs)


async def _listed(
    client: KubernetesClient, api_version: str, kind: str, namespace: str
) -> list[Manifest] | None:
    try:
        return (await client.list(api_version, kind, namespace))[0]
    except NotFound:
        return None


async def namespace_object(client: KubernetesClient, name: str) -> list[Manifest]:
    """A namespace, or nothing."""
    found = await client.get(ObjectRef("v1", "Namespace", "", name))
    return [] if found is None else [found]


async def mesh_settings(client: KubernetesClient, root_namespace: str) -> MeshSettings:
    """The mesh's settings; Istio's defaults where the cluster says nothing of them.

    Raises:
        KubernetesError: they can't be read, or not be understood.
    """
    found = await client.get(ObjectRef("v1", "ConfigMap", root_namespace, SETTINGS))
    if found is None:
        return MeshSettings(root_namespace=root_namespace)
    try:
        return MeshSettings.of_config_map(found.raw)
    except ValueError as error:
        raise KubernetesError(f"ConfigMap {root_namespace}/{SETTINGS}: {error}") from error
