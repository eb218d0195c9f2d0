"""The Istio hook: a Kubernetes connection and a root namespace become a reader of the mesh, nothing more."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from airflow.sdk import BaseHook

from interlock.hooks.kubernetes import InterlockKubernetesHook

if TYPE_CHECKING:
    from interlock.clients.kubernetes import KubernetesClient
    from interlock.manifest import Manifest
    from interlock.mesh.mesh import Mesh


class IstioHook(BaseHook):
    """Reads a mesh through a connection of type ``kubernetes``.

    :param kubernetes_conn_id: the connection, as `InterlockKubernetesHook` has it.
    :param root_namespace: the mesh's root namespace.
    """

    conn_name_attr = "kubernetes_conn_id"
    default_conn_name = "interlock_kubernetes"
    conn_type = "kubernetes"
    hook_name = "Istio (Interlock)"

    def __init__(
        self, kubernetes_conn_id: str = default_conn_name, root_namespace: str = "istio-system"
    ) -> None:
        super().__init__()
        self.kubernetes_conn_id = kubernetes_conn_id
        self.root_namespace = root_namespace

    def get_conn(self) -> KubernetesClient:
        """The client, for a worker; use it with ``async with``."""
        return InterlockKubernetesHook(self.kubernetes_conn_id).get_conn()

    async def get_conn_async(self) -> KubernetesClient:
        """The client, for a trigger."""
        return await InterlockKubernetesHook(self.kubernetes_conn_id).get_conn_async()

    def read(self, namespace: str) -> tuple[Mesh, list[Manifest]]:
        """The mesh as the services of a namespace are in it, and the objects that run there.

        Raises:
            NoMesh: the cluster has no Istio API.
            KubernetesError: something could not be read.
        """
        from interlock.clients.istio import read_mesh

        async def read() -> tuple[Mesh, list[Manifest]]:
            async with self.get_conn() as client:
                return await read_mesh(client, namespace, self.root_namespace)

        return asyncio.run(read())

    def test_connection(self) -> tuple[bool, str]:
        """Ask the API server for the kinds of Istio's security policies."""
        from interlock.clients.istio import istio_kinds
        from interlock.clients.kubernetes import KubernetesError

        async def kinds() -> tuple[str, ...]:
            async with self.get_conn() as client:
                return await istio_kinds(client)

        try:
            return True, f"Istio: {', '.join(asyncio.run(kinds()))}"
        except KubernetesError as error:
            return False, str(error)
