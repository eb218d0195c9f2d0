"""What the benchmark gives to Airflow and the cluster: trains, an environment, by-hand DAGs, Deployments."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from benchmarks.graph import Graph

NAMESPACE = "bench"
ENVIRONMENT = "bench"
DAGS = Path(__file__).resolve().parent / "dags"
BEFORE, AFTER = "1.0.0", "1.1.0"
"""The releases that a run finds and leaves."""
DEADLINE = "10m"
_REGISTRY = "registry.internal/bench"


def image(service: str, tag: str) -> str:
    """The image of a service's release."""
    return f"{_REGISTRY}/{service}:{tag}"


def train_dag(graph: Graph) -> str:
    """The DAG of Interlock's train."""
    return f"promotion_train__{graph.name}"


def by_hand_dag(graph: Graph) -> str:
    """The DAG of the same graph by hand."""
    return f"by_hand__{graph.name}"


def write_include(folder: Path, graphs: Iterable[Graph], *, soak: float, environment: dict[str, str]) -> None:
    """Write the folder that INTERLOCK_INCLUDE names.

    Args:
        folder: where to.
        graphs: the trains.
        soak: seconds that each service has to hold.
        environment: variables that kubectl needs in the by-hand tasks.
    """
    trains = folder / "trains"
    trains.mkdir(parents=True, exist_ok=True)
    for stale in trains.glob("*.yaml"):
        stale.unlink()
    dags = {}
    for graph in graphs:
        _write_yaml(trains / f"{graph.name}.yaml", _train(graph, soak))
        dags[by_hand_dag(graph)] = _by_hand(graph, soak)
    _write_yaml(folder / "environments.yaml", _environments())
    (folder / "by-hand.json").write_text(json.dumps({"environment": environment, "dags": dags}, indent=1))


def deployments(graph: Graph, ready: float) -> dict[str, Any]:
    """The Deployments of a train's services: one replica each, no processes, ready after so many seconds."""
    return {
        "apiVersion": "v1",
        "kind": "List",
        "items": [_deployment(service, ready) for service in graph.after],
    }


def rights(rbac: str) -> list[dict[str, Any]]:
    """The Role and RoleBinding for the services' namespace of the installer's file, for ours."""
    found = []
    for document in yaml.safe_load_all(rbac):
        if document["metadata"]["name"] == "interlock-trains":
            document["metadata"]["namespace"] = NAMESPACE
            found.append(document)
    return found


def _train(graph: Graph, soak: float) -> dict[str, Any]:
    services = {
        name: {"image": f"{_REGISTRY}/{name}", **({"after": list(after)} if after else {})}
        for name, after in graph.after.items()
    }
    return {
        "description": f"{graph.size} services, {graph.depth} on the longest path",
        "approval": False,
        "defaults": {"deadline": DEADLINE, "soak": f"{soak:g}s"},
        "environments": [ENVIRONMENT],
        "services": services,
    }


def _environments() -> dict[str, Any]:
    environment = {
        "kubernetes": "interlock_kubernetes",
        "namespace": NAMESPACE,
        "journal_namespace": "interlock",
        "vault": "interlock_vault",
        "evidence": {"mode": "require", "store": "interlock_evidence"},
    }
    return {"environments": {ENVIRONMENT: environment}}


def _by_hand(graph: Graph, soak: float) -> dict[str, dict[str, Any]]:
    return {
        name: {
            "after": list(after),
            "command": " && ".join(
                (
                    f"kubectl -n {NAMESPACE} set image deployment/{name} app={image(name, AFTER)}",
                    f"kubectl -n {NAMESPACE} rollout status deployment/{name} --timeout={DEADLINE}",
                    f"sleep {soak:g}",
                )
            ),
        }
        for name, after in graph.after.items()
    }


def _deployment(service: str, ready: float) -> dict[str, Any]:
    labels = {"app": service}
    annotations = {
        "sandbox.interlock.internal/process": "none",
        "sandbox.interlock.internal/ready-after": f"{ready:g}s",
    }
    container = {"name": "app", "image": image(service, BEFORE)}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": service, "namespace": NAMESPACE, "labels": labels},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": labels},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
            "template": {
                "metadata": {"labels": labels, "annotations": annotations},
                "spec": {"terminationGracePeriodSeconds": 1, "containers": [container]},
            },
        },
    }


def _write_yaml(path: Path, value: object) -> None:
    path.write_text(yaml.safe_dump(value, sort_keys=False))
