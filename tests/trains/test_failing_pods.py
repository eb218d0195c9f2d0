"""Which pods belong to a release, and which of them can not start."""

from __future__ import annotations

from typing import Any

import pytest
from rolling_workloads import pod, workload

from interlock.manifest import Manifest
from interlock.trains.rollout import (
    FAILING_REASONS,
    failures,
    new_pods,
    pod_failure,
)


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
