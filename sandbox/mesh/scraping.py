"""What Prometheus is told: how it scrapes sidecars, and how Envoy's statistics become Istio's.

The mesh keeps a file with the sidecars to scrape (`targets.py`), in Prometheus' own format
for files and with the labels that its discovery in Kubernetes gives to pods. So what is done with them is
what Istio's own configuration does (samples/addons/prometheus.yaml, job `kubernetes-pods`).
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

from sandbox.mesh.objects import Raw, address, labels, name, namespace
from sandbox.mesh.snapshot import STATS_PORT

JOB: Final = "kubernetes-pods"
INTERVAL: Final = "5s"
_META: Final = "__meta_kubernetes_"
_ABOUT: Final = (
    *("workload", "workload_namespace", "app", "version", "canonical_service", "canonical_revision"),
    "principal",
)
_LABELS: Final = (
    *(f"{side}_{about}" for side in ("source", "destination") for about in _ABOUT),
    *("destination_service", "destination_service_name", "destination_service_namespace"),
)
"""What Istio calls `unknown` where it knows nothing."""
# Prometheus writes bounds as floats, Istio's sidecars as whole numbers; these are all that differ.
_BOUNDS: Final = ((r"(\d+)\.0", "$1"), (r"1\.8e\+06", "1800000"), (r"3\.6e\+06", "3600000"))


def target(pod: Raw) -> dict[str, object]:
    """A pod's sidecar as an entry of a file of targets."""
    notes = pod["metadata"].get("annotations") or {}
    found = {
        "namespace": namespace(pod),
        "pod_name": name(pod),
        "pod_ip": address(pod),
        "pod_node_name": str(pod["spec"].get("nodeName") or ""),
        **{f"pod_label_{_sanitized(key)}": value for key, value in labels(pod).items()},
        **{f"pod_annotation_{_sanitized(key)}": value for key, value in notes.items()},
    }
    return {
        "targets": [f"{address(pod)}:{STATS_PORT}"],
        "labels": {f"{_META}{key}": value for key, value in found.items()},
    }


def configuration(targets: Path) -> dict[str, object]:
    """Prometheus' configuration.

    Args:
        targets: The file with the sidecars to scrape; it need not be there yet.
    """
    job = {
        "job_name": JOB,
        "metrics_path": "/stats/prometheus",
        "file_sd_configs": [{"files": [str(targets)], "refresh_interval": INTERVAL}],
        "relabel_configs": [
            {
                "action": "drop",
                "source_labels": [f"{_META}pod_annotation_prometheus_io_scrape"],
                "regex": "false",
            },
            {"action": "labelmap", "regex": f"{_META}pod_label_(.+)"},
            *(
                {"action": "replace", "source_labels": [f"{_META}{meta}"], "target_label": label}
                for meta, label in (
                    ("namespace", "namespace"),
                    ("pod_name", "pod"),
                    ("pod_node_name", "node"),
                )
            ),
        ],
        "metric_relabel_configs": _metric_relabelling(),
    }
    timing = {"scrape_interval": INTERVAL, "scrape_timeout": INTERVAL, "evaluation_interval": INTERVAL}
    return {"global": timing, "scrape_configs": [job]}


def _metric_relabelling() -> list[dict[str, object]]:
    """Istio's names and labels for what `sandbox/mesh/telemetry.py` has Envoy count."""

    def put(label: str, value: str, regex: str, *sources: str) -> dict[str, object]:
        return {
            "action": "replace",
            "source_labels": list(sources),
            "regex": regex,
            "target_label": label,
            "replacement": value,
        }

    policy = "connection_security_policy"
    # A server knows how its connection was secured; a client's sidecar says unknown, as Istio's does.
    return [
        put("__name__", "$1", "envoy_(istio_.+)", "__name__"),
        *(put(label, "unknown", "istio_.+;-?", "__name__", label) for label in _LABELS),
        put(policy, "mutual_tls", "destination;TLSv.+", "reporter", policy),
        put(policy, "none", "destination;(-|unknown)?", "reporter", policy),
        put(policy, "unknown", "source;.*", "reporter", policy),
        *(put("le", value, regex, "le") for regex, value in _BOUNDS),
    ]


def _sanitized(key: str) -> str:
    """A label's or an annotation's name as Prometheus writes it (util/strutil: SanitizeLabelName)."""
    return re.sub(r"[^a-zA-Z0-9_]", "_", key)
