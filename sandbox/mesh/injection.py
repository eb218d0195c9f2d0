"""What the injector makes of a pod: the patch that adds the container `istio-proxy`, or none.

The rules are those of Istio 1.28: `injectRequired` of pkg/kube/inject/inject.go, and the result of its
injection template for a mesh with default settings, as far as it means something on the sandbox's node. The
traffic of a pod isn't redirected here, so there is no container `istio-init`.
"""

from __future__ import annotations

import json
from typing import Any

from sandbox.mesh import capture
from sandbox.mesh.objects import (
    PROXY_CONTAINER,
    TLS_MODE_LABEL,
    Raw,
    canonical_name,
    labels,
)
from sandbox.mesh.proxy_config import ProxyConfig, ProxyConfigError
from sandbox.mesh.snapshot import HEALTH_PORT, STATS_PORT, STATUS_PORT

PROXY_IMAGE = "docker.io/istio/proxyv2:1.28.0"
REVISION = "default"
STATUS_ANNOTATION = "sidecar.istio.io/status"
_INJECT = "sidecar.istio.io/inject"
_USER_MOUNTS = "sidecar.istio.io/userVolumeMount"
_IGNORED_NAMESPACES = ("kube-system", "kube-public", "kube-node-lease", "local-path-storage")

Patch = list[dict[str, Any]]


class Refused(Exception):
    """The pod asks for what can't be understood; as Istio's, the injector then admits no pod."""


def patch(pod: Raw, namespace: str) -> Patch:
    """The JSON patch that injects a pod; empty if it gets no sidecar, or has one.

    Args:
        pod: The pod, as it is to be created.
        namespace: Where.

    Raises:
        Refused: One of its annotations is wrong.
    """
    if not _required(pod, namespace):
        return []
    notes = pod["metadata"].get("annotations") or {}
    try:
        ProxyConfig.of(pod)
        mounts = _mounts(json.loads(notes.get(_USER_MOUNTS) or "[]"))
    except ProxyConfigError as error:
        raise Refused(str(error)) from error
    except (ValueError, TypeError, AttributeError, KeyError) as error:
        raise Refused(f"annotation {_USER_MOUNTS}: expected a JSON array of mounts") from error
    if problem := capture.unreadable(pod):
        raise Refused(problem)
    return [
        {"op": "add", "path": "/metadata/labels", "value": {**labels(pod), **_labels(pod)}},
        {"op": "add", "path": "/metadata/annotations", "value": {**notes, **_annotations(pod)}},
        {"op": "add", "path": "/spec/containers/-", "value": _container(mounts)},
    ]


def _mounts(given: Any) -> list[dict[str, Any]]:
    """The mounts of a JSON array, as Istio documents it, or of an object by volume, which it takes, too."""
    found = given if isinstance(given, list) else [{"name": name, **one} for name, one in given.items()]
    return [{"name": str(mount["name"]), **mount} for mount in found]


def _required(pod: Raw, namespace: str) -> bool:
    spec = pod["spec"]
    if any(container["name"] == PROXY_CONTAINER for container in spec["containers"]):
        return False
    if spec.get("hostNetwork") or namespace in _IGNORED_NAMESPACES:
        return False
    notes = pod["metadata"].get("annotations") or {}
    # The injector's policy is `enabled`: who doesn't say no gets a sidecar.
    return bool(labels(pod).get(_INJECT, notes.get(_INJECT)) != "false")


def _labels(pod: Raw) -> dict[str, str]:
    metadata = pod["metadata"]
    named = {**pod, "metadata": {"name": str(metadata.get("generateName", "")).rstrip("-"), **metadata}}
    revision = labels(pod).get("app.kubernetes.io/version") or labels(pod).get("version") or "latest"
    return {
        TLS_MODE_LABEL: labels(pod).get(TLS_MODE_LABEL, "istio"),
        "service.istio.io/canonical-name": canonical_name(named),
        "service.istio.io/canonical-revision": labels(pod).get(
            "service.istio.io/canonical-revision", revision
        ),
    }


def _annotations(pod: Raw) -> dict[str, str]:
    notes = pod["metadata"].get("annotations") or {}
    first = pod["spec"]["containers"][0]["name"]
    status = {
        "initContainers": None,
        "containers": [PROXY_CONTAINER],
        "volumes": None,
        "imagePullSecrets": None,
        "revision": REVISION,
    }
    found = {STATUS_ANNOTATION: json.dumps(status), "istio.io/rev": REVISION}
    for key in ("kubectl.kubernetes.io/default-container", "kubectl.kubernetes.io/default-logs-container"):
        found[key] = notes.get(key, first)
    scraped = notes.get("prometheus.io/scrape", "true").lower() == "true"
    if scraped and notes.get("prometheus.istio.io/merge-metrics", "true").lower() != "false":
        path = "/stats/prometheus"
        found |= {"prometheus.io/scrape": "true", "prometheus.io/port": str(STATUS_PORT)}
        found["prometheus.io/path"] = path
    return found


def _container(mounts: list[dict[str, Any]]) -> dict[str, Any]:
    ready = {"httpGet": {"path": "/healthz/ready", "port": HEALTH_PORT}, "timeoutSeconds": 3}
    return {
        "name": PROXY_CONTAINER,
        "image": PROXY_IMAGE,
        "args": ["proxy", "sidecar"],
        "ports": [{"name": "http-envoy-prom", "containerPort": STATS_PORT, "protocol": "TCP"}],
        "startupProbe": {**ready, "periodSeconds": 1, "failureThreshold": 600},
        "readinessProbe": {**ready, "periodSeconds": 15, "failureThreshold": 4},
        "resources": {
            "requests": {"cpu": "100m", "memory": "128Mi"},
            "limits": {"cpu": "2", "memory": "1Gi"},
        },
        **({"volumeMounts": mounts} if mounts else {}),
    }
