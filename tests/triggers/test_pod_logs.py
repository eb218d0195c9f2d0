"""What a wait says of the pods: why it failed, and what of their logs it puts into its task's log."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from interlock.manifest import Manifest
from interlock.trains import waiting
from interlock.trains.rollout import Failed
from interlock.triggers.kubernetes import RolloutTrigger

AT = datetime(2026, 3, 1, tzinfo=UTC)
SECRET = "glpat-" + "a1B2" * 6


class _Pods:
    """The one method of KubernetesClient that is asked."""

    async def __aenter__(self) -> _Pods:
        return self

    async def __aexit__(self, *_: object) -> None:
        return None

    async def pod_log(self, *_: object, **__: object) -> str:
        return f"starting\npanic: cannot log in with {SECRET}\n"


def _workload() -> Manifest:
    spec = {"containers": [{"name": "app", "image": "a:2"}]}
    return Manifest.of(
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "a", "namespace": "payments", "uid": "w"},
            "spec": {"selector": {"matchLabels": {"app": "a"}}, "template": {"spec": spec}},
        }
    )


def _pod(waiting: dict[str, str] | None) -> Manifest:
    owner = {"kind": "ReplicaSet", "name": "a-5d4", "uid": "r", "controller": True}
    state: dict[str, Any] = {"waiting": waiting} if waiting else {"running": {}}
    message = "containers with unready status: [app]"
    return Manifest.of(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": "a-5d4-x",
                "namespace": "payments",
                "labels": {"app": "a", "pod-template-hash": "5d4"},
                "ownerReferences": [owner],
            },
            "spec": {"containers": [{"name": "app", "image": "a:2"}]},
            "status": {
                "containerStatuses": [{"name": "app", "restartCount": 1, "state": state}],
                "conditions": [
                    {"type": "Ready", "status": "False", "reason": "ContainersNotReady", "message": message}
                ],
            },
        }
    )


@pytest.mark.parametrize(
    ("waiting", "said"),
    [
        ({"reason": "CrashLoopBackOff", "message": "back-off 10s"}, "CrashLoopBackOff after 1 restart"),
        (None, "pod a-5d4-x: ContainersNotReady: containers with unready status: [app]"),
    ],
)
async def test_the_pods_reason_and_last_lines_are_shown_and_what_looks_like_a_secret_is_withheld(
    waiting: dict[str, str] | None,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    trigger = RolloutTrigger(
        kubernetes_conn_id="k", namespace="payments", kind="Deployment", name="a", generation=1, deadline=""
    )

    async def client() -> _Pods:
        return _Pods()

    monkeypatch.setattr(trigger, "_client", client)
    monkeypatch.setattr(trigger, "_log", logging.getLogger("waits"))
    with caplog.at_level(logging.INFO, "waits"):
        await trigger._show_logs(_workload(), [_pod(waiting)])
    lines = [record.getMessage() for record in caplog.records]
    assert any(said in line for line in lines), lines
    assert "  starting" in lines
    assert "  redacted:gitlab-token" in lines
    assert not any(SECRET in line for line in lines)


def test_a_rollout_without_progress_names_what_its_pods_say_first() -> None:
    exceeded = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}
    stuck = Manifest.of({**_workload().raw, "status": {"conditions": [exceeded]}})
    crashing = _pod({"reason": "CrashLoopBackOff", "message": "back-off 10s"})
    state = waiting.rollout(
        stuck, [crashing], name="a", generation=0, now=AT, deadline=AT + timedelta(hours=1)
    )
    assert isinstance(state, Failed)
    assert state.reason.startswith("a: pod a-5d4-x, container app: CrashLoopBackOff after 1 restart")
    assert "exceeded its progress deadline" in state.reason
