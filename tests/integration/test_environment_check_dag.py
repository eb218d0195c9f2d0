"""The environment check in a running Airflow: it passes on the sandbox, and is recorded and told."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from running_sandbox import RunningSandbox
from train_runs import TrainRuns

from interlock.trains.entries import run_hash
from tests.evidence_bucket import EvidenceBucket, kind

pytestmark = pytest.mark.sandbox
DAG = "environment_check"
TASKS = ("github", "vault", "tools", "store", "report")


def test_the_sandbox_is_in_order_and_the_page_is_evidence(sandbox: RunningSandbox) -> None:
    runs = TrainRuns(sandbox, DAG, ())
    runs.settle()
    run_id = runs.trigger({"environment": "sandbox"})
    state, tasks = runs.wait(run_id)
    assert state == "success", [runs.log(run_id, f"sandbox.{task}") for task in TASKS]
    assert tasks == {f"sandbox.{task}": "success" for task in TASKS} | {
        f"{other}.{task}": "skipped" for other in ("unmeshed", "spooling") for task in TASKS
    }
    page = runs.log(run_id, "sandbox.report")
    for row in (
        "# Environment check: sandbox",
        "| ok | `vault.rights-excessive` |",
        "| ok | `vault.audit` | audit devices |",
        "| ok | `store.collection` | evidence |",
        "| NOT CHECKED (note) | `github.account` |",
    ):
        assert row in page
    [statement] = EvidenceBucket(sandbox.env).statements(run_hash(DAG, run_id)).values()
    assert kind(statement) == "environment-check"
    said = statement["predicate"]
    assert (said["verdict"], said["collection"], said["blocking"]) == ("passed", "worm", [])
    events = sandbox.send("GET", f"/api/v2/assets/events?source_run_id={run_id}")["asset_events"]
    assert [event["extra"]["verdict"] for event in events] == ["passed"]


def test_the_command_finds_the_same_and_does_not_pass_what_it_cannot_see(sandbox: RunningSandbox) -> None:
    command = [str(Path(sys.executable).parent / "interlock"), "environment"]
    environment = {**os.environ, **sandbox.env, "INTERLOCK_INCLUDE": str(sandbox.root / "include")}
    for more, status in (((), 0), (("--pull-request", "owner/name#1"), 1)):
        done = subprocess.run([*command, *more], env=environment, capture_output=True, text=True, timeout=120)
        assert done.returncode == status, done.stdout + done.stderr
        assert "| ok | `vault.audit` | audit devices |" in done.stdout
        assert sandbox.env["VAULT_TOKEN"] not in done.stdout
    assert "| NOT CHECKED (error) | `github.account` |" in done.stdout
