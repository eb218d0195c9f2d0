"""Waits of a train in a mesh: what happens to the mesh meanwhile, and what can't be seen of it."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from airflow.triggers.base import TaskFailedEvent, TaskSuccessEvent

from interlock.clients import mesh_watch
from interlock.clients.istio import POLICIES
from interlock.clients.journal import JournalStore
from interlock.clients.kubernetes import Forbidden, NotFound
from interlock.hooks.kubernetes import InterlockKubernetesHook
from interlock.manifest import Manifest
from interlock.mesh.gate import Gate
from interlock.runs.wait import Guarded, Wait
from interlock.trains.entries import Head, head_name, run_hash
from interlock.triggers.kubernetes import RolloutTrigger, SoakTrigger
from tests.mesh.mesh_objects import SIDECAR, peer
from tests.triggers.live_cluster import LiveCluster, deployment, ending, pod, until

RUN = run_hash("d", "r")
STRICT = Manifest.of(peer("STRICT", namespace="istio-system", name="default"))
LAX = Manifest.of(peer("PERMISSIVE", namespace="payments", name="lax"))
FORBIDDEN = Forbidden("GET peerauthentications: 403 may not list", 403)
GUARDED = Guarded(Gate(allow=("ILM009",)), {"a": "a", "b": "b"})


def injected(name: str, *, sidecar: bool = True) -> Manifest:
    """A ready pod of a Deployment, with its sidecar or without."""
    raw = pod(name).raw
    container = {**raw["spec"]["containers"][0], "ports": [{"containerPort": 8080}]}
    containers = [container, SIDECAR] if sidecar else [container]
    labels = {**raw["metadata"]["labels"], "security.istio.io/tlsMode": "istio"}
    metadata = {**raw["metadata"], "labels": labels}
    return Manifest.of({**raw, "metadata": metadata, "spec": {"containers": containers}})


@pytest.fixture
async def cluster(monkeypatch: pytest.MonkeyPatch) -> LiveCluster:
    namespace = Manifest.of({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "payments"}})
    cluster = LiveCluster(namespace, deployment(), injected("a"), injected("b"), STRICT)
    await JournalStore(cluster, "interlock").open(Head("d", "r", "t", "sandbox", {}, datetime.now(UTC)))

    async def connect(_: InterlockKubernetesHook) -> LiveCluster:
        return cluster

    monkeypatch.setattr(InterlockKubernetesHook, "get_conn_async", connect)
    monkeypatch.setattr("interlock.clients.watch.LINGER_SECONDS", 0.0)
    monkeypatch.setattr("interlock.clients.watch.POLL_SECONDS", 0.05)
    monkeypatch.setattr(mesh_watch, "APART_SECONDS", 0.05)
    return cluster


def about(mesh: Guarded | None = GUARDED) -> dict[str, Any]:
    where = Wait("k", "payments", "Deployment", "a", head_name(RUN), "interlock", mesh)
    return where.arguments


def soak(seconds: float = 600.0, **more: Any) -> SoakTrigger:
    return SoakTrigger(
        ready_at=datetime.now(UTC).isoformat(),
        seconds=seconds,
        restarts={"pod-of-a": {"app": 0}},
        generation=1,
        **{**about(), **more},
    )


def rollout(**more: Any) -> RolloutTrigger:
    deadline = datetime.now(UTC) + timedelta(minutes=5)
    return RolloutTrigger(deadline=deadline.isoformat(), generation=1, **{**about(), **more})


def looked(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A condition: somebody has shown the mesh to a wait since."""
    shown: list[int] = []
    show = mesh_watch._show

    def counted(*args: Any) -> None:
        show(*args)
        shown.append(1)

    monkeypatch.setattr(mesh_watch, "_show", counted)
    return shown


async def why_stopped(cluster: LiveCluster) -> str:
    line = await JournalStore(cluster, "interlock").line(RUN)
    return line.stop.why if line and line.stop else ""


async def test_a_soak_breaks_within_two_seconds_of_a_policy_that_lets_plaintext_in(
    cluster: LiveCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = looked(monkeypatch)
    waits = asyncio.create_task(ending(soak()))
    await until(lambda: bool(shown))
    assert not waits.done()
    changed = time.monotonic()
    cluster.put(LAX)
    event = await waits
    assert time.monotonic() - changed < 2.0
    assert isinstance(event, TaskFailedEvent)
    assert "a: Port 8080 accepts plaintext" in event.xcoms["soak"]["failed"]
    assert "PeerAuthentication payments/lax" in await why_stopped(cluster)


async def test_what_was_lost_and_came_back_within_a_soak_breaks_it(
    cluster: LiveCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = looked(monkeypatch)
    waits = asyncio.create_task(ending(soak(1.5)))
    await until(lambda: bool(shown))
    cluster.put(LAX)
    before = len(shown)
    await until(lambda: len(shown) > before)
    cluster.take(LAX.ref)
    event = await waits
    assert isinstance(event, TaskFailedEvent)
    assert "payments/lax" in event.xcoms["soak"]["failed"]


async def test_a_soak_in_a_mesh_that_stays_strict_holds(cluster: LiveCluster) -> None:
    assert isinstance(await ending(soak(0.5)), TaskSuccessEvent)


async def test_another_service_on_board_that_loses_its_sidecar_ends_a_rollout(
    cluster: LiveCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.put(deployment(complete=False))
    shown = looked(monkeypatch)
    waits = asyncio.create_task(ending(rollout()))
    await until(lambda: bool(shown))
    cluster.put(injected("b", sidecar=False))
    event = await waits
    assert isinstance(event, TaskFailedEvent)
    assert event.xcoms["rollout"]["failed"].startswith("b: ")
    assert (await why_stopped(cluster)).startswith("b: ")


async def test_a_rollback_asks_nothing_of_the_mesh(
    cluster: LiveCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    cluster.put(LAX)
    cluster.put(deployment(complete=False))
    waits = asyncio.create_task(ending(rollout(heed_stop=False)))
    await until(lambda: "Pod" in cluster.watched)
    cluster.put(deployment())
    assert isinstance(await waits, TaskSuccessEvent)
    assert not {kind for _, kind in POLICIES} & set(cluster.watched)


async def test_what_is_lost_for_a_moment_of_the_last_look_breaks_the_soak(
    cluster: LiveCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = looked(monkeypatch)
    wait = soak(0.0)

    async def look_around() -> str:
        await until(lambda: bool(shown))
        before = len(shown)
        cluster.put(LAX)
        await until(lambda: len(shown) > before)
        cluster.take(LAX.ref)
        return ""

    wait.look_around = look_around
    event = await ending(wait)
    assert isinstance(event, TaskFailedEvent)
    assert "payments/lax" in event.xcoms["soak"]["failed"]


@pytest.mark.parametrize("kind", ["PeerAuthentication", "Sidecar", "Service"])
async def test_a_kind_that_may_not_be_seen_does_not_pass_and_is_named(
    cluster: LiveCluster, kind: str
) -> None:
    cluster.refusing[kind] = FORBIDDEN
    event = await ending(soak())
    assert isinstance(event, TaskFailedEvent)
    said = event.xcoms["soak"]["failed"]
    assert f"the mesh could not be looked at: {kind} of namespace payments: {FORBIDDEN}" in said


async def test_a_right_that_is_taken_away_in_the_middle_breaks_the_soak(
    cluster: LiveCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = looked(monkeypatch)
    waits = asyncio.create_task(ending(soak()))
    await until(lambda: bool(shown))
    cluster.refusing["PeerAuthentication"] = FORBIDDEN
    cluster.break_watches("PeerAuthentication", FORBIDDEN)
    event = await waits
    assert isinstance(event, TaskFailedEvent)
    assert "PeerAuthentication of namespace" in event.xcoms["soak"]["failed"]


async def test_a_kind_that_the_api_server_does_not_have_is_no_policy(cluster: LiveCluster) -> None:
    cluster.refusing["Sidecar"] = NotFound("404", 404)
    assert isinstance(await ending(soak(0.5)), TaskSuccessEvent)


async def test_a_cluster_without_any_istio_api_does_not_pass(cluster: LiveCluster) -> None:
    cluster.refusing |= {kind: NotFound("404", 404) for _, kind in POLICIES}
    event = await ending(soak())
    assert "the cluster has no Istio API" in event.xcoms["soak"]["failed"]


async def test_a_watch_of_the_mesh_that_dies_fails_the_wait(
    cluster: LiveCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = looked(monkeypatch)
    waits = asyncio.create_task(ending(soak()))
    await until(lambda: bool(shown))
    cluster.break_watches("AuthorizationPolicy")
    event = await waits
    assert isinstance(event, TaskFailedEvent)
    assert "the watch of AuthorizationPolicy in namespace" in event.xcoms["soak"]["failed"]
    assert "has ended" in await why_stopped(cluster)


async def test_waits_share_one_watch_of_each_kind_and_namespace(cluster: LiveCluster) -> None:
    events = await asyncio.gather(*(ending(soak(0.5)) for _ in range(10)))
    assert all(isinstance(event, TaskSuccessEvent) for event in events)
    assert {cluster.watched.count(kind) for _, kind in POLICIES} == {2}
    assert cluster.watched.count("Pod") == 1


async def test_a_service_without_a_pod_for_a_moment_has_lost_nothing(
    cluster: LiveCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    shown = looked(monkeypatch)
    waits = asyncio.create_task(ending(soak(1.0)))
    await until(lambda: bool(shown))
    cluster.take(injected("b").ref)
    assert isinstance(await waits, TaskSuccessEvent)


@pytest.mark.parametrize("trigger", [rollout(), soak()])
def test_a_guarded_wait_is_made_again_from_what_it_serializes(trigger: Any) -> None:
    _, arguments = trigger.serialize()
    again = type(trigger)(**json.loads(json.dumps(arguments)))
    assert again.serialize() == trigger.serialize()
    assert asdict(again.about.mesh) == asdict(GUARDED)
