"""Releases that are more than an image, and a train of which only a part goes back, in a real sandbox."""

from __future__ import annotations

from typing import Any

import pytest
from running_sandbox import RunningSandbox
from train_runs import TrainRuns

pytestmark = pytest.mark.sandbox

A, B = "furnished-a", "furnished-b"


@pytest.fixture
def furnished(sandbox: RunningSandbox) -> TrainRuns:
    train = sandbox.train("furnished")
    train.settle()
    return train


def _limits(train: TrainRuns) -> dict[str, Any] | None:
    found = train.sandbox.kubectl("payments", "configmaps")
    return next((item for item in found if item["metadata"]["name"] == f"{A}-limits"), None)


def test_what_goes_with_a_release_is_created_with_it_and_goes_back_with_it(furnished: TrainRuns) -> None:
    before = furnished.images()
    assert _limits(furnished) is None
    wanted = furnished.new_releases()

    run_id = furnished.trigger({**wanted, B: "1.2.0-crash"})
    state, tasks = furnished.wait(run_id)
    assert state == "failed", tasks
    assert f"ConfigMap/{A}-limits is created" in furnished.log(run_id, "plan")
    assert f"ConfigMap/{A}-limits, which this run created, is deleted" in furnished.log(
        run_id, f"rollback.{A}"
    )
    assert furnished.images() == before
    assert _limits(furnished) is None
    assert furnished.log(run_id, "close").count("all old") >= 1

    run_id = furnished.trigger(wanted)
    state, tasks = furnished.wait(run_id)
    assert state == "success", tasks
    limits = _limits(furnished)
    assert limits is not None
    assert limits["data"] == {"MAX_ATTEMPTS": "3"}
    assert furnished.holders() == {}


def test_with_the_scope_service_what_was_verified_stays_and_the_run_says_so(
    furnished: TrainRuns, sandbox: RunningSandbox
) -> None:
    before, wanted = furnished.images(), furnished.new_releases()
    run_id = furnished.trigger({A: wanted[A], B: "1.2.0-crash", "rollback": "service"})
    state, tasks = furnished.wait(run_id)
    assert state == "failed", tasks
    assert (tasks[f"rollback.{A}"], tasks[f"rollback.{B}"]) == ("skipped", "success")
    assert furnished.images() == {A: f"registry.internal/service-a:{wanted[A]}", B: before[B]}
    assert furnished.whole()
    assert furnished.holders() == {}
    assert furnished.head_states(run_id) == ["closed"]
    said = furnished.log(run_id, "close")
    assert f"not whole: {A} is kept: it is verified" in said
    assert f"{run_id}" in sandbox.interlock("status")
