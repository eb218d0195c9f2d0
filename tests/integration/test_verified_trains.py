"""What an auditor learns of a train from the bucket alone: who started it, the plan, each step, the outcome.

The runs are those of the tests before, or two of its own where there are none.
"""

from __future__ import annotations

import base64
import html
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from journals import service_journals
from running_sandbox import RunningSandbox
from train_runs import ENDED, TrainRuns

from interlock.trains.entries import run_hash
from sandbox.evidence_demo import Auditor
from sandbox.state import State

pytestmark = pytest.mark.sandbox
SERVICES = ("service-a", "service-b", "service-c")


@dataclass(frozen=True)
class Exported:
    """A run as its archive has it.

    Attributes:
        run_id: the run.
        report: what `interlock-verify archive --json` says of it.
        said: the statements' predicates by type, in the log's order.
        page: the archive's page, as text.
        folder: the archive.
    """

    run_id: str
    report: dict[str, Any]
    said: dict[str, list[dict[str, Any]]]
    page: str
    folder: Path

    def of(self, kind: str, service: str) -> list[dict[str, Any]]:
        """The statements of a type about a service."""
        return [one for one in self.said[kind] if one["service"] == service]


@pytest.fixture(scope="module")
def auditor(sandbox: RunningSandbox, tmp_path_factory: pytest.TempPathFactory) -> Auditor:
    found = replace(Auditor.of(State(sandbox.root)), folder=tmp_path_factory.mktemp("auditor") / "desk")
    found.prepare()
    return found


@pytest.fixture(scope="module")
def payments(sandbox: RunningSandbox) -> TrainRuns:
    return sandbox.train("payments")


def _ended(payments: TrainRuns, state: str, tasks: dict[str, str]) -> str | None:
    """The latest run that moved all services and ended like this."""
    path = f"/api/v2/dags/{payments.dag_id}/dagRuns?state={state}&order_by=-run_after&limit=50"
    for run in payments.sandbox.send("GET", path)["dag_runs"]:
        found = payments.task_states(run["dag_run_id"])
        if any(found.get(task) != wanted for task, wanted in tasks.items()):
            continue
        journals = service_journals(payments, run["dag_run_id"])
        if all(journals.get(service, {}).get("mutations") for service in SERVICES):
            return str(run["dag_run_id"])
    return None


def _run(payments: TrainRuns, state: str, tasks: dict[str, str], **more: str) -> str:
    if (found := _ended(payments, state, tasks)) is None:
        payments.settle()
        conf = {**{name: payments.new_releases()[name] for name in SERVICES}, **more}
        found = payments.trigger(conf)
        assert payments.wait(found)[0] == state
    assert payments.run_state(found) in ENDED
    return found


def _export(auditor: Auditor, dag_id: str, run_id: str) -> Exported:
    name = f"run-{run_id}"
    done = auditor.run("export", auditor.bucket, "--run", f"{dag_id}/{run_id}", "--to", name)
    assert done.returncode == 0, done.stderr
    verified = auditor.run("archive", name, "--json", offline=True)
    report = json.loads(verified.stdout)
    assert verified.returncode == 0, report
    said: dict[str, list[dict[str, Any]]] = {}
    for receipt in sorted((auditor.folder / name / "receipts").glob("*/*")):
        for line in receipt.read_text().splitlines():
            if line.startswith("extra "):
                envelope = json.loads(base64.b64decode(line.removeprefix("extra ")))
                statement = json.loads(base64.b64decode(envelope["payload"]))
                kind = statement["predicateType"].split("/")[-2]
                said.setdefault(kind, []).append(statement["predicate"])
    folder = auditor.folder / name
    page = html.unescape((folder / "index.html").read_text())
    return Exported(run_id, report, said, page, folder)


@pytest.fixture(scope="module")
def arrived(auditor: Auditor, payments: TrainRuns) -> Exported:
    tasks = {f"{service}.verify": "success" for service in SERVICES}
    return _export(auditor, payments.dag_id, _run(payments, "success", tasks))


@pytest.fixture(scope="module")
def back(auditor: Auditor, payments: TrainRuns) -> Exported:
    tasks = {"service-c.promote": "failed", **{f"rollback.{service}": "success" for service in SERVICES}}
    run_id = _run(payments, "failed", tasks, **{"service-c": "1.2.0-crash"})
    return _export(auditor, payments.dag_id, run_id)


@pytest.fixture(params=["arrived", "back"])
def exported(request: pytest.FixtureRequest) -> Exported:
    found: Exported = request.getfixturevalue(request.param)
    return found


def test_the_bucket_as_a_whole_is_verified(auditor: Auditor, arrived: Exported, back: Exported) -> None:
    done = auditor.run("bucket", auditor.bucket, "--json")
    report = json.loads(done.stdout)
    assert done.returncode == 0, report["findings"]
    assert report["verdict"] == "verified"
    assert report["counts"]["runs sealed"] >= len({arrived.run_id, back.run_id})


def test_the_archive_of_a_run_is_verified_offline_with_all_that_its_seal_lists(exported: Exported) -> None:
    assert exported.report["verdict"] == "verified"
    assert exported.report["counts"]["runs sealed"] == 1
    [seal] = exported.said["seal"]
    entries = sum(map(len, exported.said.values()))
    assert seal["complete"] is True
    assert len(seal["statements"]) == entries - 1 == exported.report["counts"]["entries"] - 1


def test_it_says_who_started_the_run_and_with_which_plan(
    exported: Exported, sandbox: RunningSandbox, payments: TrainRuns
) -> None:
    [plan], [seal] = exported.said["plan"], exported.said["seal"]
    assert plan["run"]["hash"] == run_hash(payments.dag_id, exported.run_id)
    assert plan["triggered_by"] == seal["triggered_by"] == sandbox.env["AIRFLOW_USER"]
    assert plan["plan_hash"] == seal["plan_hash"]
    assert {one["plan_hash"] for one in exported.said["promote"]} == {plan["plan_hash"]}
    blob = json.loads((exported.folder / "objects" / plan["evidence"]["uri"]).read_text())
    assert (blob["hash"], {one["service"] for one in blob["changes"]}) == (plan["plan_hash"], set(SERVICES))
    for text in (f"started by: {plan['triggered_by']}", f"plan: {plan['plan_hash']}"):
        assert text in exported.page


def test_it_says_of_each_step_what_was_before_and_after(exported: Exported) -> None:
    for service in SERVICES:
        step = next(one for one in exported.of("promote", service) if one["outcome"] == "written")
        assert step["before_hash"] != step["after_hash"]
        image = next(one for one in step["writes"] if one["path"].endswith(".image"))
        assert image["before"] != image["after"]
        for text in (
            f"before: {step['before_hash']}",
            f"after: {step['after_hash']}",
            f"{image['before']} → {image['after']}",
        ):
            assert text in exported.page


def test_a_rollback_ends_in_the_state_in_which_the_promotion_began(back: Exported) -> None:
    for service in SERVICES:
        step = next(one for one in back.of("promote", service) if one["outcome"] == "written")
        [rollback] = back.of("rollback", service)
        assert (rollback["before_hash"], rollback["after_hash"]) == (step["after_hash"], step["before_hash"])
        blob = json.loads((back.folder / "objects" / rollback["evidence"]["uri"]).read_text())
        values = {(one["path"], one.get("before"), one.get("after")) for one in blob["restored"]}
        assert values == {(one["path"], one.get("after"), one.get("before")) for one in step["writes"]}


@pytest.mark.parametrize(
    ("name", "outcome", "verdict"), [("arrived", "all-new", "new"), ("back", "all-old", "old")]
)
def test_it_says_how_the_run_ended(
    request: pytest.FixtureRequest, name: str, outcome: str, verdict: str
) -> None:
    exported: Exported = request.getfixturevalue(name)
    [seal] = exported.said["seal"]
    assert seal["outcome"] == outcome
    assert {one["service"]: one["verdict"] for one in seal["services"]} == dict.fromkeys(SERVICES, verdict)
    assert f"outcome: {outcome}" in exported.page
    for service in SERVICES:
        assert f"{service}: {verdict}" in exported.page
