"""Workloads and their pods in the middle of a rollout, as the API server shows them."""

from __future__ import annotations

from typing import Any

from interlock.manifest import Manifest


def workload(kind: str, spec: dict[str, Any] | None = None, status: dict[str, Any] | None = None) -> Manifest:
    return Manifest.of(
        {
            "apiVersion": "apps/v1",
            "kind": kind,
            "metadata": {"name": "a", "namespace": "payments", "uid": "w", "generation": 3},
            "spec": {
                "selector": {"matchLabels": {"app": "a"}},
                "template": {"spec": {"containers": [{"name": "app", "image": "a:2"}]}},
                **(spec or {}),
            },
            "status": status or {},
        }
    )


def pod(
    name: str = "a-1",
    image: str = "a:2",
    *,
    owner: tuple[str, str, str] = ("ReplicaSet", "a-5d4", "r"),
    labels: dict[str, str] | None = None,
    waiting: dict[str, str] | None = None,
    init: dict[str, str] | None = None,
    restarts: int = 0,
    ready: bool = True,
    **metadata: Any,
) -> Manifest:
    def statuses(container: str, state: dict[str, str] | None) -> list[dict[str, Any]]:
        found = {"waiting": state} if state else {"running": {}}
        return [{"name": container, "restartCount": restarts, "state": found}]

    kind, owner_name, uid = owner
    return Manifest.of(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": name,
                "namespace": "payments",
                "uid": f"uid-{name}",
                "labels": {"app": "a", "pod-template-hash": "5d4"} if labels is None else labels,
                "ownerReferences": [{"kind": kind, "name": owner_name, "uid": uid, "controller": True}],
                **metadata,
            },
            "spec": {
                "containers": [{"name": "istio-proxy", "image": "proxy:1"}, {"name": "app", "image": image}]
            },
            "status": {
                "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
                "containerStatuses": statuses("app", waiting),
                **({"initContainerStatuses": statuses("migrate", init)} if init else {}),
            },
        }
    )


PARTITION = {
    "replicas": 3,
    "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 2}},
}
