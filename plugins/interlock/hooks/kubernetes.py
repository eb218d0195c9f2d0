"""The Kubernetes hook: an Airflow connection becomes our client, nothing more."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from airflow.sdk import BaseHook

from interlock.connections import of_airflow

if TYPE_CHECKING:
    from airflow.sdk import Connection

    from interlock.clients.kubernetes import KubernetesClient


class InterlockKubernetesHook(BaseHook):
    """Turns a connection of type ``kubernetes`` into a `KubernetesClient`.

    The connection's extra fields are those of Airflow's own Kubernetes connection: ``in_cluster``,
    ``kube_config_path``, ``kube_config`` and ``cluster_context``; with none of them the client looks where
    kubectl does.

    :param kubernetes_conn_id: the connection.
    """

    conn_name_attr = "kubernetes_conn_id"
    default_conn_name = "interlock_kubernetes"
    conn_type = "kubernetes"
    hook_name = "Kubernetes (Interlock)"

    def __init__(self, kubernetes_conn_id: str = default_conn_name) -> None:
        super().__init__()
        self.kubernetes_conn_id = kubernetes_conn_id

    def get_conn(self) -> KubernetesClient:
        """The client, for a worker; use it with ``async with``."""
        return _client(self.get_connection(self.kubernetes_conn_id))

    async def get_conn_async(self) -> KubernetesClient:
        """The client, for a trigger; its kubeconfig is read outside the loop."""
        connection = await self.aget_connection(self.kubernetes_conn_id)
        return await asyncio.to_thread(_client, connection)

    def test_connection(self) -> tuple[bool, str]:
        """Ask the API server for its version."""
        from interlock.clients.kubernetes import KubernetesError

        async def version() -> str:
            async with self.get_conn() as client:
                return await client.version()

        try:
            return True, f"Kubernetes {asyncio.run(version())}"
        except KubernetesError as error:
            return False, str(error)


def _client(connection: Connection) -> KubernetesClient:
    from interlock.clients.kubeconfig import KubernetesSettings
    from interlock.clients.kubernetes import KubernetesClient

    return KubernetesClient.of(KubernetesSettings.of_connection(of_airflow(connection)))
