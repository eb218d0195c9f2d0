"""A failed train, a plan that waits for approval and a train that waits for its lock each reach people."""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from running_sandbox import RunningSandbox
from train_runs import other

pytestmark = pytest.mark.sandbox


def _notices(sandbox: RunningSandbox, run_id: str) -> list[dict[str, str]]:
    """The notices about one run in the sandbox's file."""
    file = sandbox.root / "log" / "notices.jsonl"
    lines = file.read_text().splitlines() if file.exists() else []
    return [notice for notice in map(json.loads, lines) if notice["run_id"] == run_id]


def _told(sandbox: RunningSandbox, run_id: str, what: str) -> Callable[[], bool]:
    return lambda: any(notice["what"] == what for notice in _notices(sandbox, run_id))


def test_a_train_that_goes_back_is_told_once_with_its_verdict_and_link(sandbox: RunningSandbox) -> None:
    train = sandbox.train("payments")
    train.settle()
    run_id = train.trigger({"service-c": "1.2.0-crash"})
    state, tasks = train.wait(run_id)
    assert state == "failed", tasks

    sandbox.until(_told(sandbox, run_id, "failed"), 60, "the notice of the failed train")
    (notice,) = _notices(sandbox, run_id)
    assert (notice["train"], notice["dag_id"]) == ("payments", "promotion_train__payments")
    assert "service-c" in notice["text"]
    assert notice["link"] == f"{sandbox.env['AIRFLOW_URL']}/dags/promotion_train__payments/runs/{run_id}"


def test_a_plan_that_waits_for_approval_is_told_with_the_page_to_decide_on(sandbox: RunningSandbox) -> None:
    train = sandbox.train("guarded")
    train.settle()
    (service,) = train.services[:1]
    run_id = train.trigger({service: other(train.images()[service])})
    sandbox.until(_told(sandbox, run_id, "approval"), 120, "the notice of the waiting approval")
    assert train.run_state(run_id) == "running"
    (notice,) = _notices(sandbox, run_id)
    assert "approve plan" in notice["text"]
    assert "{{" not in notice["text"]
    assert notice["link"].endswith(f"/runs/{run_id}/tasks/approve/required_actions")
    train.mark_failed(run_id)
    train.wait(run_id)


def test_a_train_that_waits_for_its_lock_is_told_and_on_whom_it_waits(sandbox: RunningSandbox) -> None:
    train = sandbox.train("payments")
    train.settle()
    holder = train.trigger({"service-a": "1.2.0-very-slow"})
    sandbox.until(lambda: bool(sandbox.holders()), 120, "the first train to hold its lock")
    waiter = train.trigger({"service-a": other(train.images()["service-a"])})

    # The sandbox's setting lock_notice_minutes is 1.
    sandbox.until(_told(sandbox, waiter, "lock"), 240, "the notice of the waiting train")
    notice = _notices(sandbox, waiter)[0]
    assert notice["train"] == "payments"
    assert holder in notice["text"]
    assert notice["link"].endswith(f"/runs/{waiter}/tasks/lock")
    for run_id in (waiter, holder):
        train.mark_failed(run_id)
    for run_id in (waiter, holder):
        train.wait(run_id)
