"""The table follows kubectl's rollout_status.go; a reader learns the rules from the names."""

from __future__ import annotations

from typing import Any

import pytest
from rolling_workloads import PARTITION, workload

from interlock.trains.rollout import (
    Done,
    Failed,
    Waiting,
    assess,
    wanted,
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


def test_how_many_pods_a_complete_rollout_has() -> None:
    assert wanted(workload("Deployment", {"replicas": 4})) == 4
    assert wanted(workload("Deployment")) == 1
    assert wanted(workload("StatefulSet", PARTITION)) == 1
    assert wanted(workload("DaemonSet", {}, {"desiredNumberScheduled": 5})) == 5
