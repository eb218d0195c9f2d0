"""Prometheus, where a connection to it is set: does it answer, and does it have the mesh's metrics."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from interlock.connections import Connection, ConnectionAbsent, ConnectionMissing
from interlock.doctor.line import CONNECTIONS, PATIENCE_SECONDS, Line, attempt

if TYPE_CHECKING:
    from interlock.clients.prometheus import PrometheusClient

NAME: Final = "interlock_prometheus"
"""The hook's default; the doctor runs without Airflow."""
SCRAPED: Final = "Prometheus' scrape configuration"


def examine_prometheus(namespace: str, read: Callable[[str], Connection]) -> Iterator[Line]:
    """A line for a query, and one for the sidecars that are scraped; none without the connection."""
    from interlock.clients.prometheus import PrometheusClient, PrometheusError
    from interlock.clients.prometheus_settings import PrometheusSettings

    what = f"Prometheus ({NAME})"
    try:
        settings = PrometheusSettings.of_connection(read(NAME))
    except ConnectionAbsent:
        return
    except ConnectionMissing as error:
        yield Line(what, False, str(error), CONNECTIONS)
        return
    with PrometheusClient(replace(settings, timeout=PATIENCE_SECONDS)) as client:
        asked = attempt(what, CONNECTIONS, lambda: _version(client), refused=(PrometheusError,))
        yield asked
        if asked.ok:
            yield _scraped(client, namespace)


def _version(client: PrometheusClient) -> str:
    client.query("vector(1)", time.time())
    return f"{client.version()}, answers queries"


def _scraped(client: PrometheusClient, namespace: str) -> Line:
    from interlock.clients.istio_traffic import observe
    from interlock.clients.prometheus import PrometheusError

    what = f"sidecars of {namespace} in Prometheus"
    try:
        seen = observe(client, namespace, 300.0, time.time())
    except PrometheusError as error:
        return Line(what, False, str(error), CONNECTIONS)
    read = sum(seen.scraped.values())
    said = f"{read} of {len(seen.scraped)} were scraped in the last 5 minutes"
    if read:
        return Line(what, True, said, SCRAPED, warning=read < len(seen.scraped))
    hint = "what traffic there is can't be told; `up` needs the labels namespace and pod"
    return Line(what, True, f"{said}: {hint}", SCRAPED, warning=True)
