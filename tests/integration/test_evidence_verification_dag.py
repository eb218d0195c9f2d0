"""The nightly verification in a running Airflow: it tells, records, keeps a head, and fails on tampering."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from running_sandbox import RunningSandbox

from interlock.trains.entries import run_hash
from tests.evidence_bucket import EvidenceBucket, kind

pytestmark = pytest.mark.sandbox
DAG = "evidence_verification"
RUNS = f"/api/v2/dags/{DAG}/dagRuns"


def ran(sandbox: RunningSandbox, mode: str) -> tuple[str, str]:
    """Trigger the DAG and wait for its end; the run's state and id."""
    sandbox.until(lambda: sandbox.knows(DAG), 120, f"Airflow to know {DAG}")
    run_id = f"test-{uuid.uuid4().hex[:12]}"
    sandbox.send("POST", RUNS, {"dag_run_id": run_id, "logical_date": None, "conf": {"mode": mode}})

    def state() -> str:
        return str(sandbox.send("GET", f"{RUNS}/{run_id}")["state"])

    sandbox.until(lambda: state() in ("success", "failed"), 180, f"the end of {run_id}")
    return state(), run_id


def log_of(sandbox: RunningSandbox, run_id: str) -> str:
    return "\n".join(json.dumps(line, ensure_ascii=False) for line in sandbox.task_log(DAG, run_id, "verify"))


def recorded(sandbox: RunningSandbox, run_id: str) -> dict[str, Any]:
    """What the run recorded of itself as evidence."""
    [statement] = EvidenceBucket(sandbox.env).statements(run_hash(DAG, run_id)).values()
    assert kind(statement) == "verification"
    said: dict[str, Any] = statement["predicate"]
    return said


@pytest.fixture
def logged(sandbox: RunningSandbox) -> None:
    """There is a log: that of the tests before, or else a plan is kept in it."""
    if not any(True for _ in EvidenceBucket(sandbox.env).objects("log/")):
        payments = sandbox.train("payments")
        payments.settle()
        state, tasks = payments.wait(payments.trigger({**payments.new_releases(), "dry_run": True}))
        assert state == "success", tasks


@pytest.fixture
def marker(sandbox: RunningSandbox) -> Iterator[str]:
    """The bucket's administrator deletes the oldest head: which leaves a delete marker, taken away after."""
    env = sandbox.env
    s3 = boto3.client(
        "s3",
        endpoint_url=env["AWS_ENDPOINT_URL"],
        region_name=env["AWS_DEFAULT_REGION"],
        aws_access_key_id=env["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=env["AWS_SECRET_ACCESS_KEY"],
    )
    bucket = env["INTERLOCK_EVIDENCE_BUCKET"]
    heads = s3.list_objects_v2(Bucket=bucket, Prefix=f"log/{datetime.now(UTC).year}/checkpoints/")
    key = str(heads["Contents"][0]["Key"])
    version = s3.delete_object(Bucket=bucket, Key=key)["VersionId"]
    yield key
    s3.delete_object(Bucket=bucket, Key=key, VersionId=version)
    s3.close()


@pytest.mark.usefixtures("logged")
def test_a_good_log_is_verified_told_recorded_and_its_head_is_kept(sandbox: RunningSandbox) -> None:
    bucket = sandbox.env["INTERLOCK_EVIDENCE_BUCKET"]
    for mode in ("full", "incremental"):
        state, run_id = ran(sandbox, mode)
        assert state == "success", log_of(sandbox, run_id)
        told = sandbox.send("GET", f"{RUNS}/{run_id}/taskInstances/verify/xcomEntries/return_value")["value"]
        told = json.loads(told) if isinstance(told, str) else told
        assert (told["verdict"], told["bad"]) == ("verified", 0)
        assert (told["since"] == 0) is (mode == "full")
        said = recorded(sandbox, run_id)
        assert {name: said[name] for name in ("verdict", "size", "root")} == {
            name: told[name] for name in ("verdict", "size", "root")
        }
        kept = sandbox.send("GET", f"/api/v2/variables/interlock_log_head__{bucket}")["value"]
        assert f"\n{told['size']}\n" in kept
        events = sandbox.send("GET", f"/api/v2/assets/events?source_run_id={run_id}")["asset_events"]
        assert [event["extra"]["checkpoint"] for event in events] == [kept]


@pytest.mark.usefixtures("logged")
def test_an_object_that_was_deleted_fails_the_run_and_is_recorded(
    sandbox: RunningSandbox, marker: str
) -> None:
    state, run_id = ran(sandbox, "full")
    assert state == "failed"
    log = log_of(sandbox, run_id)
    assert "NOT VERIFIED" in log
    assert "delete-marker" in log
    assert marker in log
    # Beside it stand notices of runs whose seal knew that it was not complete.
    codes = recorded(sandbox, run_id)["codes"]
    assert {code: count for code, count in codes.items() if code != "seal-incomplete"} == {"delete-marker": 1}


@pytest.mark.usefixtures("logged")
def test_shipping_keeps_the_head_in_a_variable(sandbox: RunningSandbox) -> None:
    path, run_id = "/api/v2/dags/evidence_shipping/dagRuns", f"test-{uuid.uuid4().hex[:12]}"
    sandbox.send("POST", path, {"dag_run_id": run_id, "logical_date": None})
    sandbox.until(
        lambda: sandbox.send("GET", f"{path}/{run_id}")["state"] in ("success", "failed"), 180, "shipping"
    )
    assert sandbox.send("GET", f"{path}/{run_id}")["state"] == "success"
    kept = sandbox.send("GET", "/api/v2/variables/interlock_evidence_head")["value"]
    newest = dict(EvidenceBucket(sandbox.env).objects(f"log/{datetime.now(UTC).year}/checkpoint"))
    assert kept.encode() in newest.values()
