"""The daily look at the mesh in a running Airflow: policies, traffic, and a probe that tries the ports."""

from __future__ import annotations

import pytest
from evidence_bucket import EvidenceBucket, kind
from running_sandbox import RunningSandbox
from train_runs import NAMESPACE, TrainRuns

from interlock.trains.entries import run_hash

pytestmark = pytest.mark.sandbox
DAG = "mesh_check"
SERVICES = ("service-a", "service-b", "service-c")


def test_the_services_ports_do_what_is_declared_of_them_and_no_plaintext_was_counted(
    sandbox: RunningSandbox,
) -> None:
    runs = TrainRuns(sandbox, DAG, ())
    runs.settle()
    run_id = runs.trigger({})
    _, tasks = runs.wait(run_id)

    # The tests' own services are in the namespace, without sidecars: what is found is about them alone.
    assert tasks["sandbox.probe"] == "success", runs.log(run_id, "sandbox.probe")
    said = runs.log(run_id, "sandbox.check")
    assert "NOT PASSED" in said
    assert not [line for line in said.splitlines() if any(f"{NAMESPACE}/{one}-" in line for one in SERVICES)]

    statements = EvidenceBucket(sandbox.env).statements(run_hash(DAG, run_id)).values()
    found = {kind(one): one["predicate"] for one in statements}
    assert set(found) == {"mesh-check", "mesh-probe"}
    assert found["mesh-probe"]["verdict"] == "passed"
    assert found["mesh-probe"]["tried"] >= len(SERVICES)
    assert sandbox.kubectl(NAMESPACE, "jobs") == []
