from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

from interlock.manifest import Manifest
from interlock.trains.soak import Broken, Held, Holding, baseline, hold

READY = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
SOAK = timedelta(seconds=15)
LATER = READY + timedelta(seconds=5)
END = READY + SOAK


def deployment(available: int = 2, replicas: int = 2) -> Manifest:
    return Manifest.of(
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "a", "namespace": "p", "uid": "w", "generation": 1},
            "spec": {
                "replicas": replicas,
                "selector": {"matchLabels": {"app": "a"}},
                "template": {"spec": {"containers": [{"name": "app", "image": "a:2"}]}},
            },
            "status": {
                "observedGeneration": 1,
                "replicas": 2,
                "updatedReplicas": 2,
                "availableReplicas": available,
            },
        }
    )


def pod(
    name: str, restarts: int = 0, *, ready: bool = True, image: str = "a:2", reason: str = "", init: int = 0
) -> Manifest:
    state = {"waiting": {"reason": reason}} if reason else {"running": {}}
    return Manifest.of(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": name,
                "namespace": "p",
                "uid": name,
                "labels": {"app": "a", "pod-template-hash": "h"},
                "ownerReferences": [{"kind": "ReplicaSet", "name": "a-h", "controller": True}],
            },
            "spec": {"containers": [{"name": "app", "image": image}]},
            "status": {
                "conditions": [{"type": "Ready", "status": str(ready)}],
                "initContainerStatuses": [{"name": "mesh", "restartCount": init}],
                "containerStatuses": [{"name": "app", "restartCount": restarts, "state": state}],
            },
        }
    )


BASE = baseline([pod("one", 1), pod("two")])


def judged(pods: list[Manifest], now: datetime = LATER, available: int = 2) -> object:
    return hold(deployment(available), pods, READY, SOAK, now, BASE)


def broken(pods: list[Manifest], available: int = 2) -> str:
    state = judged(pods, END, available)
    assert isinstance(state, Broken)
    return state.reason


def test_a_baseline_survives_json() -> None:
    assert json.loads(json.dumps(BASE)) == {"one": {"mesh": 0, "app": 1}, "two": {"mesh": 0, "app": 0}}


def test_a_release_that_stays_as_it_is_holds_until_the_end_of_its_soak() -> None:
    assert judged([pod("one", 1), pod("two")]) == Holding(END)
    assert judged([pod("one", 1), pod("two")], END - timedelta(microseconds=1)) == Holding(END)
    assert judged([pod("one", 1), pod("two")], END) == Held()


def test_a_restart_before_the_soak_does_not_break_it() -> None:
    assert isinstance(judged([pod("one", 1), pod("two")]), Holding)


def test_a_restart_breaks_the_soak_even_when_it_is_over() -> None:
    assert broken([pod("one", 2), pod("two")]) == "pod one, container app restarted once during the soak"
    assert "restarted 3 times" in broken([pod("one", 4), pod("two")])


def test_a_restart_of_an_init_container_breaks_the_soak() -> None:
    assert "container mesh" in broken([pod("one", 1, init=1), pod("two")])


def test_a_rollout_that_is_no_longer_complete_breaks_the_soak_and_says_which_pod_is_the_cause() -> None:
    reason = broken([pod("one", 1), pod("two", reason="CrashLoopBackOff", ready=False)], available=1)
    assert reason.startswith("the rollout is no longer complete: ")
    assert "pod two, container app: CrashLoopBackOff" in reason


def test_a_replaced_pod_breaks_the_soak_only_if_it_is_not_ready() -> None:
    assert isinstance(judged([pod("one", 1), pod("three")]), Holding)
    assert "pod three replaced another" in broken([pod("one", 1), pod("three", ready=False)])


def test_a_replaced_pod_that_restarted_breaks_the_soak() -> None:
    assert "pod three, container app restarted" in broken([pod("one", 1), pod("three", 1)])


def test_too_few_pods_of_the_new_revision_break_the_soak() -> None:
    assert "1 of 2 pods of Deployment a" in broken([pod("one", 1), pod("two", image="a:1")])


def test_a_pod_that_is_no_longer_ready_breaks_the_soak() -> None:
    assert "pod two is no longer ready" in broken([pod("one", 1), pod("two", ready=False)])


def scaled(replicas: int, pods: list[Manifest]) -> object:
    return hold(deployment(available=2, replicas=replicas), pods, READY, SOAK, LATER, BASE)


def test_an_autoscaler_that_adds_a_pod_does_not_break_the_soak() -> None:
    assert isinstance(scaled(3, [pod("one", 1), pod("two"), pod("three", ready=False)]), Holding)
    assert isinstance(scaled(3, [pod("one", 1), pod("two")]), Holding)


def test_an_autoscaler_that_takes_a_pod_does_not_break_the_soak() -> None:
    assert isinstance(scaled(1, [pod("two")]), Holding)


def test_while_replicas_change_the_pods_that_were_there_must_still_hold() -> None:
    three = pod("three", ready=False)
    assert isinstance(scaled(3, [pod("one", 2), pod("two"), three]), Broken)
    assert isinstance(scaled(3, [pod("one", 1), pod("two", ready=False), three]), Broken)
    assert isinstance(scaled(3, [pod("one", 1)]), Broken)


def test_an_added_pod_that_cannot_start_breaks_the_soak() -> None:
    crashing = pod("three", ready=False, reason="CrashLoopBackOff")
    assert isinstance(scaled(3, [pod("one", 1), pod("two"), crashing]), Broken)


def test_a_soak_that_saw_no_pod_at_its_start_never_holds() -> None:
    assert isinstance(hold(deployment(), [], READY, SOAK, END, {}), Broken)
