"""Is a workload scraped by Prometheus, and did traffic show.

Follows `applyPrometheusMerge` of pkg/kube/inject/webhook.go: unless told otherwise the injector points
Prometheus' annotations at the sidecar, which merges the application's metrics with its own.
"""

from __future__ import annotations

from dataclasses import dataclass

from interlock.mesh.injection import injection
from interlock.mesh.mesh import Mesh
from interlock.mesh.verdict import Answer, Reason
from interlock.mesh.workload import Workload

MERGE = "prometheus.istio.io/merge-metrics"
_SCRAPE = ("prometheus.io/scrape", "prometheus.io.scrape", "prometheus-io/scrape")


@dataclass(frozen=True, slots=True)
class Monitoring:
    """How a workload is monitored.

    Attributes:
        scraped: Whether its annotations ask Prometheus to scrape the sidecar's metrics.
        port: The port that is scraped; empty if none.
        path: The path.
        traffic: Whether requests were seen; INDETERMINATE if nobody looked.
        reasons: Why.
    """

    scraped: Answer
    port: str
    path: str
    traffic: Answer
    reasons: tuple[Reason, ...]


def monitoring(mesh: Mesh, workload: Workload, requests: float | None = None) -> Monitoring:
    """Whether a workload's mesh metrics are scraped.

    Args:
        mesh: The mesh's objects.
        workload: The workload.
        requests: How many requests its metrics showed lately; None if they were not asked.
    """
    traffic = Answer.INDETERMINATE if requests is None else Answer.of(requests > 0)
    seen = "not asked for" if requests is None else f"{requests:g} requests"
    reasons = [Reason(f"traffic: {seen}", workload.ref)]
    notes, state = workload.annotations, injection(mesh, workload)
    asked = next((notes[key] for key in _SCRAPE if key in notes), None)
    if state.sidecar is not Answer.YES:
        text = "has no sidecar, so there are no mesh metrics of it"
        scraped = Answer.NO if state.sidecar is Answer.NO else Answer.INDETERMINATE
        return Monitoring(scraped, "", "", traffic, (*reasons, *state.reasons, Reason(text, workload.ref)))
    if asked is not None and asked.lower() != "true":
        reasons.append(Reason(f"the annotation prometheus.io/scrape is {asked!r}", workload.ref))
        return Monitoring(Answer.NO, "", "", traffic, tuple(reasons))
    if workload.live:
        port, path = notes.get("prometheus.io/port", ""), notes.get("prometheus.io/path", "/metrics")
        sidecar = path == "/stats/prometheus"
        text = f"annotations: scrape {asked or 'not set'}, port {port or 'not set'}, path {path}"
        scraped = Answer.of(asked is not None and sidecar)
        reasons.append(Reason(text + ("" if sidecar else ", which is not the sidecar's"), workload.ref))
        return Monitoring(scraped, port if asked else "", path if asked else "", traffic, tuple(reasons))
    merges = mesh.settings.prometheus_merge and notes.get(MERGE, "true").lower() != "false"
    text = "the injector will point Prometheus at the sidecar" if merges else "merging of metrics is off"
    reasons.append(Reason(text, workload.ref))
    port = str(mesh.settings.status_port) if merges else ""
    return Monitoring(Answer.of(merges), port, "/stats/prometheus" if merges else "", traffic, tuple(reasons))
