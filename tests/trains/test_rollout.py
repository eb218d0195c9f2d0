"""The table follows kubectl's rollout_status.go; a reader learns the rules from the names."""

from __future__ import annotations

from typing import Any

import pytest

from interlock.manifest import Manifest
from interlock.trains.rollout import (
    FAILING_REASONS,
    Done,
    Failed,
    Waiting,
    assess,
    failures,
    new_pods,
    pod_failure,
    wanted,
)


def workload(kind: str, spec: dict[str, Any] | None = None, status: dict[str, Any] | None = None) -> Manifest:
    return Manifest.of(
        {
            "apiVersion": "apps/v1",
            "kind": kind,
            "metadata": {"name": "a", "namespace": "payments", "uid": "w", "generation": 3},
            "spec": {
                "selector": {"matchLabels": {"app": "a"}},
                "template": {"spec": {"containers": [{"name": "app", "image": "a:2"}]}},
                **(spec or {}),
            },
            "status": status or {},
        }
    )


def pod(
    name: str = "a-1",
    image: str = "a:2",
    *,
    owner: tuple[str, str, str] = ("ReplicaSet", "a-5d4", "r"),
    labels: dict[str, str] | None = None,
    waiting: dict[str, str] | None = None,
    init: dict[str, str] | None = None,
    restarts: int = 0,
    ready: bool = True,
    **metadata: Any,
) -> Manifest:
    def statuses(container: str, state: dict[str, str] | None) -> list[dict[str, Any]]:
        found = {"waiting": state} if state else {"running": {}}
        return [{"name": container, "restartCount": restarts, "state": found}]

    kind, owner_name, uid = owner
    return Manifest.of(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": name,
                "namespace": "payments",
                "uid": f"uid-{name}",
                "labels": {"app": "a", "pod-template-hash": "5d4"} if labels is None else labels,
                "ownerReferences": [{"kind": kind, "name": owner_name, "uid": uid, "controller": True}],
                **metadata,
            },
            "spec": {
                "containers": [{"name": "istio-proxy", "image": "proxy:1"}, {"name": "app", "image": image}]
            },
            "status": {
                "conditions": [{"type": "Ready", "status": "True" if ready else "False"}],
                "containerStatuses": statuses("app", waiting),
                **({"initContainerStatuses": statuses("migrate", init)} if init else {}),
            },
        }
    )


def deployed(**changes: Any) -> dict[str, Any]:
    full = {
        "observedGeneration": 3,
        "replicas": 2,
        "updatedReplicas": 2,
        "readyReplicas": 2,
        "availableReplicas": 2,
    }
    return full | changes


STALLED = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}
PARTITION = {
    "replicas": 3,
    "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 2}},
}
ROLLING = {"replicas": 2, "updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}}}


@pytest.mark.parametrize(
    ("name", "kind", "spec", "status", "expected"),
    [
        ("complete", "Deployment", {"replicas": 2}, deployed(), Done),
        ("without status", "Deployment", {"replicas": 2}, {}, "not observed"),
        (
            "older generation",
            "Deployment",
            {"replicas": 2},
            deployed(observedGeneration=2),
            "not observed",
        ),
        ("stalled", "Deployment", {"replicas": 2}, deployed(conditions=[STALLED]), Failed),
        (
            "stalled at an older generation is no failure of this one",
            "Deployment",
            {"replicas": 2},
            deployed(observedGeneration=2, conditions=[STALLED]),
            "not observed",
        ),
        (
            "few updated",
            "Deployment",
            {"replicas": 2},
            deployed(updatedReplicas=1),
            "1 of 2 replicas",
        ),
        ("old left", "Deployment", {"replicas": 2}, deployed(replicas=3), "1 old replicas"),
        (
            "few available",
            "Deployment",
            {"replicas": 2},
            deployed(availableReplicas=1),
            "1 of 2 updated",
        ),
        ("scaled to zero", "Deployment", {"replicas": 0}, {"observedGeneration": 3}, Done),
        ("no replicas given means one", "Deployment", {}, {"observedGeneration": 3}, "0 of 1"),
        (
            "stateful complete",
            "StatefulSet",
            ROLLING,
            {"observedGeneration": 3, "readyReplicas": 2, "updatedReplicas": 2},
            Done,
        ),
        (
            "stateful few updated",
            "StatefulSet",
            ROLLING,
            {"observedGeneration": 3, "readyReplicas": 2, "updatedReplicas": 1},
            "1 of 2 replicas are updated",
        ),
        (
            "stateful not ready",
            "StatefulSet",
            ROLLING,
            {"observedGeneration": 3, "readyReplicas": 1},
            "1 of 2",
        ),
        ("stateful unobserved", "StatefulSet", ROLLING, {"observedGeneration": 2}, "not observed"),
        (
            "partition keeps the lower ordinals",
            "StatefulSet",
            PARTITION,
            {"observedGeneration": 3, "readyReplicas": 3, "updatedReplicas": 1, "updateRevision": "n"},
            Done,
        ),
        (
            "partition waits for the upper ordinals",
            "StatefulSet",
            PARTITION,
            {"observedGeneration": 3, "readyReplicas": 3, "updatedReplicas": 0},
            "0 of 1 replicas",
        ),
        (
            "stateful without parameters goes by revisions",
            "StatefulSet",
            {"replicas": 1},
            {"observedGeneration": 3, "readyReplicas": 1, "updateRevision": "n", "currentRevision": "o"},
            "at revision n",
        ),
        (
            "stateful at one revision",
            "StatefulSet",
            {"replicas": 1},
            {"observedGeneration": 3, "readyReplicas": 1, "updateRevision": "n", "currentRevision": "n"},
            Done,
        ),
        ("stateful OnDelete", "StatefulSet", {"updateStrategy": {"type": "OnDelete"}}, {}, Failed),
        (
            "daemon complete",
            "DaemonSet",
            {},
            {
                "observedGeneration": 3,
                "desiredNumberScheduled": 2,
                "updatedNumberScheduled": 2,
                "numberAvailable": 2,
            },
            Done,
        ),
        (
            "daemon few updated",
            "DaemonSet",
            {},
            {"observedGeneration": 3, "desiredNumberScheduled": 2, "updatedNumberScheduled": 1},
            "1 of 2 pods are updated",
        ),
        (
            "daemon few available",
            "DaemonSet",
            {},
            {"observedGeneration": 3, "desiredNumberScheduled": 2, "updatedNumberScheduled": 2},
            "0 of 2 updated pods",
        ),
        ("daemon unobserved", "DaemonSet", {}, {"observedGeneration": 1}, "not observed"),
        ("daemon OnDelete", "DaemonSet", {"updateStrategy": {"type": "OnDelete"}}, {}, Failed),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_rollout_is_judged_as_kubectl_judges_it(
    name: str, kind: str, spec: dict[str, Any], status: dict[str, Any], expected: type | str
) -> None:
    state = assess(workload(kind, spec, status))
    if isinstance(expected, str):
        assert isinstance(state, Waiting)
        assert expected in state.reason
    else:
        assert isinstance(state, expected)
        assert state.reason.startswith(f"{kind} a")


def test_a_kind_without_a_rollout_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="Job/a has no rollout"):
        assess(workload("Job"))


@pytest.mark.parametrize("reason", sorted(FAILING_REASONS))
def test_a_container_that_cannot_start_fails_its_pod(reason: str) -> None:
    failure = pod_failure(pod(waiting={"reason": reason, "message": "no such thing"}, restarts=2))
    assert failure is not None
    assert (failure.reason, failure.container, failure.restarts) == (reason, "app", 2)
    assert str(failure) == f"pod a-1, container app: {reason} after 2 restarts: no such thing"


@pytest.mark.parametrize("reason", ["ContainerCreating", "PodInitializing", "ErrImagePull"])
def test_a_container_that_may_still_start_is_no_failure(reason: str) -> None:
    assert pod_failure(pod(waiting={"reason": reason})) is None


def test_an_init_container_that_cannot_start_fails_its_pod() -> None:
    failure = pod_failure(pod(init={"reason": "CrashLoopBackOff"}, waiting={"reason": "PodInitializing"}))
    assert failure is not None
    assert failure.container == "migrate"


@pytest.mark.parametrize(
    ("why", "found"),
    [
        ("another image", pod(image="a:1")),
        ("another label", pod(labels={"app": "b", "pod-template-hash": "5d4"})),
        ("a ReplicaSet of another Deployment", pod(owner=("ReplicaSet", "a-canary-5d4", "r"))),
        ("an owner of another kind", pod(owner=("Job", "a-5d4", "r"))),
        ("another namespace", pod(namespace="other")),
        ("being deleted", pod(deletionTimestamp="2026-01-01T00:00:00Z")),
        ("no owner", pod(ownerReferences=[])),
    ],
)
def test_a_pod_of_something_else_is_no_pod_of_the_new_revision(why: str, found: Manifest) -> None:
    assert new_pods(workload("Deployment"), [found]) == ()


def test_an_injected_sidecar_does_not_hide_a_pod_of_the_new_revision() -> None:
    assert new_pods(workload("Deployment"), [pod()]) == (pod(),)


@pytest.mark.parametrize("kind", ["StatefulSet", "DaemonSet"])
def test_pods_owned_without_a_replica_set_go_by_the_uid_of_their_owner(kind: str) -> None:
    ours, strange = pod("ours", owner=(kind, "a", "w")), pod("strange", owner=(kind, "a", "former"))
    assert new_pods(workload(kind), [ours, strange]) == (ours,)


@pytest.mark.parametrize(
    ("expression", "matches"),
    [
        ({"key": "app", "operator": "In", "values": ["a"]}, True),
        ({"key": "app", "operator": "NotIn", "values": ["a"]}, False),
        ({"key": "app", "operator": "Exists"}, True),
        ({"key": "app", "operator": "DoesNotExist"}, False),
        ({"key": "app", "operator": "Unheard"}, False),
    ],
)
def test_selectors_with_expressions_are_followed(expression: dict[str, Any], matches: bool) -> None:
    chooses = workload("Deployment", {"selector": {"matchExpressions": [expression]}})
    assert bool(new_pods(chooses, [pod()])) is matches


def test_an_empty_selector_selects_nothing() -> None:
    assert new_pods(workload("Deployment", {"selector": {}}), [pod()]) == ()


def test_an_old_pod_in_trouble_is_no_failure_of_the_release() -> None:
    crash = {"reason": "CrashLoopBackOff"}
    found = failures(
        workload("Deployment"), [pod("old", "a:1", waiting=crash), pod("new", waiting=crash), pod()]
    )
    assert [failure.pod for failure in found] == ["new"]


def test_how_many_pods_a_complete_rollout_has() -> None:
    assert wanted(workload("Deployment", {"replicas": 4})) == 4
    assert wanted(workload("Deployment")) == 1
    assert wanted(workload("StatefulSet", PARTITION)) == 1
    assert wanted(workload("DaemonSet", {}, {"desiredNumberScheduled": 5})) == 5
