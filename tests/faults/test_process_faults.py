"""Processes that are killed in the middle of a promotion and in the middle of a rollback.

The runs of a test move one service each, so that they don't wait for each other. A write held inside the API
server keeps a task in the middle of its act until the fault has hit it.
"""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest
from fault_runs import SLOW, VERY_SLOW, FaultRun, bring
from held_writes import HeldWrites, change_of, intent_of, outcome_of
from processes import kill, of_task
from running_sandbox import RunningSandbox
from train_runs import TrainRuns

pytestmark = pytest.mark.sandbox

A, B, C = "shaken-a", "shaken-b", "shaken-c"
NEW = "1.1.0"


@pytest.fixture
def train(sandbox: RunningSandbox) -> TrainRuns:
    return sandbox.train("shaken")


def test_a_worker_that_is_killed_while_it_promotes_takes_the_train_back(
    sandbox: RunningSandbox, held: HeldWrites, train: TrainRuns
) -> None:
    bring(train)
    with (
        held.hold(intent_of(A)) as intent,
        held.hold(change_of(B)) as change,
        held.hold(intent_of(C)) as begun,
    ):
        runs = {service: FaultRun(train, {service: NEW}) for service in (A, B, C)}
        # Before anything is written: all of it dies.
        intent.wait()
        for process in of_task(sandbox, runs[A].task(f"{A}.promote")):
            process.kill()
        # The intent is written: the worker dies, and the process that writes lives on unseen.
        change.wait()
        worker, _ = of_task(sandbox, runs[B].task(f"{B}.promote"))
        worker.kill()
        # The intent is being written: all of it stands still, and comes back when all is over.
        begun.wait()
        still = of_task(sandbox, runs[C].task(f"{C}.promote"))
        for process in still:
            process.suspend()

    for service, run in runs.items():
        state, tasks = run.ended()
        assert state == "failed", tasks
        assert tasks[f"{service}.promote"] == "failed"
        run.assert_back(service, moved=False)
    before = runs[C].writes(C)
    for process in still:
        process.resume()
    _, task = still
    sandbox.until(lambda: not task.is_running(), 60, "the process that came back to end")
    assert runs[C].writes(C) == before
    runs[C].assert_back(C, moved=False)
    assert train.whole()


def test_a_worker_that_is_killed_while_it_rolls_back_is_followed_by_another_try(
    sandbox: RunningSandbox, held: HeldWrites, train: TrainRuns
) -> None:
    bring(train)
    runs = {service: FaultRun(train, {service: VERY_SLOW}) for service in (A, B, C)}
    for service, run in runs.items():
        run.until(f"{service}.promote", "deferred")
    with (
        held.hold(change_of(A)) as before,
        held.hold(change_of(B)) as unseen,
        held.hold(outcome_of(C)) as after,
    ):
        for run in runs.values():
            run.mark("failed")
        for service, hold in ((A, before), (B, unseen), (C, after)):
            hold.wait()
            worker, task = of_task(sandbox, runs[service].task(f"rollback.{service}"))
            worker.kill()
            if hold is not unseen:
                task.kill()

    for service, run in runs.items():
        state, tasks = run.ended()
        assert state == "failed", tasks
        assert tasks[f"rollback.{service}"] == "success"
        assert run.task(f"rollback.{service}")["try_number"] == 2
        run.assert_back(service)
    assert train.whole()


@pytest.mark.parametrize("program", ["airflow-scheduler", "airflow-triggerer", "kube-apiserver"])
def test_a_program_that_is_killed_loses_nothing(
    sandbox: RunningSandbox, held: HeldWrites, train: TrainRuns, program: str
) -> None:
    patient = sandbox.train("patient")  # its services are those of the other train
    patient.settle()
    bring(train, b=SLOW)
    back = FaultRun(patient, {B: NEW})
    back.until(f"{B}.verify", "deferred")
    with held.hold(change_of(C)) as change:
        waits, acts = FaultRun(train, {A: SLOW}), FaultRun(train, {C: NEW})
        back.mark("failed")
        change.wait()
        waits.until(f"{A}.promote", "deferred", "success")
        back.until(f"rollback.{B}", "deferred", "success")
        # One run waits for its rollout, one for its rollback, and one is in the middle of a write.
        kill(sandbox, program)

    for run, service, tag in ((waits, A, SLOW), (acts, C, NEW)):
        state, tasks = run.ended()
        assert state == "success", tasks
        run.assert_arrived(service, tag)
    state, tasks = back.ended()
    assert state == "failed", tasks
    assert tasks[f"rollback.{B}"] == "success"
    back.assert_back(B)
    assert train.whole()


@pytest.mark.parametrize(
    ("killed", "most"),
    [pytest.param(False, 2, id="undisturbed"), pytest.param(True, 60, id="without a triggerer")],
)
def test_the_deadline_ends_a_promotion_that_waits(sandbox: RunningSandbox, killed: bool, most: float) -> None:
    """A killed triggerer's waits go to another one when its heartbeat is 30 s old (Airflow's default)."""
    train = sandbox.train("hurried")
    bring(train)
    run = FaultRun(train, {"hurried-a": VERY_SLOW})
    run.until("hurried-a.promote", "deferred")
    if killed:
        kill(sandbox, "airflow-triggerer")
    state, tasks = run.ended()

    assert state == "failed", tasks
    lines = list(sandbox.task_log(train.dag_id, run.run_id, "hurried-a.promote"))
    (wrote,) = (line for line in lines if "→" in line["event"])
    deadline = datetime.fromisoformat(wrote["timestamp"]) + timedelta(seconds=10)
    failed, *_ = (line for line in lines if "not complete at its deadline" in line["event"])
    late = (datetime.fromisoformat(failed["timestamp"]) - deadline).total_seconds()
    ended = (datetime.fromisoformat(run.task("hurried-a.promote")["end_date"]) - deadline).total_seconds()
    print(f"deadline noticed {late:.2f} s late, the task ended {ended:.2f} s late")
    assert -1 < ended <= most
    run.assert_back("hurried-a")
