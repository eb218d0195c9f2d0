"""Is a rollout complete, and what is wrong with the pods of the new revision.

`assess` follows the rules of ``kubectl rollout status`` (kubectl,
pkg/polymorphichelpers/rollout_status.go) for Deployment, StatefulSet and DaemonSet. It has no
deadline of its own: ``progressDeadlineSeconds`` counts from the last progress, so a slow rollout
may go on for ever, and whoever waits holds an absolute deadline beside this.

`failures` looks at containers that can't start, so that a wait ends as soon as the cause is known.
It looks at pods of the new revision alone: an old pod that is in trouble is no reason to go back.

Everything here is a pure function of objects that were read. Nothing is read, and no clock is asked.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from interlock.manifest import Manifest
from interlock.trains.view import lookup, mapping, maps, number, text

FAILING_REASONS = frozenset(
    {
        "InvalidImageName",
        "ImagePullBackOff",
        "CrashLoopBackOff",
        "CreateContainerConfigError",
        "CreateContainerError",
        "RunContainerError",
    }
)
"""Reasons of a waiting container that mean failure (Kubernetes, pkg/kubelet/images/types.go and
pkg/kubelet/kuberuntime). ErrImagePull isn't among them: the kubelet tries again, and calls it
ImagePullBackOff when that failed as well."""


@dataclass(frozen=True)
class Done:
    """The rollout is complete; `reason` says how many pods run the new revision."""

    reason: str = ""


@dataclass(frozen=True)
class Waiting:
    """The rollout goes on; `reason` says what it waits for."""

    reason: str


@dataclass(frozen=True)
class Failed:
    """The rollout won't complete by itself; `reason` says why, and what to do."""

    reason: str


RolloutState = Done | Waiting | Failed


@dataclass(frozen=True)
class PodFailure:
    """A container that can't start: in which pod, why, and how often it was restarted."""

    pod: str
    container: str
    reason: str
    message: str
    restarts: int

    def __str__(self) -> str:
        """Say it in one line, as a log or a rollback's reason shows it."""
        text = f"pod {self.pod}, container {self.container}: {self.reason}"
        if self.restarts:
            text += f" after {self.restarts} restart{'s' if self.restarts > 1 else ''}"
        return f"{text}: {self.message}" if self.message else text


def assess(workload: Manifest) -> RolloutState:
    """Judge a workload's rollout from its spec and status.

    Args:
        workload: a Deployment, StatefulSet or DaemonSet of apps/v1, as read.

    Raises:
        ValueError: for another kind.
    """
    match workload.kind:
        case "Deployment":
            return _deployment(workload)
        case "StatefulSet":
            return _stateful_set(workload)
        case "DaemonSet":
            return _daemon_set(workload)
        case kind:
            raise ValueError(
                f"{kind}/{workload.name} has no rollout; expected Deployment, StatefulSet or DaemonSet"
            )


def wanted(workload: Manifest) -> int:
    """How many pods of the new revision a complete rollout has.

    A StatefulSet's partition leaves the pods below that ordinal on the old revision.
    """
    if workload.kind == "DaemonSet":
        return number(workload.raw, "status", "desiredNumberScheduled")
    replicas = number(workload.raw, "spec", "replicas", default=1)
    if workload.kind == "StatefulSet":
        return max(0, replicas - _partition(workload))
    return replicas


def new_pods(workload: Manifest, pods: Iterable[Manifest]) -> tuple[Manifest, ...]:
    """The pods of the workload's present template.

    A pod counts when the workload's selector matches it, its controller is the workload (for a
    Deployment: a ReplicaSet of it), and each container of the template runs in it with the
    template's image. Containers that an admission webhook added (a sidecar) don't matter. Pods
    that are being deleted don't count.
    """
    return tuple(pod for pod in pods if _belongs(pod, workload) and _runs_template(pod, workload))


def pod_failure(pod: Manifest) -> PodFailure | None:
    """The first container of the pod, init containers first, that can't start; None if all can."""
    for group in ("initContainerStatuses", "containerStatuses"):
        for status in maps(pod.raw, "status", group):
            waiting = mapping(status, "state", "waiting")
            reason = text(waiting, "reason")
            if reason in FAILING_REASONS:
                return PodFailure(
                    pod=pod.name,
                    container=text(status, "name"),
                    reason=reason,
                    message=text(waiting, "message"),
                    restarts=number(status, "restartCount"),
                )
    return None


def failures(workload: Manifest, pods: Iterable[Manifest]) -> tuple[PodFailure, ...]:
    """What is wrong with the pods of the new revision, one for each failing pod."""
    return tuple(failure for pod in new_pods(workload, pods) if (failure := pod_failure(pod)))


def is_ready(pod: Manifest) -> bool:
    """Whether the pod's Ready condition is True."""
    return any(
        text(condition, "type") == "Ready" and text(condition, "status") == "True"
        for condition in maps(pod.raw, "status", "conditions")
    )


def _deployment(workload: Manifest) -> RolloutState:
    name, raw = workload.name, workload.raw
    if not _observed(workload):
        return Waiting(f"Deployment {name}: the change is not observed by its controller yet")
    for condition in maps(raw, "status", "conditions"):
        if (
            text(condition, "type") == "Progressing"
            and text(condition, "reason") == "ProgressDeadlineExceeded"
        ):
            seconds = number(raw, "spec", "progressDeadlineSeconds", default=600)
            return Failed(
                f"Deployment {name} exceeded its progress deadline: no progress for {seconds} s "
                "(spec.progressDeadlineSeconds); see the events of its new pods"
            )
    replicas = number(raw, "spec", "replicas", default=1)
    updated = number(raw, "status", "updatedReplicas")
    total = number(raw, "status", "replicas")
    available = number(raw, "status", "availableReplicas")
    if updated < replicas:
        return Waiting(f"Deployment {name}: {updated} of {replicas} replicas are updated")
    if total > updated:
        return Waiting(f"Deployment {name}: {total - updated} old replicas are still to end")
    if available < updated:
        return Waiting(f"Deployment {name}: {available} of {updated} updated replicas are available")
    return Done(f"Deployment {name}: {available} updated replicas are available")


def _stateful_set(workload: Manifest) -> RolloutState:
    name, raw = workload.name, workload.raw
    if failed := _not_rolling(workload):
        return failed
    if number(raw, "status", "observedGeneration") == 0 or not _observed(workload):
        return Waiting(f"StatefulSet {name}: the change is not observed by its controller yet")
    replicas = number(raw, "spec", "replicas", default=1)
    ready = number(raw, "status", "readyReplicas")
    updated = number(raw, "status", "updatedReplicas")
    if ready < replicas:
        return Waiting(f"StatefulSet {name}: {ready} of {replicas} replicas are ready")
    if lookup(raw, "spec", "updateStrategy", "rollingUpdate") is not None:
        if updated < wanted(workload):
            return Waiting(f"StatefulSet {name}: {updated} of {wanted(workload)} replicas are updated")
        kept = f", {_partition(workload)} kept by its partition" if _partition(workload) else ""
        return Done(f"StatefulSet {name}: {updated} replicas are updated{kept}")
    update, current = text(raw, "status", "updateRevision"), text(raw, "status", "currentRevision")
    if update != current:
        return Waiting(f"StatefulSet {name}: {updated} of {replicas} replicas are at revision {update}")
    return Done(f"StatefulSet {name}: {replicas} replicas are at revision {current}")


def _daemon_set(workload: Manifest) -> RolloutState:
    name, raw = workload.name, workload.raw
    if failed := _not_rolling(workload):
        return failed
    if not _observed(workload):
        return Waiting(f"DaemonSet {name}: the change is not observed by its controller yet")
    desired = number(raw, "status", "desiredNumberScheduled")
    updated = number(raw, "status", "updatedNumberScheduled")
    available = number(raw, "status", "numberAvailable")
    if updated < desired:
        return Waiting(f"DaemonSet {name}: {updated} of {desired} pods are updated")
    if available < desired:
        return Waiting(f"DaemonSet {name}: {available} of {desired} updated pods are available")
    return Done(f"DaemonSet {name}: {available} updated pods are available")


def _not_rolling(workload: Manifest) -> Failed | None:
    # An absent type means RollingUpdate: the API server's default for apps/v1.
    strategy = text(workload.raw, "spec", "updateStrategy", "type") or "RollingUpdate"
    if strategy == "RollingUpdate":
        return None
    return Failed(
        f"{workload.kind} {workload.name} has the update strategy {strategy}: its pods are not replaced by "
        "its controller, so its rollout can't be followed; set spec.updateStrategy.type to RollingUpdate"
    )


def _observed(workload: Manifest) -> bool:
    return number(workload.raw, "metadata", "generation") <= number(
        workload.raw, "status", "observedGeneration"
    )


def _partition(workload: Manifest) -> int:
    return number(workload.raw, "spec", "updateStrategy", "rollingUpdate", "partition")


def _belongs(pod: Manifest, workload: Manifest) -> bool:
    if pod.namespace != workload.namespace or lookup(pod.raw, "metadata", "deletionTimestamp") is not None:
        return False
    labels = mapping(pod.raw, "metadata", "labels")
    if not _selects(mapping(workload.raw, "spec", "selector"), labels):
        return False
    owner = next(
        (o for o in maps(pod.raw, "metadata", "ownerReferences") if o.get("controller") is True), None
    )
    if owner is None:
        return False
    if workload.kind != "Deployment":
        return (text(owner, "kind"), text(owner, "uid")) == (workload.kind, workload.uid)
    # A Deployment names its ReplicaSets <its name>-<the pods' pod-template-hash>.
    expected = f"{workload.name}-{text(labels, 'pod-template-hash')}"
    return (text(owner, "kind"), text(owner, "name")) == ("ReplicaSet", expected)


def _selects(selector: Mapping[str, object], labels: Mapping[str, object]) -> bool:
    wanted_labels = mapping(selector, "matchLabels")
    expressions = list(maps(selector, "matchExpressions"))
    if not wanted_labels and not expressions:
        return False
    return all(labels.get(key) == value for key, value in wanted_labels.items()) and all(
        _meets(expression, labels) for expression in expressions
    )


def _meets(expression: Mapping[str, object], labels: Mapping[str, object]) -> bool:
    key, operator, values = (
        text(expression, "key"),
        text(expression, "operator"),
        expression.get("values") or (),
    )
    assert isinstance(values, (list, tuple))
    match operator:
        case "In":
            return key in labels and labels[key] in values
        case "NotIn":
            return key not in labels or labels[key] not in values
        case "Exists":
            return key in labels
        case "DoesNotExist":
            return key not in labels
    return False


def _runs_template(pod: Manifest, workload: Manifest) -> bool:
    for group in ("containers", "initContainers"):
        running = {text(c, "name"): text(c, "image") for c in maps(pod.raw, "spec", group)}
        for container in maps(workload.raw, "spec", "template", "spec", group):
            if running.get(text(container, "name")) != text(container, "image"):
                return False
    return True
