"""The doctor, on the sandbox that is set up through the files of include/deploy: all is there."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from running_sandbox import RunningSandbox
from train_runs import TrainRuns

pytestmark = pytest.mark.sandbox


def test_the_dag_has_a_task_for_each_environment_and_finds_nothing_missing(sandbox: RunningSandbox) -> None:
    runs = TrainRuns(sandbox, "doctor", ())
    runs.settle()
    run_id = runs.trigger({})
    state, tasks = runs.wait(run_id)
    assert state == "success", [runs.log(run_id, task) for task in tasks]
    assert set(tasks) == {"sandbox", "unmeshed", "spooling"}
    lines = runs.log(run_id, "sandbox")
    for tried in ("write of a Secret in interlock: made and removed", "and verified", "is fit for evidence"):
        assert tried in lines
    assert "failed" not in lines


def test_the_command_finds_the_same(sandbox: RunningSandbox) -> None:
    command = Path(sys.executable).parent / "interlock"
    environment = {**os.environ, **sandbox.env, "INTERLOCK_INCLUDE": str(sandbox.root / "include")}
    done = subprocess.run([command, "doctor"], env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1].startswith("all ")
    assert "patched in a dry run" in done.stdout
    assert sandbox.kubectl("interlock", "secrets", "--field-selector=type=interlock.internal/doctor") == []
