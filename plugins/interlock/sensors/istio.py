"""Wait until a workload is secured by its mesh."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseSensorOperator
from airflow.sdk.exceptions import AirflowFailException

from interlock.hooks.istio import IstioHook

if TYPE_CHECKING:
    from airflow.sdk import Context


class MeshSecuredSensor(BaseSensorOperator):
    """Wait until all pods of a workload are injected, accept no plaintext, and are reachable over mTLS.

    Without `client` it is enough that each port accepts mTLS. With `deferrable` it watches in the triggerer
    and ends there; `timeout` counts from each start then, and `soft_fail` has no effect.

    :param namespace: of the workload.
    :param name: of the workload, a Deployment, StatefulSet or DaemonSet.
    :param client: name of a workload of the same namespace that has to reach it through its Services.
    :param root_namespace: the mesh's root namespace.
    :param deferrable: wait in the triggerer instead of a worker.
    :param kubernetes_conn_id: id of the connection to the cluster.
    """

    template_fields: Sequence[str] = (
        *("namespace", "name", "client", "root_namespace", "kubernetes_conn_id"),
    )

    def __init__(
        self,
        *,
        namespace: str,
        name: str,
        client: str | None = None,
        root_namespace: str = "istio-system",
        deferrable: bool = False,
        kubernetes_conn_id: str = IstioHook.default_conn_name,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.namespace = namespace
        self.name = name
        self.client = client
        self.root_namespace = root_namespace
        self.deferrable = deferrable
        self.kubernetes_conn_id = kubernetes_conn_id

    def execute(self, context: Context) -> Any:
        """Poke in this worker, or defer; then the wait ends the task."""
        if not self.deferrable:
            return super().execute(context)
        from interlock.triggers.istio import MeshSecuredTrigger

        self.defer(
            trigger=MeshSecuredTrigger(
                kubernetes_conn_id=self.kubernetes_conn_id,
                namespace=self.namespace,
                name=self.name,
                client=self.client,
                root_namespace=self.root_namespace,
                deadline=(datetime.now(UTC) + timedelta(seconds=float(self.timeout))).isoformat(),
            ),
            method_name="execute_complete",
        )
        return None

    def execute_complete(self, context: Context, event: dict[str, Any]) -> None:
        """Never reached: the wait ends the task in the triggerer."""
        raise AirflowFailException("a wait for a mesh resumed in a worker, which it never should")

    def poke(self, context: Context) -> bool:
        """Return whether the workload is secured; log what is missing."""
        from interlock.clients.istio import unsecured
        from interlock.clients.kubernetes import KubernetesError

        try:
            mesh, running = IstioHook(self.kubernetes_conn_id, self.root_namespace).read(self.namespace)
        except KubernetesError as error:
            if not error.passing:
                raise AirflowFailException(f"the mesh could not be looked at: {error}") from error
            self.log.info("%s; looking again", error)
            return False
        found = unsecured(mesh, running, self.name, self.client)
        for line in found:
            self.log.info("waiting: %s", line)
        return not found
