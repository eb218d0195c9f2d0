"""The Kubernetes hook: an Airflow connection becomes our client, nothing more."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseHook

if TYPE_CHECKING:
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
        return _client(self.get_connection(self.kubernetes_conn_id).extra_dejson)

    async def get_conn_async(self) -> KubernetesClient:
        """The client, for a trigger."""
        connection = await self.aget_connection(self.kubernetes_conn_id)
        return _client(connection.extra_dejson)

    def test_connection(self) -> tuple[bool, str]:
        """Ask the API server for its version."""
        import asyncio

        from interlock.clients.kubernetes import KubernetesError

        async def version() -> str:
            async with self.get_conn() as client:
                return await client.version()

        try:
            return True, f"Kubernetes {asyncio.run(version())}"
        except KubernetesError as error:
            return False, str(error)


def _client(extra: dict[str, Any]) -> KubernetesClient:
    from interlock.clients.kubernetes import KubernetesClient

    inline = extra.get("kube_config")
    return KubernetesClient.from_settings(
        kube_config_path=extra.get("kube_config_path") or None,
        kube_config=json.loads(inline) if isinstance(inline, str) and inline else inline or None,
        in_cluster=str(extra.get("in_cluster") or "").lower() in ("true", "1", "yes"),
        context=extra.get("cluster_context") or None,
    )
