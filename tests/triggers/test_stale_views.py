"""Waits whose view is old or dead: none of them says that something held, or is done, which it can't know."""

from __future__ import annotations

import asyncio
import threading
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.triggers.base import TaskFailedEvent, TaskSuccessEvent

from interlock.clients.journal import JournalStore
from interlock.clients.kubernetes import Unreachable
from interlock.hooks.kubernetes import InterlockKubernetesHook
from interlock.manifest import Manifest
from interlock.trains.entries import Head, head_name, run_hash
from interlock.triggers import train_service
from interlock.triggers.kubernetes import RolloutTrigger, SoakTrigger
from interlock.triggers.train_service import VerifyTrigger
from tests.triggers.live_cluster import LiveCluster, deployment, ending, pod, until

RUN = run_hash("d", "r")
WHERE = {
    "kubernetes_conn_id": "k",
    "namespace": "payments",
    "kind": "Deployment",
    "name": "a",
    "journal": head_name(RUN),
    "journal_namespace": "interlock",
}


@pytest.fixture
async def cluster(monkeypatch: pytest.MonkeyPatch) -> LiveCluster:
    cluster = LiveCluster(deployment(), pod())
    await JournalStore(cluster, "interlock").open(Head("d", "r", "t", "sandbox", {}, datetime.now(UTC)))

    async def connect(_: InterlockKubernetesHook) -> LiveCluster:
        return cluster

    monkeypatch.setattr(InterlockKubernetesHook, "get_conn_async", connect)
    monkeypatch.setattr("interlock.clients.watch.LINGER_SECONDS", 0.0)
    return cluster


def soak(seconds: float = 1.0) -> SoakTrigger:
    return SoakTrigger(
        ready_at=datetime.now(UTC).isoformat(),
        seconds=seconds,
        restarts={"pod-of-a": {"app": 0}},
        generation=1,
        **WHERE,
    )


def rollout(**more: Any) -> RolloutTrigger:
    deadline = datetime.now(UTC) + timedelta(minutes=5)
    return RolloutTrigger(deadline=deadline.isoformat(), generation=1, **{**WHERE, **more})


async def stop(cluster: LiveCluster) -> str | None:
    line = await JournalStore(cluster, "interlock").line(RUN)
    return line.stop.why if line and line.stop else None


async def watching(cluster: LiveCluster) -> None:
    await until(lambda: {"Deployment", "Pod", "Secret"} <= set(cluster.watched))


async def test_what_a_silent_watch_did_not_show_breaks_the_soak_all_the_same(cluster: LiveCluster) -> None:
    waits = asyncio.create_task(ending(soak()))
    await watching(cluster)
    cluster.silent = True
    cluster.put(pod(restarts=1))
    event = await waits
    assert isinstance(event, TaskFailedEvent)
    assert "container app restarted once during the soak" in event.xcoms["soak"]["failed"]
    assert "restarted once" in (await stop(cluster) or "")


async def test_a_soak_holds_only_once_the_api_server_has_answered(cluster: LiveCluster) -> None:
    waits = asyncio.create_task(ending(soak(0.2)))
    await watching(cluster)
    cluster.away = True
    await until(lambda: cluster.refused >= 2)
    assert not waits.done()
    cluster.away = False
    assert isinstance(await waits, TaskSuccessEvent)


async def test_what_is_wrong_around_a_workload_at_the_end_of_its_soak_breaks_it(cluster: LiveCluster) -> None:
    waited = soak(0.2)

    async def around() -> str:
        return "a: Port 8080 accepts plaintext"

    waited.look_around = around
    event = await ending(waited)
    assert isinstance(event, TaskFailedEvent)
    assert event.xcoms["soak"]["failed"] == "a: Port 8080 accepts plaintext"
    assert await stop(cluster) == "a: Port 8080 accepts plaintext"


async def test_what_moves_with_a_workload_is_read_again_before_a_soak_holds(
    cluster: LiveCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[int] = []
    change = SimpleNamespace(moves=True, ref=deployment().ref)
    run = SimpleNamespace(
        change=lambda _: change,
        train=SimpleNamespace(service=lambda _: SimpleNamespace(soak=timedelta(seconds=0.2))),
        wait_for=lambda _: soak().about,
        environment=SimpleNamespace(mesh=None),
    )
    rolled = {"ready_at": datetime.now(UTC).isoformat(), "baseline": {"pod-of-a": {"app": 0}}}

    async def elsewhere(*_: object) -> dict[str, int]:
        reads.append(len(reads))
        return {"read": len(reads)}

    monkeypatch.setattr(VerifyTrigger, "_promoted", lambda _: (run, {**rolled, "generation": 1}))
    monkeypatch.setattr(VerifyTrigger, "_elsewhere", elsewhere)
    # The second read shows what somebody changed meanwhile.
    monkeypatch.setattr(train_service, "as_written", lambda _, live: live["read"] == 1)
    trigger = VerifyTrigger(train="t", service="a")
    trigger._task_instance = SimpleNamespace(try_number=1)  # type: ignore[assignment]
    event = await ending(trigger)
    assert isinstance(event, TaskFailedEvent)
    assert "changed or taken back since it was promoted" in event.xcoms["soak"]["failed"]


@pytest.mark.parametrize("kind", ["Deployment", "Pod", "Secret"])
@pytest.mark.parametrize("waiting_for", ["rollout", "soak"])
async def test_a_wait_whose_watch_has_died_fails_and_stops_the_line(
    cluster: LiveCluster, kind: str, waiting_for: str
) -> None:
    if waiting_for == "rollout":
        cluster.put(deployment(complete=False))
    waits = asyncio.create_task(ending(rollout() if waiting_for == "rollout" else soak(600)))
    await watching(cluster)
    cluster.break_watches(kind)
    event = await waits
    assert isinstance(event, TaskFailedEvent)
    assert f"the watch of {kind} in namespace" in event.xcoms[waiting_for]["failed"]
    assert "has ended: RuntimeError: a fault of the watch" in event.xcoms[waiting_for]["failed"]
    assert "has ended" in (await stop(cluster) or "")


async def test_a_rollout_is_not_done_by_what_a_dead_view_shows(cluster: LiveCluster) -> None:
    cluster.put(deployment(complete=False))
    waits = asyncio.create_task(ending(rollout()))
    await watching(cluster)
    # Complete, as the last thing that the view of the workload saw; the view of its pods has died by then.
    cluster.break_watches("Pod")
    cluster.put(deployment())
    assert isinstance(await waits, TaskFailedEvent)


async def test_a_rollback_that_can_no_longer_see_leaves_the_line_as_it_is(cluster: LiveCluster) -> None:
    cluster.put(deployment(complete=False))
    waits = asyncio.create_task(ending(rollout(heed_stop=False)))
    await until(lambda: "Pod" in cluster.watched)
    cluster.break_watches("Pod")
    assert isinstance(await waits, TaskFailedEvent)
    assert await stop(cluster) is None


@pytest.mark.parametrize(
    ("state", "stops"),
    [
        ("failed", True),
        ("success", True),
        ("skipped", True),
        (None, False),
        ("queued", False),
        ("deferred", False),
    ],
)
async def test_only_a_task_that_was_marked_stops_the_line_not_one_that_begins_anew(
    cluster: LiveCluster, state: str | None, stops: bool
) -> None:
    for trigger in (rollout(), soak()):
        trigger._task_instance = SimpleNamespace(  # type: ignore[assignment]
            dag_id="d",
            run_id="r",
            task_id="a.promote",
            get_task_states=lambda **asked: {"r": {"a.promote": state}},
        )
        await trigger.on_kill()
    assert bool(await stop(cluster)) is stops


async def test_a_wait_that_is_taken_away_raises_nothing_where_airflow_does_not_answer(
    cluster: LiveCluster,
) -> None:
    def away(**_: object) -> dict[str, dict[str, str]]:
        raise RuntimeError("no answer")

    for trigger in (rollout(), soak()):
        trigger._task_instance = SimpleNamespace(  # type: ignore[assignment]
            dag_id="d", run_id="r", task_id="a.promote", get_task_states=away
        )
        await trigger.on_kill()
    assert await stop(cluster) is None


async def test_a_failure_is_told_also_while_the_line_can_not_be_stopped(cluster: LiveCluster) -> None:
    cluster.put(deployment(complete=False))
    waits = asyncio.create_task(ending(rollout()))
    await watching(cluster)
    cluster.away = True
    failed = deployment(complete=False).raw
    condition = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}
    status = {**failed["status"], "conditions": [condition]}
    cluster.put(Manifest.of({**failed, "status": status}))
    event = await waits
    assert isinstance(event, TaskFailedEvent)
    assert "progress deadline" in event.xcoms["rollout"]["failed"]


async def test_what_moves_with_a_workload_is_asked_for_until_the_api_answers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answers = [Unreachable("away"), Unreachable("away"), {"found": True}]

    async def elsewhere(*_: object) -> object:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(VerifyTrigger, "_elsewhere", elsewhere)
    monkeypatch.setattr(train_service, "AGAIN_SECONDS", 0.0)
    trigger = VerifyTrigger(train="t", service="a")
    assert await trigger._elsewhere_in_time(SimpleNamespace(), SimpleNamespace()) == {"found": True}  # type: ignore[arg-type]


@pytest.mark.parametrize("trigger", [rollout(), soak()])
def test_a_wait_is_made_again_from_what_it_serializes(trigger: Any) -> None:
    _, arguments = trigger.serialize()
    assert all(isinstance(value, (str, int, float, dict, bool, type(None))) for value in arguments.values())
    assert type(trigger)(**arguments).serialize() == trigger.serialize()


async def test_a_client_is_made_once_for_a_shared_view_and_outside_the_loop(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from lightkube.config.kubeconfig import KubeConfig

    from interlock.clients import kubernetes_connection
    from interlock.clients.kubeconfig import KubernetesSettings

    cluster = LiveCluster(deployment(), pod())
    read: list[threading.Thread] = []
    built: list[threading.Thread] = []

    def kubeconfig(_: KubernetesSettings) -> KubeConfig:
        read.append(threading.current_thread())
        user, inside = {"name": "u", "user": {}}, {"cluster": "c", "user": "u"}
        config = {
            "clusters": [{"name": "c", "cluster": {"server": "http://127.0.0.1:1"}}],
            "users": [user],
            "contexts": [{"name": "x", "context": inside}],
            "current-context": "x",
        }
        return KubeConfig.from_dict(config)

    class Http:
        def __init__(self, *_: object) -> None:
            built.append(threading.current_thread())

        async def aclose(self) -> None:
            return

    async def connection(*_: object) -> SimpleNamespace:
        return SimpleNamespace()

    monkeypatch.setattr("interlock.clients.watch.LINGER_SECONDS", 0.0)
    monkeypatch.setattr(InterlockKubernetesHook, "aget_connection", connection)
    monkeypatch.setattr("interlock.hooks.kubernetes.of_airflow", lambda _: None)
    monkeypatch.setattr(KubernetesSettings, "of_connection", classmethod(lambda cls, _: cls()))
    monkeypatch.setattr(KubernetesSettings, "kubeconfig", kubeconfig)
    monkeypatch.setattr(kubernetes_connection, "AsyncClient", Http)
    for method in ("get", "list", "watch"):
        given = getattr(cluster, method)
        monkeypatch.setattr(
            f"interlock.clients.kubernetes.KubernetesClient.{method}",
            lambda _, *args, given=given, **kwargs: given(*args, **kwargs),
        )
    outside = {**WHERE, "journal": None, "journal_namespace": None}
    many = [ending(rollout(heed_stop=False, **outside)) for _ in range(20)]
    assert all(isinstance(event, TaskSuccessEvent) for event in await asyncio.gather(*many))
    assert len(read) == len(built) == len({"Deployment", "Pod"})
    assert threading.main_thread() not in {*read, *built}


def test_a_pod_without_a_controller_is_a_group_of_its_own() -> None:
    from interlock.clients.kubernetes_api import workload_of

    alone = Manifest.of({**pod().raw, "metadata": {"name": "alone"}})
    assert (workload_of(alone), workload_of(pod())) == ("alone", "a")
