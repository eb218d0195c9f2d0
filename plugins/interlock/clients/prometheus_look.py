"""Looks at what Prometheus has of a namespace's traffic, and at the rules that it alerts by."""

from __future__ import annotations

from typing import Final

from interlock.clients.istio_traffic import observe
from interlock.clients.prometheus import PrometheusClient, PrometheusError, PrometheusRefused
from interlock.clients.prometheus_settings import PrometheusSettings
from interlock.environment.check import Unseen
from interlock.mesh.traffic import Observation
from interlock.onboarding.facts import AlertRule, Alerts

WINDOW_SECONDS: Final = 600.0


def look_at_prometheus(
    settings: PrometheusSettings, namespace: str, at: float
) -> tuple[Observation | Unseen, Alerts | Unseen]:
    """The traffic of the last ten minutes, and the alerting rules.

    Args:
        settings: Where Prometheus is.
        namespace: The services' namespace.
        at: Seconds since 1970.
    """
    observed: Observation | Unseen
    alerts: Alerts | Unseen
    with PrometheusClient(settings) as client:
        try:
            observed = observe(client, namespace, WINDOW_SECONDS, at)
        except PrometheusError as error:
            observed = _unseen(error)
        try:
            alerts = Alerts(tuple(AlertRule(*rule) for rule in client.alerting_rules()), operator=False)
        except PrometheusError as error:
            alerts = _unseen(error)
    return observed, alerts


def _unseen(error: PrometheusError) -> Unseen:
    return Unseen(str(error), "refused" if isinstance(error, PrometheusRefused) else "away")
