"""The operator of the mesh probe with a cluster in memory, whose Jobs run the probe's own program."""

from __future__ import annotations

import signal
import threading
import time
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowException, AirflowFailException
from job_cluster import JobCluster

from interlock import mesh_probe
from interlock.evidence.predicates import predicate
from interlock.hooks.kubernetes import InterlockKubernetesHook
from interlock.manifest import Manifest
from interlock.mesh.gate import GateError
from interlock.operators import evidence
from interlock.operators.mesh_probe import MeshProbeOperator
from tests.mesh.mesh_objects import peer, pod

IMAGE = "registry.internal/interlock:1"


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A STRICT namespace with a pod of one port, where nothing listens; what was recorded and pushed."""
    monkeypatch.setattr(mesh_probe, "CERTIFICATE_SECONDS", 0.0)
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "payments"}}
    api = pod("a-0", "payments") | {"status": {"podIP": "127.0.0.1", "phase": "Running"}}
    api["spec"]["containers"][0] = {"name": "app", "ports": [{"containerPort": 1}]}
    objects = [Manifest.of(raw) for raw in (namespace, api, peer("STRICT", namespace="payments"))]
    found = SimpleNamespace(objects=objects, cluster=JobCluster(*objects), recorded=[], pushed={})

    async def connect(_: object) -> Any:
        return found.cluster

    monkeypatch.setattr(InterlockKubernetesHook, "get_conn_async", connect)
    monkeypatch.setattr(evidence, "record", lambda context, said, **more: found.recorded.extend(said))
    return found


def tried(world: SimpleNamespace, **more: Any) -> list[dict[str, Any]]:
    return run(world, MeshProbeOperator(task_id="probe", namespace="payments", image=IMAGE, **more))


def run(world: SimpleNamespace, task: MeshProbeOperator) -> list[dict[str, Any]]:
    push = lambda key, value: world.pushed.update({key: value})  # noqa: E731
    ti = SimpleNamespace(xcom_push=push, dag_id="mesh")
    found: list[dict[str, Any]] = task.execute({"ti": ti, "run_id": "run-1"})  # type: ignore[typeddict-item]
    return found


def test_what_could_not_be_tried_fails_for_good_and_is_kept_first(world: SimpleNamespace) -> None:
    with pytest.raises(AirflowFailException, match="nothing listens there"):
        tried(world)
    [said] = world.recorded
    assert (said.predicate_type, said.fields["verdict"], said.fields["blocking"]) == (
        "mesh-probe",
        "not-passed",
        ["ILM028"],
    )
    assert (said.fields["tried"], said.fields["left_out"]) == (1, 0)
    allowed = predicate("mesh-probe")
    assert set(said.fields) <= set(allowed.fields)
    assert set(said.evidence) <= set(allowed.evidence)
    assert set(said.evidence["ports"][0]) == set(allowed.evidence["ports"] or {})
    assert [one["code"] for one in world.pushed["findings"]] == ["ILM028"]


@pytest.mark.parametrize("more", [{"allow": ["ILM028"]}, {"fail_on": "Error"}])
def test_severity_and_allowances_let_it_pass(world: SimpleNamespace, more: dict[str, Any]) -> None:
    assert [one["blocks"] for one in tried(world, **more)] == [False]
    assert world.recorded[0].fields["verdict"] == "passed"


def test_a_probe_that_can_not_run_is_tried_again_and_never_passes(world: SimpleNamespace) -> None:
    world.cluster = JobCluster(*world.objects, log="Killed")
    with pytest.raises(AirflowException, match=r"the ports could not be tried: Job/.*: Killed") as raised:
        tried(world)
    assert not isinstance(raised.value, AirflowFailException)
    assert world.recorded == []


def test_a_killed_task_deletes_its_job(world: SimpleNamespace) -> None:
    """As Airflow kills: its handler of SIGTERM calls `on_kill` and lets the task go on."""
    world.cluster = JobCluster(*world.objects, runs=False)
    task = MeshProbeOperator(task_id="probe", namespace="payments", image=IMAGE)

    def kill_later() -> None:
        while not world.cluster.created:
            time.sleep(0.01)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGTERM)

    before = signal.signal(signal.SIGTERM, lambda *_: task.on_kill())
    killer = threading.Thread(target=kill_later)
    killer.start()
    try:
        with pytest.raises(AirflowFailException, match="killed"):
            run(world, task)
    finally:
        killer.join()
        signal.signal(signal.SIGTERM, before)
    assert [with_dependents for _, with_dependents in world.cluster.deleted] == [True]


@pytest.mark.parametrize("more", [{"fail_on": "strict"}, {"allow": ["ILM999"]}, {"limit": 0}])
def test_a_wrong_probe_is_told_when_the_dag_is_read(more: dict[str, Any]) -> None:
    with pytest.raises(GateError):
        MeshProbeOperator(task_id="probe", namespace="payments", image=IMAGE, **more)
