"""What the benchmark gives to Airflow and to the cluster."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from benchmarks import project
from benchmarks.cluster import Sightings
from benchmarks.graph import layered
from interlock.trains.model import load_environments, load_train

INSTALLER = Path(__file__).resolve().parents[2] / "include" / "deploy" / "kubernetes" / "rbac.yaml"


@pytest.fixture
def include(tmp_path: Path) -> Path:
    project.write_include(tmp_path, [layered(3, 7), layered(12, 7)], soak=15, environment={"PATH": "/bin"})
    return tmp_path


def test_the_trains_load_and_have_the_graphs_edges(include: Path) -> None:
    environments = load_environments(include / "environments.yaml")
    for size in (3, 12):
        train = load_train(include / "trains" / f"bench-{size}.yaml", environments)
        assert {service.name: service.after for service in train.services} == dict(layered(size, 7).after)
        assert {service.soak.total_seconds() for service in train.services} == {15}


def test_a_train_of_an_earlier_benchmark_is_gone(include: Path) -> None:
    project.write_include(include, [layered(3, 7)], soak=15, environment={})
    assert [file.name for file in (include / "trains").iterdir()] == ["bench-3.yaml"]


def test_by_hand_is_the_same_graph_with_kubectl(include: Path) -> None:
    dag = json.loads((include / "by-hand.json").read_text())["dags"]["by_hand__bench-3"]
    assert {name: tuple(task["after"]) for name, task in dag.items()} == dict(layered(3, 7).after)
    assert dag["s3-1"]["command"] == (
        "kubectl -n bench set image deployment/s3-1 app=registry.internal/bench/s3-1:1.1.0"
        " && kubectl -n bench rollout status deployment/s3-1 --timeout=10m && sleep 15"
    )


def test_the_pods_have_no_processes_and_become_ready_after_the_delay() -> None:
    items = project.deployments(layered(3, 7), 15)["items"]
    assert [item["metadata"]["name"] for item in items] == ["s3-1", "s3-2", "s3-3"]
    annotations = items[0]["spec"]["template"]["metadata"]["annotations"]
    assert annotations["sandbox.interlock.internal/process"] == "none"
    assert annotations["sandbox.interlock.internal/ready-after"] == "15s"


def test_the_rights_are_the_installers_for_the_benchmarks_namespace() -> None:
    found = project.rights(INSTALLER.read_text())
    assert {item["kind"] for item in found} == {"Role", "RoleBinding"}
    assert {item["metadata"]["namespace"] for item in found} == {"bench"}


def test_only_the_new_release_is_taken_note_of() -> None:
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    seen = Sightings()
    labels = {"app": "s3-1"}
    old, new = ({"containers": [{"image": project.image("s3-1", tag)}]} for tag in ("1.0.0", "1.1.0"))
    ready = {"conditions": [{"type": "Ready", "status": "True"}]}
    waits = {"conditions": [{"type": "Ready", "status": "False"}]}
    seen.see({"metadata": {"labels": labels}, "spec": old, "status": ready}, moment)
    seen.see({"metadata": {"labels": labels}, "spec": new, "status": waits}, moment)
    assert seen.ready == {}
    seen.see({"metadata": {"labels": labels}, "spec": new, "status": ready}, moment)
    assert seen.ready == {"s3-1": moment}


def test_a_deployment_is_complete_once_only_new_pods_are_left() -> None:
    first, second = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC)
    seen = Sightings()
    counts = {"observedGeneration": 2, "updatedReplicas": 1, "availableReplicas": 1}
    item = {
        "metadata": {"labels": {"app": "s3-1"}, "generation": 2},
        "spec": {
            "replicas": 1,
            "template": {"spec": {"containers": [{"image": project.image("s3-1", "1.1.0")}]}},
        },
        "status": {**counts, "replicas": 2},
    }
    seen.see(item, first)
    assert (seen.written, seen.complete) == ({"s3-1": first}, {})
    seen.see({**item, "status": {**counts, "replicas": 1}}, second)
    assert (seen.written, seen.complete) == ({"s3-1": first}, {"s3-1": second})
