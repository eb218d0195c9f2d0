"""The mesh check with a cluster in memory."""

from __future__ import annotations

import asyncio
import json
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import BaseHook
from airflow.sdk import Connection as InAirflow
from airflow.sdk.exceptions import AirflowException, AirflowFailException
from memory_cluster import MemoryCluster

from interlock.clients.kubernetes import Unreachable
from interlock.evidence.predicates import predicate
from interlock.hooks.kubernetes import InterlockKubernetesHook
from interlock.manifest import Manifest
from interlock.mesh.gate import GateError
from interlock.operators import evidence
from interlock.operators.istio import MeshCheckOperator
from tests.clients.prometheus_answers import answering
from tests.mesh.mesh_objects import peer, pod

STRICT = peer("STRICT", namespace="istio-system", name="default")
LAX = peer("PERMISSIVE", namespace="payments", name="lax")
ACCEPTED = ("ILM009",)


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A namespace in a STRICT mesh; what was recorded and pushed."""
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "payments"}}
    cluster = MemoryCluster(*(Manifest.of(raw) for raw in (namespace, pod("a-0", "payments"), STRICT)))
    found = SimpleNamespace(cluster=cluster, recorded=[], pushed={})
    monkeypatch.setattr(InterlockKubernetesHook, "get_conn", lambda _: found.cluster)
    monkeypatch.setattr(evidence, "record", lambda context, said, **more: found.recorded.extend(said))
    return found


def check(world: SimpleNamespace, **more: Any) -> list[dict[str, Any]]:
    task = MeshCheckOperator(task_id="mesh", namespace="payments", **{"allow": ACCEPTED, **more})
    push = lambda key, value: world.pushed.update({key: value})  # noqa: E731
    found: list[dict[str, Any]] = task.execute({"ti": SimpleNamespace(xcom_push=push)})  # type: ignore[arg-type]
    return found


def test_a_strict_namespace_passes_and_what_was_found_is_kept(world: SimpleNamespace) -> None:
    found = check(world)
    assert {"ILM011", "IST0102"} <= {one["code"] for one in found}
    assert not any(one["blocks"] for one in found)
    [said] = world.recorded
    assert (said.predicate_type, said.fields["verdict"], said.fields["blocking"]) == (
        "mesh-check",
        "passed",
        [],
    )
    allowed = predicate("mesh-check")
    assert set(said.fields) <= set(allowed.fields)
    assert set(said.evidence) <= set(allowed.evidence)


async def test_plaintext_fails_for_good_with_port_and_rule_and_is_kept_first(world: SimpleNamespace) -> None:
    await world.cluster.create(Manifest.of(LAX))
    with pytest.raises(AirflowFailException, match=r"Port 8080 accepts plaintext: .*payments/lax"):
        await _in_thread(check, world)
    assert world.recorded[0].fields["blocking"] == ["ILM001"]
    assert [one["code"] for one in world.pushed["findings"] if one["blocks"]] == ["ILM001"]


@pytest.mark.parametrize("more", [{"fail_on": "Error"}, {"allow": ("ILM001", "ILM009")}])
async def test_severity_and_allowances_let_it_pass(world: SimpleNamespace, more: dict[str, Any]) -> None:
    await world.cluster.create(Manifest.of(LAX))
    assert "ILM001" in {one["code"] for one in await _in_thread(check, world, **more)}


def test_a_cluster_that_is_away_never_passes_and_is_tried_again(
    world: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: Any, **__: Any) -> Any:
        raise Unreachable("no answer")

    monkeypatch.setattr(world.cluster, "list", away)
    with pytest.raises(AirflowException, match="the mesh could not be looked at: no answer") as raised:
        check(world)
    assert not isinstance(raised.value, AirflowFailException)
    assert world.recorded == []


def test_nothing_is_recorded_without_a_store_connection(world: SimpleNamespace) -> None:
    check(world, evidence_conn_id=None)
    assert world.recorded == []


@pytest.mark.parametrize("more", [{"fail_on": "strict"}, {"allow": ("ILM999",)}])
def test_a_wrong_gate_is_told_when_the_dag_is_read(more: dict[str, Any]) -> None:
    with pytest.raises(GateError):
        MeshCheckOperator(task_id="mesh", namespace="payments", **more)


# Traffic that was observed


def answer(**metric: str) -> dict[str, Any]:
    """What Prometheus answers to every query: one series of the pod a-0, with the value 1."""
    result = [{"metric": {"pod": "a-0", **metric}, "value": [0, "1"]}]
    return {"status": "success", "data": {"resultType": "vector", "result": result}}


PLAIN = answer(connection_security_policy="none", response_code="200")
MTLS = answer(connection_security_policy="mutual_tls", response_code="200")


def observing(monkeypatch: pytest.MonkeyPatch, world: SimpleNamespace, status: int, body: Any) -> Any:
    with answering(status, body) as server:
        found = InAirflow.from_json(json.dumps({"conn_type": "http", "host": server.address}), conn_id="c")
        monkeypatch.setattr(BaseHook, "get_connection", lambda self, name: found)
        return check(world, prometheus_conn_id="interlock_prometheus", window=timedelta(minutes=2))


def test_traffic_over_mtls_alone_passes(world: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    found = observing(monkeypatch, world, 200, MTLS)
    assert not [one for one in found if one["code"] in ("ILM012", "ILM013", "ILM014")]


@pytest.mark.parametrize(
    ("body", "code"),
    [(PLAIN, "ILM012"), (answer(), "ILM014"), ({**MTLS, "warnings": ["a store is away"]}, "ILM014")],
)
def test_observed_plaintext_and_what_can_not_be_told_fail_and_are_kept(
    world: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, body: Any, code: str
) -> None:
    with pytest.raises(AirflowFailException, match=code):
        observing(monkeypatch, world, 200, body)
    assert world.recorded[0].fields["blocking"] == [code]


@pytest.mark.parametrize(("status", "body"), [(500, ""), (401, ""), (200, "<html>hello"), (400, "{}")])
def test_a_prometheus_that_does_not_answer_never_passes_and_is_asked_again(
    world: SimpleNamespace, monkeypatch: pytest.MonkeyPatch, status: int, body: str
) -> None:
    with pytest.raises(AirflowException, match="traffic could not be looked at: POST http") as raised:
        observing(monkeypatch, world, status, body)
    assert not isinstance(raised.value, AirflowFailException)
    assert world.recorded == []


async def _in_thread(act: Any, *arguments: Any, **more: Any) -> Any:
    return await asyncio.to_thread(act, *arguments, **more)
