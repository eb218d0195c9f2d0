"""Runs that are deleted or paused in the middle of a train, and the watchdog that finds them."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest
from fault_runs import SLOW, VERY_SLOW, FaultRun, bring
from running_sandbox import RunningSandbox
from train_runs import TrainRuns

pytestmark = pytest.mark.sandbox

A, B = "shaken-a", "shaken-b"


@pytest.fixture
def train(sandbox: RunningSandbox) -> TrainRuns:
    return sandbox.train("shaken")


@pytest.fixture
def watchdog(sandbox: RunningSandbox) -> TrainRuns:
    return TrainRuns(sandbox, "train_watchdog", ())


def _pause(train: TrainRuns, paused: bool) -> None:
    train.sandbox.send("PATCH", f"/api/v2/dags/{train.dag_id}", {"is_paused": paused})


@pytest.fixture
def pausing(train: TrainRuns) -> Iterator[TrainRuns]:
    yield train
    _pause(train, False)


def _delete(train: TrainRuns, run_id: str) -> None:
    """Delete a run that is under way. Airflow refuses that for a running one, not for a queued one."""
    path = f"/api/v2/dags/{train.dag_id}/dagRuns/{run_id}"
    _pause(train, True)
    train.sandbox.send("PATCH", path, {"state": "queued"})
    train.sandbox.send("DELETE", path)
    _pause(train, False)


def _status(sandbox: RunningSandbox) -> str:
    done = subprocess.run(
        ["interlock", "status"], env=sandbox.env, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_a_run_that_is_deleted_is_taken_back_by_the_watchdog_and_recorded(
    sandbox: RunningSandbox, pausing: TrainRuns, watchdog: TrainRuns
) -> None:
    train = pausing
    bring(train)
    run = FaultRun(train, {A: VERY_SLOW})
    run.until(f"{A}.promote", "deferred")
    _delete(train, run.run_id)
    watch = watchdog.trigger({})
    sandbox.until(lambda: train.head_states(run.run_id) == ["closed"], 180, "the watchdog to end the run")

    watchdog.wait(watch)
    assert train.images() == run.before
    assert run.writes(A) == 2
    run.assert_closed()
    # It may have been the scheduled run of the watchdog that came first.
    logs = sandbox.root / "airflow" / "logs" / f"dag_id={watchdog.dag_id}"
    told = [file.read_text() for file in logs.rglob("*.log") if run.run_id in file.read_text()]
    assert any("the run was deleted with its journal open" in text for text in told)
    assert any("evidence: rollback statement" in text and "in the log" in text for text in told)
    sandbox.until(train.whole, 60, "the services to be whole")


def test_a_train_whose_dag_is_paused_is_reported_until_it_goes_on(
    sandbox: RunningSandbox, pausing: TrainRuns, watchdog: TrainRuns
) -> None:
    train = pausing
    bring(train)
    run = FaultRun(train, {B: SLOW})
    run.until(f"{B}.promote", "deferred")
    _pause(train, True)
    run.until(f"{B}.promote", "success")
    state, tasks = watchdog.wait(watch := watchdog.trigger({}))

    assert state == "failed", tasks
    said = watchdog.log(watch, "watch") + str(list(sandbox.task_log(watchdog.dag_id, watch, "watch")))
    assert f"{run.run_id}: its DAG is paused" in said
    assert "PAUSED since" in _status(sandbox)
    _pause(train, False)
    assert run.ended()[0] == "success"
    run.assert_arrived(B, SLOW)
    assert "PAUSED" not in _status(sandbox)


def test_a_train_goes_back_while_the_file_of_environments_is_broken(
    sandbox: RunningSandbox, train: TrainRuns
) -> None:
    bring(train)
    run = FaultRun(train, {A: VERY_SLOW})
    run.until(f"{A}.promote", "deferred")
    file = sandbox.root / "include" / "environments.yaml"
    right = file.read_text()

    def errors() -> str:
        found = sandbox.send("GET", "/api/v2/importErrors")["import_errors"]
        return "\n".join(error["stack_trace"] for error in found)

    file.write_text("environments: [\n")
    try:
        sandbox.until(lambda: "environments.yaml:2" in errors(), 120, "Airflow to name the file")
        dag = sandbox.send("GET", f"/api/v2/dags/{train.dag_id}")
        assert (dag["is_stale"], dag["has_import_errors"]) == (False, False)
        run.mark_task(f"{A}.promote", "failed")
        assert run.ended()[0] == "failed"
        run.assert_back(A)
    finally:
        file.write_text(right)
    sandbox.until(lambda: not errors(), 120, "the error to go")
