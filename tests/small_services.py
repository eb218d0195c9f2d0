"""The Deployments that the tests' trains promote: one pod each, without a sidecar."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping
from typing import Any

NAMESPACE = "payments"
PATIENCE_SECONDS = 120
# Which release each runs (the images of sandbox/releases.yaml), and Kubernetes' own progress deadline.
IMAGES = {"a": "service-a", "b": "service-b", "c": "service-c"}
PROGRESS_SECONDS = {
    **{"north": 10, "east": 10, "south": 600, "west": 600, "guarded": 600, "pair": 600},
    **{"shaken": 600, "hurried": 600, "furnished": 600},
}
LETTERS = {"guarded": "ab", "pair": "ab", "furnished": "ab", "hurried": "a"}
SMALL_SERVICES = tuple(
    f"{group}-{letter}" for group in PROGRESS_SECONDS for letter in LETTERS.get(group, "abc")
)


def create_small_services(env: Mapping[str, str]) -> None:
    """Create those that don't exist and wait until all are available."""
    items = {"apiVersion": "v1", "kind": "List", "items": [_deployment(name) for name in SMALL_SERVICES]}
    done = _kubectl(env, "create", "-f", "-", given=json.dumps(items))
    problems = [line for line in done.stderr.splitlines() if "(AlreadyExists)" not in line]
    assert not problems, "\n".join(problems)
    names = [f"deployment/{name}" for name in SMALL_SERVICES]
    waited = _kubectl(env, "wait", "--for=condition=Available", *names, f"--timeout={PATIENCE_SECONDS}s")
    assert waited.returncode == 0, waited.stderr


def _kubectl(env: Mapping[str, str], *arguments: str, given: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["kubectl", "-n", NAMESPACE, *arguments],
        env=dict(env),
        input=given,
        capture_output=True,
        text=True,
        timeout=PATIENCE_SECONDS + 30,
    )


def _deployment(name: str) -> dict[str, Any]:
    group, _, letter = name.partition("-")
    labels = {"app": name}
    container = {
        "name": "app",
        "image": f"registry.internal/{IMAGES[letter]}:1.0.0",
        "ports": [{"name": "http", "containerPort": 8080}],
        "readinessProbe": {"httpGet": {"path": "/readyz", "port": "http"}, "periodSeconds": 1},
        "livenessProbe": {"httpGet": {"path": "/healthz", "port": "http"}, "periodSeconds": 10},
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "labels": labels},
        "spec": {
            "replicas": 1,
            "progressDeadlineSeconds": PROGRESS_SECONDS[group],
            "selector": {"matchLabels": labels},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
            "template": {
                "metadata": {"labels": {**labels, "sidecar.istio.io/inject": "false"}},
                "spec": {"terminationGracePeriodSeconds": 2, "containers": [container]},
            },
        },
    }
