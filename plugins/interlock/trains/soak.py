"""Does a release hold: the soak, the time for which a complete rollout must stay as it is.

A soak starts when the rollout is complete (`ready_at`). Its first act is a `baseline`: how often
each container had been restarted by then. From there on `hold` judges every new look at the workload
and its pods. A release breaks its soak when the rollout is no longer complete, when a container
restarts, or when a pod was replaced by one that isn't ready. A change of the number of replicas (an
autoscaler's) leaves the rollout incomplete for a while; then the pods of the baseline must stay ready,
as many of them as are still wanted.

Pure: the time is passed in, and a baseline is plain JSON, so that a wait can be taken up again by
another process.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from interlock.manifest import Manifest
from interlock.trains.rollout import Done, Failed, assess, failures, is_ready, new_pods, wanted
from interlock.trains.view import maps, number, text

Baseline = Mapping[str, Mapping[str, int]]
"""Restarts by pod uid and container name."""


@dataclass(frozen=True)
class Holding:
    """The release holds so far and must go on until then."""

    until: datetime


@dataclass(frozen=True)
class Held:
    """The release held for the whole soak."""


@dataclass(frozen=True)
class Broken:
    """The release did not hold; `reason` says what happened."""

    reason: str


Soak = Holding | Held | Broken


def baseline(pods: Iterable[Manifest]) -> dict[str, dict[str, int]]:
    """Count the restarts of each container: ``{pod uid: {container: restarts}}``."""
    return {pod.uid: _restarts(pod) for pod in pods}


def hold(
    workload: Manifest,
    pods: Iterable[Manifest],
    ready_at: datetime,
    soak: timedelta,
    now: datetime,
    baseline: Baseline,
) -> Soak:
    """Judge whether the release holds.

    Args:
        workload: as read now.
        pods: the pods of the namespace or of the workload, as read now.
        ready_at: when the rollout was seen complete, with a time zone.
        soak: how long the release must hold; zero asks for one look.
        now: the present, with a time zone.
        baseline: what `baseline` returned at `ready_at` for the pods of the new revision (`new_pods`).
    """
    pods = tuple(pods)
    current = new_pods(workload, pods)
    state = assess(workload)
    # Replicas may change meanwhile: an autoscaler's change is no fault of the release.
    due, known = wanted(workload), len(baseline)
    grown, shrunk = 0 < known < due, due < known
    reasons = []
    if not isinstance(state, Done) and (isinstance(state, Failed) or not (grown or shrunk)):
        reasons.append(f"the rollout is no longer complete: {state.reason}")
    reasons += [str(failure) for failure in failures(workload, pods)]
    reasons += [reason for pod in current if (reason := _broken(pod, baseline, grown=grown))]
    least = known if grown else due
    if not reasons and len(current) < least:
        what = f"pods of {workload.kind} {workload.name}"
        reasons.append(f"{len(current)} of {least} {what} run the images of its template")
    if reasons:
        return Broken("; ".join(reasons))
    until = ready_at + soak
    return Held() if now >= until else Holding(until)


def _broken(pod: Manifest, baseline: Baseline, *, grown: bool) -> str | None:
    before = baseline.get(pod.uid)
    for container, restarts in _restarts(pod).items():
        more = restarts - (before or {}).get(container, 0)
        if more > 0:
            times = "once" if more == 1 else f"{more} times"
            return f"pod {pod.name}, container {container} restarted {times} during the soak"
    if is_ready(pod):
        return None
    if before is not None:
        return f"pod {pod.name} is no longer ready"
    # A pod that an autoscaler added may take its time.
    return None if grown else f"pod {pod.name} replaced another during the soak and isn't ready"


def _restarts(pod: Manifest) -> dict[str, int]:
    return {
        text(status, "name"): number(status, "restartCount")
        for group in ("initContainerStatuses", "containerStatuses")
        for status in maps(pod.raw, "status", group)
    }
