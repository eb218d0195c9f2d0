from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from airflow.sdk.exceptions import AirflowFailException
from cleared_train import close, images
from memory_cluster import MemoryCluster
from moved_train import RUN, ref
from train_in_memory import ENVIRONMENTS, TrainInMemory, waits

from interlock.manifest import Manifest
from interlock.operators.train import PlanOperator, UndoPlanOperator
from interlock.operators.train_service import PromoteOperator
from tests.mesh.mesh_objects import peer, pod

LAX = peer("PERMISSIVE", namespace="payments", name="lax")


@pytest.fixture
def meshed(train: TrainInMemory, tmp_path: Path) -> TrainInMemory:
    """The train in an environment with a mesh, all of it STRICT."""
    (tmp_path / "environments.yaml").write_text(f"{ENVIRONMENTS}    mesh: {{allow: [ILM009]}}\n")
    put(train.cluster, peer("STRICT", namespace="istio-system", name="default"))
    for name in "ab":
        running = pod(f"{name}-0", "payments", labels={"app": name})
        running["metadata"]["ownerReferences"] = [{"controller": True, "kind": "StatefulSet", "name": name}]
        put(train.cluster, running)
    return train


def put(cluster: MemoryCluster, raw: dict[str, object]) -> None:
    asyncio.run(cluster.create(Manifest.of(raw)))


def promote(train: TrainInMemory, service: str) -> bool:
    train.ti.states.pop("rollback.decide", None)
    return waits(PromoteOperator(task_id="promote", train="payments", service=service).execute, train.context)


def test_a_service_moves_where_the_mesh_is_strict(meshed: TrainInMemory) -> None:
    assert promote(meshed, "a")


def test_a_service_is_not_written_while_a_port_accepts_plaintext(meshed: TrainInMemory) -> None:
    put(meshed.cluster, LAX)
    before = asyncio.run(meshed.cluster.get(ref("b")))
    with pytest.raises(AirflowFailException, match=r"a: Port 8080 .*payments/lax.*; b: Port"):
        promote(meshed, "b")
    assert asyncio.run(meshed.cluster.get(ref("b"))) == before
    stop = asyncio.run(meshed.head()).stop
    assert stop is not None
    assert (stop.by, "ILM001" in stop.why) == ("b", True)


def test_a_plan_is_refused_with_all_that_the_mesh_has_against_it(meshed: TrainInMemory) -> None:
    put(meshed.cluster, LAX)
    meshed.context |= {"params": {"a": "3", "b": "3", "environment": "sandbox"}}
    meshed.context["dag_run"] = type("DagRun", (), {"conf": {}, "clear_number": 0})()
    live = images(meshed)
    with pytest.raises(AirflowFailException) as refused:
        PlanOperator(task_id="plan", train="payments").execute(meshed.context)
    for name in "ab":
        assert f"{name}: Port 8080 accepts plaintext: " in str(refused.value)
    assert images(meshed) == live


def test_an_undo_is_refused_before_it_moves_any_of_its_services(meshed: TrainInMemory) -> None:
    close(meshed)
    put(meshed.cluster, LAX)
    meshed.context |= {"params": {"environment": "sandbox", "run_id": RUN}}
    with pytest.raises(AirflowFailException) as refused:
        UndoPlanOperator(task_id="plan", train="payments", undo=True).execute(meshed.context)
    for name in "ab":
        assert f"{name}: Port 8080 accepts plaintext: " in str(refused.value)
