"""A mesh that isn't secured: before a train it refuses it, and in its midst it takes the train back."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from fault_runs import FaultRun
from running_sandbox import RunningSandbox
from train_runs import NAMESPACE, TrainRuns

pytestmark = pytest.mark.sandbox

DEPLOY = Path(__file__).resolve().parents[2] / "include" / "deploy" / "istio" / "mesh-gate.yaml"
LAX = {
    "apiVersion": "security.istio.io/v1",
    "kind": "PeerAuthentication",
    "metadata": {"name": "lax", "namespace": NAMESPACE},
    "spec": {"mtls": {"mode": "PERMISSIVE"}},
}
LOST = rf"Port 8080 accepts plaintext: .*PeerAuthentication {NAMESPACE}/lax: namespace: PERMISSIVE"
NOTICE_SECONDS = 2.0
"""From the policy's change until the wait says so."""


@pytest.fixture
def payments(sandbox: RunningSandbox) -> TrainRuns:
    train = sandbox.train("payments")
    train.settle()
    return train


@contextlib.contextmanager
def _permissive(sandbox: RunningSandbox) -> Iterator[datetime]:
    """Plaintext is accepted in the services' namespace; since when."""
    sandbox.kubectl_run("apply", "-f", "-", given=json.dumps(LAX))
    try:
        yield datetime.now(UTC)
    finally:
        sandbox.kubectl_run("delete", "peerauthentication", "lax", "-n", NAMESPACE)


@contextlib.contextmanager
def _unseen(sandbox: RunningSandbox) -> Iterator[None]:
    """Interlock may not read the policies of the mesh's root namespace."""
    binding = ("rolebinding", "interlock-mesh-gate", "-n", "istio-system")
    sandbox.kubectl_run("delete", *binding)
    try:
        yield
    finally:
        sandbox.kubectl_run("apply", "--server-side", "--force-conflicts", "-f", str(DEPLOY))


def _said(train: TrainRuns, run: FaultRun, task: str) -> str:
    return train.log(run.run_id, task)


def test_a_train_is_refused_with_port_and_rule_while_its_namespace_accepts_plaintext(
    sandbox: RunningSandbox, payments: TrainRuns
) -> None:
    generations = payments.generations()
    with _permissive(sandbox):
        run = FaultRun(payments, payments.new_releases())
        state, tasks = run.ended()
    assert state == "failed"
    assert tasks["plan"] == "failed"
    said = _said(payments, run, "plan")
    for service in payments.services:
        assert re.search(f"{service}: {LOST}", said), said
    assert payments.generations() == generations
    assert all(run.writes(service) == 0 for service in payments.services)


def test_a_train_is_refused_where_the_policies_cannot_be_seen(
    sandbox: RunningSandbox, payments: TrainRuns
) -> None:
    generations = payments.generations()
    with _unseen(sandbox):
        run = FaultRun(payments, payments.new_releases())
        state, tasks = run.ended()
    assert (state, tasks["plan"]) == ("failed", "failed")
    said = _said(payments, run, "plan")
    assert "the mesh could not be looked at" in said, said
    assert "istio-system" in said, said
    assert payments.generations() == generations


def test_a_train_goes_back_at_once_when_strict_is_lost_in_the_middle_of_a_soak(
    sandbox: RunningSandbox, payments: TrainRuns
) -> None:
    run = FaultRun(payments, payments.new_releases())
    task = "service-a.verify"
    sandbox.until(lambda: "must hold until" in _said(payments, run, task), 120, "the soak to begin")
    with _permissive(sandbox) as since:
        state, tasks = run.ended()
    assert (state, tasks[task]) == ("failed", "failed")
    lines = sandbox.task_log(payments.dag_id, run.run_id, task)
    noticed = [line["timestamp"] for line in lines if re.search(LOST, str(line.get("event")))]
    assert noticed, _said(payments, run, task)
    assert (datetime.fromisoformat(noticed[0]) - since).total_seconds() < NOTICE_SECONDS
    run.assert_back("service-a")
    assert run.writes("service-b") == run.writes("service-c") == 0


def test_a_sidecar_that_is_killed_in_a_soak_takes_the_train_back(
    sandbox: RunningSandbox, payments: TrainRuns
) -> None:
    run = FaultRun(payments, payments.new_releases())
    task = "service-a.verify"
    sandbox.until(lambda: "must hold until" in _said(payments, run, task), 120, "the soak to begin")
    (pod,) = [
        item
        for item in sandbox.kubectl(NAMESPACE, "pods", "-l", "app=service-a")
        if not item["metadata"].get("deletionTimestamp")
    ]
    record = sandbox.root / "data" / "node" / "running" / f"{pod['metadata']['uid']}.istio-proxy.json"
    os.kill(json.loads(record.read_text())["pid"], signal.SIGKILL)
    state, tasks = run.ended()
    assert (state, tasks[task]) == ("failed", "failed")
    assert "istio-proxy" in _said(payments, run, task)
    run.assert_back("service-a")
