"""A person approves a plan, or rejects it, or approves one that has been made again since."""

from __future__ import annotations

import pytest
from evidence_bucket import EvidenceBucket
from running_sandbox import RunningSandbox
from train_runs import NAMESPACE, TrainRuns

pytestmark = pytest.mark.sandbox


@pytest.fixture
def guarded(sandbox: RunningSandbox) -> TrainRuns:
    train = sandbox.train("guarded")
    train.settle()
    return train


def _asked(train: TrainRuns, run_id: str) -> None:
    train.sandbox.until(lambda: train.task_states(run_id)["approve"] == "awaiting_input", 120, "the question")


def _answer(train: TrainRuns, run_id: str, answer: str) -> None:
    path = f"/api/v2/dags/{train.dag_id}/dagRuns/{run_id}/taskInstances/approve/-1/hitlDetails"
    train.sandbox.send("PATCH", path, {"chosen_options": [answer], "params_input": {}})


def test_approving_lets_a_train_go_on_and_rejecting_ends_it_with_nothing_moved(
    sandbox: RunningSandbox, guarded: TrainRuns
) -> None:
    before, generations = guarded.images(), guarded.generations()
    wanted = guarded.new_releases()
    rejected, approved = guarded.trigger(wanted), guarded.trigger(wanted)
    _asked(guarded, rejected)
    _asked(guarded, approved)
    assert guarded.holders() == {}  # an approval may take days

    _answer(guarded, rejected, "Reject")
    state, tasks = guarded.wait(rejected)
    assert state == "failed", tasks
    assert (guarded.images(), guarded.generations()) == (before, generations)
    assert (guarded.holders(), guarded.head_states(rejected)) == ({}, [])

    _answer(guarded, approved, "Approve")
    state, tasks = guarded.wait(approved)
    assert state == "success", tasks
    assert {name: image.rpartition(":")[2] for name, image in guarded.images().items()} == wanted
    assert (guarded.holders(), guarded.head_states(approved)) == ({}, ["closed"])
    bucket = EvidenceBucket(sandbox.env)
    assert bucket.seal(guarded.run_hash(approved))[0]["approved_by"] == [sandbox.env["AIRFLOW_USER"]]
    assert bucket.seal(guarded.run_hash(rejected))[0]["approved_by"] == []


def test_an_approval_is_void_when_the_plan_was_made_again(
    sandbox: RunningSandbox, guarded: TrainRuns
) -> None:
    before = guarded.images()["guarded-a"]
    run_id = guarded.trigger(guarded.new_releases())
    _asked(guarded, run_id)
    by_hand = before.rpartition(":")[0] + ":1.2.0-5xx"
    sandbox.kubectl_run("-n", NAMESPACE, "set", "image", "deployment/guarded-a", f"app={by_hand}")
    body = {"dag_run_id": run_id, "task_ids": ["plan"], "dry_run": False, "only_failed": False}
    tries = guarded.tasks(run_id)["plan"]["try_number"]
    sandbox.send("POST", f"/api/v2/dags/{guarded.dag_id}/clearTaskInstances", body)
    sandbox.until(lambda: _made_again(guarded, run_id, tries), 120, "the plan to be made again")
    _answer(guarded, run_id, "Approve")

    state, tasks = guarded.wait(run_id)
    assert state == "failed", tasks
    assert "was made again since" in guarded.log(run_id, "lock")
    assert guarded.images()["guarded-a"] == by_hand
    assert (guarded.holders(), guarded.head_states(run_id)) == ({}, [])
    sandbox.kubectl_run("-n", NAMESPACE, "set", "image", "deployment/guarded-a", f"app={before}")


def _made_again(train: TrainRuns, run_id: str, tries: int) -> bool:
    plan = train.tasks(run_id)["plan"]
    return plan["try_number"] > tries and plan["state"] == "success"
