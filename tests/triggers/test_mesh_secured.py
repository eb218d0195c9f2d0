"""The sensor for a secured workload: what it waits for, and that it never says so by the watch alone."""

from __future__ import annotations

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException, TaskDeferred
from airflow.triggers.base import TaskFailedEvent, TaskSuccessEvent

from interlock.clients import mesh_watch
from interlock.clients.kubernetes import Forbidden
from interlock.hooks.kubernetes import InterlockKubernetesHook
from interlock.manifest import Manifest
from interlock.sensors.istio import MeshSecuredSensor
from interlock.triggers.istio import MeshSecuredTrigger
from tests.mesh.mesh_objects import peer
from tests.triggers.live_cluster import LiveCluster, ending, until
from tests.triggers.test_mesh_guard import LAX, STRICT, injected

FORBIDDEN = Forbidden("GET sidecars: 403 may not list", 403)


@pytest.fixture
async def cluster(monkeypatch: pytest.MonkeyPatch) -> LiveCluster:
    namespace = Manifest.of({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "payments"}})
    cluster = LiveCluster(namespace, injected("a"), STRICT)

    async def connect(_: InterlockKubernetesHook) -> LiveCluster:
        return cluster

    monkeypatch.setattr(InterlockKubernetesHook, "get_conn_async", connect)
    monkeypatch.setattr(InterlockKubernetesHook, "get_conn", lambda _: cluster)
    monkeypatch.setattr("interlock.clients.watch.LINGER_SECONDS", 0.0)
    monkeypatch.setattr("interlock.triggers.istio.AGAIN_SECONDS", 0.05)
    monkeypatch.setattr(mesh_watch, "APART_SECONDS", 0.05)
    return cluster


def trigger(seconds: float = 60.0, **more: Any) -> MeshSecuredTrigger:
    arguments = {
        "kubernetes_conn_id": "k",
        "namespace": "payments",
        "name": "a",
        "client": None,
        "root_namespace": "istio-system",
        "deadline": (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat(),
    }
    return MeshSecuredTrigger(**{**arguments, **more})


async def test_a_secured_workload_ends_the_wait_at_once(cluster: LiveCluster) -> None:
    assert isinstance(await ending(trigger()), TaskSuccessEvent)


async def test_it_waits_until_the_policy_is_strict(
    cluster: LiveCluster, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster.put(LAX)
    wait = trigger()
    waits = asyncio.create_task(ending(wait))
    await until(lambda: bool(wait._missing))
    cluster.put(Manifest.of(peer("STRICT", namespace="payments", name="lax")))
    assert isinstance(await waits, TaskSuccessEvent)


async def test_it_fails_at_its_deadline(cluster: LiveCluster) -> None:
    cluster.put(LAX)
    assert isinstance(await ending(trigger(0.3)), TaskFailedEvent)


async def test_it_is_not_secured_by_an_old_view(cluster: LiveCluster) -> None:
    cluster.put(LAX)
    wait = trigger(1.0)
    waits = asyncio.create_task(ending(wait))
    await until(lambda: bool(wait._missing))
    # The watch shows a policy that is STRICT; another, which it does not show, lets plaintext in.
    cluster.silent = True
    cluster.put(Manifest.of(peer("PERMISSIVE", namespace="payments", name="older", app="a")))
    cluster.silent = False
    cluster.put(Manifest.of(peer("STRICT", namespace="payments", name="lax")))
    assert isinstance(await waits, TaskFailedEvent)


async def test_a_kind_that_may_not_be_seen_fails_the_wait(cluster: LiveCluster) -> None:
    cluster.refusing["Sidecar"] = FORBIDDEN
    assert isinstance(await ending(trigger()), TaskFailedEvent)


async def test_the_wait_outlasts_an_api_server_that_is_away(cluster: LiveCluster) -> None:
    cluster.away = True
    waits = asyncio.create_task(ending(trigger()))
    await until(lambda: cluster.refused > 0)
    cluster.away = False
    assert isinstance(await waits, TaskSuccessEvent)


def test_the_wait_is_made_again_from_what_it_serializes() -> None:
    made = trigger(client="b")
    _, arguments = made.serialize()
    assert MeshSecuredTrigger(**json.loads(json.dumps(arguments))).serialize() == made.serialize()


async def test_the_sensor_pokes_in_a_worker_or_defers(cluster: LiveCluster) -> None:
    def sensor(**more: Any) -> MeshSecuredSensor:
        return MeshSecuredSensor(task_id="secured", namespace="payments", name="a", **more)

    assert await asyncio.to_thread(sensor().poke, {})
    cluster.put(LAX)
    assert not await asyncio.to_thread(sensor().poke, {})
    cluster.refusing["Sidecar"] = FORBIDDEN
    with pytest.raises(AirflowFailException, match="could not be looked at: GET sidecars: 403"):
        await asyncio.to_thread(sensor().poke, {})
    with pytest.raises(TaskDeferred) as deferred:
        sensor(deferrable=True, timeout=60).execute({})
    assert isinstance(deferred.value.trigger, MeshSecuredTrigger)
