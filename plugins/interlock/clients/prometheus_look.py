"""Looks whether Prometheus has a service's golden signals, and rules that alert on it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from interlock.clients.prometheus import PrometheusClient, PrometheusError, PrometheusRefused
from interlock.clients.prometheus_settings import PrometheusSettings
from interlock.environment.check import Unseen
from interlock.onboarding.facts import AlertRule, Alerts

WINDOW: Final = "10m"
_HTTP: Final[Mapping[str, str]] = {
    "traffic": "istio_requests_total{%s}",
    "errors": 'istio_requests_total{%s,response_code!=""}',
    "latency": "istio_request_duration_milliseconds_bucket{%s}",
}
_TCP: Final[Mapping[str, str]] = {
    "traffic": "istio_tcp_received_bytes_total{%s}",
    "errors": 'istio_tcp_connections_closed_total{%s,response_flags!=""}',
    "connections": "istio_tcp_connections_opened_total{%s}",
}
"""What shows each signal, by Istio's standard metrics. How full a service is, the mesh does not see."""


def look_at_prometheus(
    settings: PrometheusSettings, workload: str, namespace: str, *, tcp: bool, at: float
) -> tuple[Mapping[str, bool] | Unseen, Alerts | Unseen]:
    """Whether each golden signal had values in the last minutes, and the alerting rules.

    Args:
        settings: Where Prometheus is.
        workload: The name of what runs the service, as Istio's metrics have it.
        namespace: Its namespace.
        tcp: Whether it speaks TCP alone.
        at: Seconds since 1970.
    """
    chosen = f'destination_workload="{workload}",destination_workload_namespace="{namespace}"'
    signals: Mapping[str, bool] | Unseen
    alerts: Alerts | Unseen
    with PrometheusClient(settings) as client:
        try:
            signals = {
                name: _there(client, f"count(count_over_time({metric % chosen}[{WINDOW}])) > 0", at)
                for name, metric in (_TCP if tcp else _HTTP).items()
            }
        except PrometheusError as error:
            signals = _unseen(error)
        try:
            alerts = Alerts(tuple(AlertRule(*rule) for rule in client.alerting_rules()), operator=False)
        except PrometheusError as error:
            alerts = _unseen(error)
    return signals, alerts


def _there(client: PrometheusClient, query: str, at: float) -> bool:
    found = client.query(query, at)
    if not found.samples and not found.complete:
        raise PrometheusError(f"{query}: {'; '.join(found.warnings)}")
    return bool(found.samples)


def _unseen(error: PrometheusError) -> Unseen:
    return Unseen(str(error), "refused" if isinstance(error, PrometheusRefused) else "away")
