"""What a wait concludes from what it sees: one decision each for a rollout and for a soak.

The same functions serve a worker that looks once and a trigger that looks at every change. A wait ends on
the first of: the line was stopped, a container can't start, the rollout failed or is complete, the absolute
deadline has passed.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta

from interlock.manifest import Manifest
from interlock.trains.rollout import (
    Done,
    Failed,
    RolloutState,
    Waiting,
    assess,
    failures,
    new_pods,
    pod_failure,
)
from interlock.trains.soak import Baseline, Broken, Held, Soak, hold
from interlock.trains.view import maps, text


def rollout(
    workload: Manifest | None,
    pods: Iterable[Manifest],
    *,
    name: str,
    generation: int,
    now: datetime,
    deadline: datetime,
    stopped: str | None = None,
) -> RolloutState:
    """Judge a rollout that somebody waits for.

    Args:
        workload: as seen last; None where it is not there.
        pods: the pods seen last, of the whole namespace or of the workload.
        name: the workload as a person would name it.
        generation: the generation that our write gave it; an older view says nothing yet.
        now: the present.
        deadline: when to give up, whatever the rollout says of itself.
        stopped: why the line was stopped, if it was.
    """
    if stopped is not None:
        return Failed(f"{name}: the line was stopped: {stopped}")
    if workload is None:
        state: RolloutState = Failed(f"{name} is not there: somebody deleted it")
    elif workload.generation < generation:
        state = Waiting(f"{name}: the change is not seen yet")
    else:
        state = assess(workload)
        if not isinstance(state, Done) and (failing := failures(workload, pods)):
            # What the pods say is the cause of what the workload says.
            also = [state.reason] if isinstance(state, Failed) else []
            state = Failed(f"{name}: " + "; ".join([*map(str, failing), *also]))
    if isinstance(state, Waiting) and now >= deadline:
        return Failed(f"{name}: not complete at its deadline ({deadline:%H:%M:%S} UTC): {state.reason}")
    return state


def soak(
    workload: Manifest | None,
    pods: Iterable[Manifest],
    *,
    name: str,
    generation: int,
    ready_at: datetime,
    seconds: float,
    now: datetime,
    baseline: Baseline,
    stopped: str | None = None,
) -> Soak:
    """Judge a soak that somebody waits for; the arguments are those of `rollout` and `hold`."""
    if stopped is not None:
        return Broken(f"{name}: the line was stopped: {stopped}")
    if workload is None:
        return Broken(f"{name} is not there: somebody deleted it")
    if workload.generation < generation:
        return Broken(f"{name}: what is live is older than what was promoted")
    return hold(workload, pods, ready_at, timedelta(seconds=seconds), now, baseline)


def troubles(workload: Manifest, pods: Iterable[Manifest]) -> tuple[str, ...]:
    """What each new pod that isn't ready says of itself, one line a pod."""
    said = []
    for pod in new_pods(workload, pods):
        failure = pod_failure(pod)
        if failure is not None:
            said.append(str(failure))
            continue
        for condition in maps(pod.raw, "status", "conditions"):
            if text(condition, "type") == "Ready" and text(condition, "status") != "True":
                said.append(f"pod {pod.name}: {text(condition, 'reason')}: {text(condition, 'message')}")
    return tuple(said)


__all__ = ["Broken", "Done", "Failed", "Held", "Waiting", "rollout", "soak", "troubles"]
