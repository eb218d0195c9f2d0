"""The link to Kiali, and the hook that reads the mesh."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import DAG
from memory_cluster import MemoryCluster
from train_in_memory import ENVIRONMENTS, TrainInMemory, waits

from interlock.clients.kubernetes import NotFound, Unreachable
from interlock.hooks.istio import IstioHook
from interlock.hooks.kubernetes import InterlockKubernetesHook
from interlock.manifest import Manifest
from interlock.operators.istio import MeshCheckOperator
from interlock.operators.kiali_link import KialiLink
from interlock.operators.train_service import PromoteOperator, VerifyOperator
from interlock.trains.environments import load_environments
from tests.mesh.mesh_objects import peer, pod

KIALI = "https://kiali.example.com/kiali"


def link(operator: Any) -> str:
    return KialiLink().get_link(operator, ti_key=SimpleNamespace())  # type: ignore[arg-type]


def test_a_check_links_to_the_graph_of_its_namespace_and_without_kiali_to_nothing() -> None:
    assert link(MeshCheckOperator(task_id="mesh", namespace="payments")) == ""
    found = link(MeshCheckOperator(task_id="mesh", namespace="payments", kiali=f"{KIALI}/"))
    assert found == f"{KIALI}/console/graph/namespaces?namespaces=payments"


def test_a_promotion_links_to_its_workload(train: TrainInMemory, tmp_path: Path) -> None:
    (tmp_path / "environments.yaml").write_text(f"{ENVIRONMENTS}    mesh: {{kiali: '{KIALI}'}}\n")
    train.ti.states.pop("rollback.decide", None)
    task = PromoteOperator(task_id="promote", train="payments", service="a")
    assert link(task) == ""
    with pytest.raises(Exception, match="ILM003"):
        waits(task.execute, train.context)
    assert link(task) == f"{KIALI}/console/namespaces/payments/workloads/a"


def test_the_api_server_finds_the_link_without_our_operators() -> None:
    from airflow.serialization.definitions.operatorlink import XComOperatorLink
    from airflow.serialization.serialized_objects import DagSerialization

    with DAG("d", schedule=None) as dag:
        MeshCheckOperator(task_id="mesh", namespace="payments", kiali=KIALI)
        VerifyOperator(task_id="verify", train="payments", service="a")
    read = DagSerialization.from_dict(DagSerialization.to_dict(dag))
    (found,) = read.get_task("mesh").operator_extra_links
    assert isinstance(found, XComOperatorLink)
    assert (found.name, found.xcom_key) == ("Kiali", KialiLink().xcom_key)
    assert not read.get_task("verify").operator_extra_links


@pytest.mark.parametrize(("given", "usable"), [(KIALI, True), ("kiali.example.com", False)])
def test_an_environment_says_where_kiali_is(given: str, usable: bool, tmp_path: Path) -> None:
    file = tmp_path / "environments.yaml"
    file.write_text(f"{ENVIRONMENTS}    mesh: {{kiali: '{given}'}}\n")
    found = load_environments(file)
    assert [one.kiali for one in found.values()] == ([given] if usable else [])


def test_the_hook_reads_a_mesh_and_says_whether_there_is_an_istio_api(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "payments"}}
    objects = (namespace, pod("a-0", "payments"), peer("STRICT", namespace="istio-system"))
    cluster = MemoryCluster(*map(Manifest.of, objects))
    monkeypatch.setattr(InterlockKubernetesHook, "get_conn", lambda _: cluster)
    mesh, running = IstioHook().read("payments")
    assert ([one.name for one in mesh.workloads], [one.name for one in running]) == (["a-0"], ["a-0"])

    answers: list[Any] = [
        {"resources": [{"name": "peerauthentications", "kind": "PeerAuthentication"}]},
        NotFound("404", 404),
        Unreachable("no answer"),
    ]

    async def json(*_: Any) -> Any:
        await asyncio.sleep(0)
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(cluster, "json", json, raising=False)
    assert IstioHook().test_connection() == (True, "Istio: PeerAuthentication")
    found, said = IstioHook().test_connection()
    assert not found
    assert "the cluster has no Istio API" in said
    assert IstioHook().test_connection() == (False, "no answer")
