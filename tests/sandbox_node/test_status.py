"""What is reported of a pod and of the node."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from sandbox.node.heartbeat import node_status
from sandbox.node.status import (
    ContainerView,
    Running,
    State,
    Terminated,
    Waiting,
    container_status,
    phase,
    pod_status,
    restored_view,
)

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
LATER = NOW + timedelta(seconds=10)
POD: dict[str, Any] = {
    "metadata": {"name": "p", "namespace": "n", "uid": "u", "generation": 3},
    "spec": {"containers": [{"name": "app", "image": "i:1"}]},
}
CRASHED = Terminated(1, NOW, NOW, "sandbox://1")


RUNNING = Running(NOW)


def view(state: State = RUNNING, **given: Any) -> ContainerView:
    return replace(ContainerView("app", "i:1", state), **given)


def status(
    *views: ContainerView, previous: dict[str, Any] | None = None, now: datetime = NOW
) -> dict[str, Any]:
    return pod_status(POD, views, pod_ip="127.20.0.2", started=NOW, previous=previous or {}, now=now)


def condition(of: dict[str, Any], kind: str) -> dict[str, Any]:
    return next(c for c in of["conditions"] if c["type"] == kind)


@pytest.mark.parametrize(
    ("views", "policy", "expected"),
    [
        ([view(Waiting("ContainerCreating"))], "Always", "Pending"),
        ([view(Waiting("ImagePullBackOff"))], "Always", "Pending"),
        ([view(Waiting("CrashLoopBackOff"), last_state=CRASHED)], "Always", "Running"),
        ([view(), view(Waiting("ErrImagePull"))], "Always", "Pending"),
        ([view()], "Always", "Running"),
        ([view(CRASHED)], "Always", "Running"),
        ([view(CRASHED)], "Never", "Failed"),
        ([view(CRASHED)], "OnFailure", "Running"),
        ([view(replace(CRASHED, exit_code=0))], "OnFailure", "Succeeded"),
    ],
)
def test_the_phase_follows_from_the_containers_and_the_restart_policy(
    views: list[ContainerView], policy: str, expected: str
) -> None:
    assert phase(views, policy) == expected


def test_a_pod_is_ready_when_all_its_containers_are() -> None:
    assert condition(status(view(ready=True)), "Ready")["status"] == "True"
    unready = condition(status(view(ready=True), view(name="other")), "Ready")
    assert (unready["status"], unready["reason"]) == ("False", "ContainersNotReady")
    assert unready["message"] == "containers with unready status: [other]"


def test_a_condition_keeps_its_time_until_its_status_changes() -> None:
    first = status(view())
    second = status(view(), previous=first, now=LATER)
    third = status(view(ready=True), previous=second, now=LATER)
    assert condition(second, "Ready")["lastTransitionTime"] == "2026-01-02T03:04:05Z"
    assert condition(third, "Ready")["lastTransitionTime"] == "2026-01-02T03:04:15Z"
    assert condition(third, "PodScheduled")["lastTransitionTime"] == "2026-01-02T03:04:05Z"


def test_conditions_of_others_are_kept() -> None:
    gate = {"type": "example.org/gate", "status": "True"}
    assert gate in status(view(), previous={"conditions": [gate]})["conditions"]


def test_nothing_new_gives_the_same_status() -> None:
    first = status(view())
    assert status(view(), previous=first, now=LATER) == first


def test_addresses_and_generation_are_reported() -> None:
    seen = status(view())
    assert seen["podIP"] == "127.20.0.2"
    assert seen["podIPs"] == [{"ip": "127.20.0.2"}]
    assert seen["hostIP"] == "127.0.0.1"
    assert seen["observedGeneration"] == 3


def test_a_crash_loop_shows_the_wait_and_the_exit_before_it() -> None:
    shown = container_status(view(Waiting("CrashLoopBackOff", "back-off 2s"), last_state=CRASHED, restarts=4))
    assert shown["state"] == {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 2s"}}
    assert shown["lastState"]["terminated"]["exitCode"] == 1
    assert shown["lastState"]["terminated"]["reason"] == "Error"
    assert shown["restartCount"] == 4


def test_a_container_that_ran_under_an_earlier_agent_counts_as_restarted() -> None:
    before = {"containerStatuses": [container_status(view(restarts=2, container_id="sandbox://0"))]}
    again = restored_view(POD["spec"]["containers"][0], before, LATER)
    assert again.restarts == 3
    assert again.last_state == Terminated(137, NOW, LATER, "sandbox://0", 9)
    assert again.state == Waiting("ContainerCreating")


def test_a_container_that_never_ran_begins_without_restarts() -> None:
    before = {"containerStatuses": [container_status(view(Waiting("ErrImagePull")))]}
    assert restored_view(POD["spec"]["containers"][0], before, NOW).restarts == 0
    assert restored_view(POD["spec"]["containers"][0], {}, NOW).restarts == 0


def test_the_node_is_ready_and_keeps_the_time_since_when() -> None:
    first = node_status("v1.34.4", 10250, {}, NOW)
    second = node_status("v1.34.4", 10250, first, LATER)
    ready = condition(second, "Ready")
    assert ready["status"] == "True"
    assert ready["lastTransitionTime"] == "2026-01-02T03:04:05Z"
    assert ready["lastHeartbeatTime"] == "2026-01-02T03:04:15Z"
    assert second["daemonEndpoints"] == {"kubeletEndpoint": {"Port": 10250}}
    assert second["capacity"]["pods"] == "1000"
