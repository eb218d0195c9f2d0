"""What the node reports of a pod: pure functions from the containers' state to the API's status object.

The rules are those of Kubernetes' `pkg/kubelet/kubelet_pods.go` (getPhase) and `status/generate.go`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sandbox.mesh.objects import PROXY_CONTAINER

HOST_IP = "127.0.0.1"


def stamp(moment: datetime) -> str:
    """Return the moment as the API writes it: UTC, whole seconds."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def parse_stamp(text: str) -> datetime:
    """Return the moment that the API wrote."""
    return datetime.fromisoformat(text.replace("Z", "+00:00"))


@dataclass(frozen=True)
class Waiting:
    """The container isn't running, and why."""

    reason: str
    message: str = ""


@dataclass(frozen=True)
class Running:
    """The container's process runs since `started_at`."""

    started_at: datetime


@dataclass(frozen=True)
class Terminated:
    """The container's process ended."""

    exit_code: int
    started_at: datetime
    finished_at: datetime
    container_id: str = ""
    signal: int = 0

    @property
    def reason(self) -> str:
        """Completed or Error."""
        return "Completed" if self.exit_code == 0 else "Error"


State = Waiting | Running | Terminated


@dataclass(frozen=True)
class ContainerView:
    """What is to be said of one container."""

    name: str
    image: str
    state: State = Waiting("ContainerCreating")
    image_id: str = ""
    container_id: str = ""
    last_state: Terminated | None = None
    restarts: int = 0
    started: bool = False
    ready: bool = False


def container_status(view: ContainerView) -> dict[str, Any]:
    """Return the entry of `containerStatuses` for one container."""
    status: dict[str, Any] = {
        "name": view.name,
        "image": view.image,
        "imageID": view.image_id,
        "restartCount": view.restarts,
        "started": view.started,
        "ready": view.ready,
        "state": _state(view.state),
        "lastState": {} if view.last_state is None else _state(view.last_state),
    }
    if view.container_id:
        status["containerID"] = view.container_id
    return status


def _state(state: State) -> dict[str, Any]:
    match state:
        case Waiting(reason, message):
            return {"waiting": {"reason": reason, **({"message": message} if message else {})}}
        case Running(started_at):
            return {"running": {"startedAt": stamp(started_at)}}
        case Terminated():
            ended: dict[str, Any] = {
                "exitCode": state.exit_code,
                "reason": state.reason,
                "startedAt": stamp(state.started_at),
                "finishedAt": stamp(state.finished_at),
            }
            if state.container_id:
                ended["containerID"] = state.container_id
            return {"terminated": ended}


def phase(views: Sequence[ContainerView], restart_policy: str) -> str:
    """Return the pod's phase."""
    if any(isinstance(v.state, Waiting) and v.last_state is None for v in views):
        return "Pending"
    if any(not isinstance(v.state, Terminated) for v in views) or restart_policy == "Always":
        return "Running"
    # How the sidecar ended says nothing of the pod's work.
    own = [v for v in views if v.name != PROXY_CONTAINER]
    codes = [v.state.exit_code for v in own if isinstance(v.state, Terminated)]
    if all(code == 0 for code in codes):
        return "Succeeded"
    return "Running" if restart_policy == "OnFailure" else "Failed"


def conditions(
    views: Sequence[ContainerView], pod_phase: str, previous: Sequence[Mapping[str, Any]], now: datetime
) -> list[dict[str, Any]]:
    """Return the pod's conditions; one whose status is as before keeps its time of transition.

    Args:
        views: The containers.
        pod_phase: The phase they make.
        previous: The conditions reported last; foreign ones are kept as they are.
        now: The time of a transition.
    """
    unready = [v.name for v in views if not v.ready]
    trouble: dict[str, str] = {}
    if pod_phase == "Succeeded":
        trouble = {"reason": "PodCompleted"}
    elif unready:
        trouble = {
            "reason": "ContainersNotReady",
            "message": f"containers with unready status: [{' '.join(unready)}]",
        }
    wanted: list[tuple[str, dict[str, str]]] = [
        ("PodReadyToStartContainers", {}),
        ("Initialized", {}),
        ("Ready", trouble),
        ("ContainersReady", trouble),
        ("PodScheduled", {}),
    ]
    before = {c["type"]: c for c in previous}
    result: list[dict[str, Any]] = []
    for kind, why in wanted:
        status = "False" if why else "True"
        old = before.pop(kind, None)
        since = old.get("lastTransitionTime") if old and old.get("status") == status else None
        result.append({"type": kind, "status": status, "lastTransitionTime": since or stamp(now), **why})
    return result + [dict(c) for c in before.values()]


def pod_status(
    pod: Mapping[str, Any],
    views: Sequence[ContainerView],
    *,
    pod_ip: str,
    started: datetime,
    previous: Mapping[str, Any],
    now: datetime,
) -> dict[str, Any]:
    """Return the whole status that the node reports of a pod.

    Args:
        pod: The pod as the API gave it.
        views: Its containers, in the order of the spec.
        pod_ip: Its address.
        started: When the node took it on.
        previous: The status reported last, or the API's at first.
        now: The time of transitions.
    """
    now_phase = phase(views, pod["spec"].get("restartPolicy", "Always"))
    status: dict[str, Any] = {
        "phase": now_phase,
        "conditions": conditions(views, now_phase, previous.get("conditions") or [], now),
        "containerStatuses": [container_status(v) for v in views],
        "hostIP": HOST_IP,
        "hostIPs": [{"ip": HOST_IP}],
        "podIP": pod_ip,
        "podIPs": [{"ip": pod_ip}],
        "startTime": stamp(started),
    }
    generation = pod["metadata"].get("generation")
    if generation is not None:
        status["observedGeneration"] = generation
    return status


def restored_view(container: Mapping[str, Any], status: Mapping[str, Any], now: datetime) -> ContainerView:
    """Return the view to begin with for a container that may have run under an earlier agent.

    Its process ended with that agent, so it counts as restarted: exit code 137 and one restart more, as
    after a reboot of the machine.
    """
    fresh = ContainerView(str(container["name"]), str(container["image"]))
    for old in status.get("containerStatuses") or []:
        if old["name"] != fresh.name:
            continue
        state, last = old.get("state") or {}, (old.get("lastState") or {}).get("terminated")
        if "running" in state:
            since = parse_stamp(state["running"]["startedAt"])
            ended = Terminated(137, since, now, old.get("containerID", ""), 9)
            return ContainerView(fresh.name, fresh.image, last_state=ended, restarts=old["restartCount"] + 1)
        last = state.get("terminated") or last
        if last:
            ended = Terminated(
                last["exitCode"],
                parse_stamp(last["startedAt"]) if last.get("startedAt") else now,
                parse_stamp(last["finishedAt"]) if last.get("finishedAt") else now,
                last.get("containerID", ""),
            )
            return ContainerView(fresh.name, fresh.image, last_state=ended, restarts=old["restartCount"] + 1)
    return fresh
