"""Onboarding in the sandbox: the checklist of a run, and a bare service that is given what it lacks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from running_sandbox import RunningSandbox
from small_services import NAMESPACE
from train_runs import TrainRuns

from interlock.onboarding.applying import MANAGER
from interlock.onboarding.items import ITEMS
from interlock.trains.entries import run_hash
from tests.evidence_bucket import EvidenceBucket, kind

pytestmark = pytest.mark.sandbox
DAG = "service_onboarding"
BARE = "onboarding-bare"


def test_a_run_leaves_its_checklist_as_a_page_and_as_evidence(sandbox: RunningSandbox) -> None:
    runs = TrainRuns(sandbox, DAG, ())
    runs.settle()
    run_id = runs.trigger({"service": "service-c"})
    _, tasks = runs.wait(run_id)
    assert {task for task, state in tasks.items() if state != "skipped"} == {"service-c"}
    page = f"{sandbox.env['AIRFLOW_URL']}/interlock/run"
    asked = {"dag_id": DAG, "run_id": run_id}
    assert httpx.get(page, params=asked).status_code == 401
    shown = sandbox._http.get(page, params=asked)
    assert shown.status_code == 200
    assert all(f">{id}<" in shown.text for id in ITEMS)
    [statement] = EvidenceBucket(sandbox.env).statements(run_hash(DAG, run_id)).values()
    assert kind(statement) == "onboarding"
    assert sum(statement["predicate"]["counts"].values()) == len(ITEMS)


def test_a_bare_service_has_its_structure_once_the_printed_manifests_are_applied(
    sandbox: RunningSandbox,
) -> None:
    labels = {"app": BARE}
    container = {"name": "app", "image": "registry.internal/service-c:1.0.0"}
    deployment = {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": BARE},
        "spec": {
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [container | {"ports": [{"containerPort": 8080}]}]},
            },
        },
    }
    sandbox.kubectl_run("-n", NAMESPACE, "create", "-f", "-", given=json.dumps(deployment))
    try:
        before = _command(sandbox)
        assert before.returncode == 1
        lacking = [id for id in ITEMS if id.startswith("structure.") and f"[{id}]" in _missing(before.stdout)]
        assert len(lacking) == 7
        manifests = _command(sandbox, "--manifests")
        assert manifests.returncode == 0, manifests.stderr
        apply = ("apply", "--server-side", "--force-conflicts", f"--field-manager={MANAGER}", "-f", "-")
        sandbox.kubectl_run(*apply, given=manifests.stdout)
        assert "[structure." not in _missing(_command(sandbox).stdout)
        # Applying what is still missing takes back nothing.
        if again := _command(sandbox, "--manifests").stdout:
            sandbox.kubectl_run(*apply, given=again)
        assert "[structure." not in _missing(_command(sandbox).stdout)
    finally:
        kinds = "deployment,service,serviceaccount,poddisruptionbudget"
        for what in (kinds, "peerauthentication,authorizationpolicy,destinationrule"):
            sandbox.kubectl_run("-n", NAMESPACE, "delete", what, BARE, "--ignore-not-found")


def _command(sandbox: RunningSandbox, *more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [
            str(Path(sys.executable).parent / "interlock"),
            "onboarding",
            BARE,
            "--environment",
            "sandbox",
            *more,
        ],
        env={**os.environ, **sandbox.env, "INTERLOCK_INCLUDE": str(sandbox.root / "include")},
        capture_output=True,
        text=True,
        timeout=120,
    )


def _missing(text: str) -> str:
    """The lines of items that aren't done."""
    return "\n".join(
        line for line in text.splitlines() if line.strip().startswith(("MISSING", "NOT-CHECKED"))
    )
