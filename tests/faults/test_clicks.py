"""What people can click while a train is under way: whatever it is, the train arrives or goes back.

The runs of a test move one service each, so that they don't wait for each other.
"""

from __future__ import annotations

import pytest
from fault_runs import SLOW, VERY_SLOW, FaultRun, bring
from held_writes import HeldWrites, change_of
from processes import of_task
from running_sandbox import RunningSandbox
from train_runs import TrainRuns

pytestmark = pytest.mark.sandbox

A, B, C = "shaken-a", "shaken-b", "shaken-c"
NEW = "1.1.0"


@pytest.fixture
def train(sandbox: RunningSandbox) -> TrainRuns:
    return sandbox.train("shaken")


@pytest.fixture
def patient(sandbox: RunningSandbox, train: TrainRuns) -> TrainRuns:
    """The train of the same services that soaks for long; no run of either is under way."""
    patient = sandbox.train("patient")
    patient.settle()
    train.settle()
    return patient


def test_a_task_that_is_marked_failed_takes_the_train_back(train: TrainRuns, patient: TrainRuns) -> None:
    bring(train, c=SLOW)
    promotes = FaultRun(train, {A: VERY_SLOW})
    verifies, back = FaultRun(patient, {B: NEW}), FaultRun(patient, {C: NEW})
    back.until(f"{C}.verify", "deferred")
    back.mark("failed")
    promotes.until(f"{A}.promote", "deferred")
    promotes.mark_task(f"{A}.promote", "failed")
    verifies.until(f"{B}.verify", "deferred")
    verifies.mark_task(f"{B}.verify", "failed")
    back.until(f"rollback.{C}", "deferred")
    back.mark_task(f"rollback.{C}", "failed")

    for run, service in ((promotes, A), (verifies, B), (back, C)):
        state, tasks = run.ended()
        assert state == "failed", tasks
        run.assert_back(service)
    assert promotes.states()[f"rollback.{A}"] == verifies.states()[f"rollback.{B}"] == "success"
    # Nobody waited for it any more, but what it wrote takes effect.
    assert back.states()[f"rollback.{C}"] == "failed"
    train.sandbox.until(train.whole, 60, "the services to be whole")


def test_a_rollback_that_is_ended_before_it_wrote_keeps_its_lock_until_it_is_repeated(
    sandbox: RunningSandbox, held: HeldWrites, train: TrainRuns, patient: TrainRuns
) -> None:
    bring(train)
    run = FaultRun(patient, {A: NEW})
    run.until(f"{A}.verify", "deferred")
    with held.hold(change_of(A)) as change:
        run.mark("failed")
        change.wait()
        _, task = of_task(sandbox, run.task(f"rollback.{A}"))
        run.mark_task(f"rollback.{A}", "failed")
        state, tasks = run.ended()
        sandbox.until(lambda: not task.is_running(), 60, "Airflow to end the task")

    assert state == "failed", tasks
    said = str(list(sandbox.task_log(patient.dag_id, run.run_id, "close")))
    assert f"{A} did not go back, so the journal stays open" in said
    assert patient.head_states(run.run_id) == ["open"]
    assert sandbox.holders()[f"payments.{A}"] == f"{patient.dag_id}/{run.run_id}"

    run.clear(f"rollback.{A}", "close")
    sandbox.until(lambda: patient.head_states(run.run_id) == ["closed"], 120, "the run to close")
    state, tasks = run.ended()
    assert state == "failed", tasks
    assert tasks[f"rollback.{A}"] == "success"
    run.assert_back(A)
    assert train.whole()


def test_a_run_that_is_marked_while_it_moves_does_not_lie(
    sandbox: RunningSandbox, held: HeldWrites, train: TrainRuns, patient: TrainRuns
) -> None:
    bring(train, c=SLOW)
    promotes = FaultRun(train, {A: VERY_SLOW})
    verifies, back = FaultRun(patient, {B: NEW}), FaultRun(patient, {C: NEW})
    back.until(f"{C}.verify", "deferred")
    back.mark("failed")
    promotes.until(f"{A}.promote", "deferred")
    verifies.until(f"{B}.verify", "deferred")
    promotes.mark("success")
    verifies.mark("success")
    back.until(f"rollback.{C}", "deferred")
    back.mark("failed")

    for run, service in ((promotes, A), (verifies, B), (back, C)):
        state, tasks = run.ended()
        assert state == "failed", tasks
        assert tasks[f"rollback.{service}"] == "success"
        run.assert_back(service)
    assert train.whole()


def test_a_verify_that_is_marked_as_success_verifies_nothing(train: TrainRuns, patient: TrainRuns) -> None:
    bring(train)
    run = FaultRun(patient, {A: NEW})
    run.until(f"{A}.verify", "deferred")
    run.mark_task(f"{A}.verify", "success")
    state, tasks = run.ended()

    assert state == "failed", tasks
    run.assert_back(A)
    assert train.whole()


def test_tasks_that_are_cleared_alone_move_nothing_twice(train: TrainRuns, patient: TrainRuns) -> None:
    bring(train)
    arrives, back = FaultRun(train, {B: NEW}), FaultRun(patient, {C: NEW})
    back.until(f"{C}.verify", "deferred")
    back.mark("failed")
    waits = FaultRun(train, {A: SLOW})
    waits.until(f"{A}.promote", "deferred")
    waits.clear(f"{A}.promote")

    state, tasks = waits.ended()
    assert state == "success", tasks
    waits.assert_arrived(A, SLOW)

    assert arrives.ended()[0] == "success"
    arrives.clear(f"{B}.promote")
    arrives.until(f"{B}.promote", "failed")
    arrives.ended()
    arrives.assert_arrived(B, NEW)
    log = list(train.sandbox.task_log(train.dag_id, arrives.run_id, f"{B}.promote"))
    assert "this run has ended, so nothing moves" in str(log)

    assert back.ended()[0] == "failed"
    back.clear(f"{C}.verify")
    back.until(f"{C}.verify", "failed", "upstream_failed")
    state, tasks = back.ended()
    assert state == "failed", tasks
    back.assert_back(C)
    assert train.whole()
