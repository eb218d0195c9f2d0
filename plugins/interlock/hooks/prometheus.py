"""Turn Airflow's connection to Prometheus into Interlock's client."""

from __future__ import annotations

from typing import TYPE_CHECKING

from airflow.sdk import BaseHook

from interlock.connections import of_airflow

if TYPE_CHECKING:
    from interlock.clients.prometheus import PrometheusClient


class PrometheusHook(BaseHook):
    """Give Interlock's Prometheus client, which only reads, for a connection of type `http`.

    Which of its fields are used is said at `PrometheusSettings.of_connection`.

    :param prometheus_conn_id: id of the connection.
    """

    conn_name_attr = "prometheus_conn_id"
    default_conn_name = "interlock_prometheus"
    conn_type = "http"
    hook_name = "Prometheus (Interlock)"

    def __init__(self, prometheus_conn_id: str = default_conn_name) -> None:
        super().__init__()
        self.prometheus_conn_id = prometheus_conn_id

    def get_conn(self) -> PrometheusClient:
        """The client; use it with ``with``."""
        from interlock.clients.prometheus import PrometheusClient
        from interlock.clients.prometheus_settings import PrometheusSettings

        connection = self.get_connection(self.prometheus_conn_id)
        return PrometheusClient(PrometheusSettings.of_connection(of_airflow(connection)))

    def test_connection(self) -> tuple[bool, str]:
        """Ask Prometheus for its version and for the answer to a query."""
        import time

        from interlock.clients.prometheus import PrometheusError
        from interlock.connections import ConnectionMissing

        try:
            with self.get_conn() as client:
                client.query("vector(1)", time.time())
                return True, f"Prometheus {client.version()} answers"
        except (PrometheusError, ConnectionMissing) as error:
            return False, str(error)
