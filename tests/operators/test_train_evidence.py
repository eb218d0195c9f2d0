"""What a train's tasks say for the record: nothing that is wrong with evidence breaks a train under way."""

from __future__ import annotations

import json
import logging
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import BaseHook, Connection
from airflow.sdk.exceptions import AirflowException
from moved_train import DAG, RUN, SANDBOX, planned

from interlock.clients.spool import Spool
from interlock.operators.evidence import Said
from interlock.operators.train_evidence import preflight_fields, tell, tell_end
from interlock.runs.run import Run
from interlock.trains.model import Service, Train
from interlock.trains.outcome import ServiceOutcome, verdict
from interlock.trains.plan import Plan

log = logging.getLogger("task")

pytestmark = pytest.mark.usefixtures("spool")


class Ti:
    """A task instance with what other tasks pushed, by task id and key."""

    dag_id, run_id, try_number = DAG, RUN, 1

    def __init__(self, pushed: dict[tuple[str, str], Any] | None = None, **states: str | None) -> None:
        self.pushed = pushed or {}
        self.states = states
        self.said: dict[str, Any] = {}

    def xcom_pull(self, task_ids: str, key: str = "return_value", map_indexes: int = -1) -> Any:
        return self.pushed.get((task_ids, key))

    def xcom_push(self, key: str, value: Any) -> None:
        self.said[key] = value

    def get_task_states(self, dag_id: str, run_ids: list[str]) -> dict[str, dict[str, str | None]]:
        return {RUN: self.states}


def _away(monkeypatch: pytest.MonkeyPatch) -> None:
    def get(conn_id: str) -> Connection:
        raise RuntimeError("no metadata database")

    monkeypatch.setattr(BaseHook, "get_connection", staticmethod(get))


def _no_spool(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__INTERLOCK__SPOOL", "/proc/no/spool")


def _service(name: str) -> Service:
    minute = timedelta(minutes=1)
    return Service(name, name, "Deployment", name, "app", (), deadline=minute, soak=minute)


TRAIN = Train("payments", "", False, ("sandbox",), (_service("a"), _service("b")))


def context_of(ti: Ti) -> dict[str, Any]:
    return {"ti": ti, "dag_run": SimpleNamespace(dag_id=DAG, run_id=RUN, run_type="manual")}


def run_of(plan: Plan) -> Run:
    return Run(TRAIN, SANDBOX, DAG, RUN, 1, plan)


def statements(spool: Path) -> list[tuple[str, dict[str, Any]]]:
    """What waits: each statement's type and what it says."""
    found = [json.loads(waiting.payload) for waiting in Spool(spool).statements()]
    return [(said["predicateType"].split("/")[-2], said["predicate"]) for said in found]


NOTHING_FAILED = verdict([ServiceOutcome("a", "new"), ServiceOutcome("b", "new")])
MISTAKES = {
    "no connection can be read": (_away, "no metadata database"),
    "a spool that can't be written": (_no_spool, "/proc/no/spool"),
}


@pytest.mark.parametrize(("break_it", "said"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_of_the_evidence_side_is_logged_and_the_train_goes_on(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, break_it: Any, said: str
) -> None:
    break_it(monkeypatch)
    ti = Ti({("a.preflight", "preflight"): {"at": "2026-03-01T12:00:00Z"}}, **{"a.preflight": "success"})
    run = run_of(planned())

    tell(context_of(ti), run, Said("rollback", {"service": "a"}), log=log)
    tell_end(context_of(ti), run, planned(), NOTHING_FAILED, log=log)

    errors = [
        record.getMessage()
        for record in caplog.records
        if (record.name, record.levelname) == ("task", "ERROR")
    ]
    assert [error.partition(":")[0] for error in errors] == [
        "this step is without evidence",
        "this step is without evidence",
        "the run is not sealed",
    ]
    assert all(said in error for error in errors)


@pytest.mark.parametrize(("break_it", "said"), MISTAKES.values(), ids=MISTAKES)
def test_where_evidence_is_required_to_start_a_mistake_keeps_the_train(
    monkeypatch: pytest.MonkeyPatch, break_it: Any, said: str
) -> None:
    break_it(monkeypatch)
    with pytest.raises(AirflowException, match=f"does not start: .*{said}"):
        tell(context_of(Ti()), run_of(planned()), Said("plan", {}), log=log, require=True)


def test_a_wrong_setting_of_the_watchdog_keeps_no_train_from_its_evidence(
    monkeypatch: pytest.MonkeyPatch, spool: Path
) -> None:
    monkeypatch.setenv("AIRFLOW__INTERLOCK__JOURNAL_DAYS", "a month")
    tell(context_of(Ti()), run_of(planned()), Said("rollback", {"service": "a"}), log=log)
    assert [kind for kind, _ in statements(spool)] == ["rollback"]


def test_what_a_connection_lacks_makes_statements_wait(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, spool: Path
) -> None:
    found = Connection(conn_id="store", conn_type="aws")
    monkeypatch.setattr(BaseHook, "get_connection", staticmethod(lambda conn_id: found))
    tell(context_of(Ti()), run_of(planned()), Said("rollback", {"service": "a"}), log=log)
    assert [kind for kind, _ in statements(spool)] == ["rollback"]
    assert "it names no host" in caplog.text
    assert "bucket_name" in caplog.text


LOOKED = {"at": "2026-03-01T12:00:00+00:00", "try_number": 2}
ROLLED_OUT = {"ready_at": "2026-03-01T12:00:10+00:00", "generation": 3, "reason": "complete"}
HELD = {"held": 60.0, "ready_at": ROLLED_OUT["ready_at"], "try_number": 2}
FAILED = {"failed": "it crashed", "try_number": 2}
RECORDS = {
    "all ended well": (
        {"a.preflight": LOOKED, "a.promote": ROLLED_OUT, "a.verify": HELD},
        {"a.preflight": "success", "a.promote": "success", "a.verify": "success"},
        [("promote", "complete"), ("verify", True)],
    ),
    "a preflight that refused": (
        {"a.preflight": {**LOOKED, **FAILED}},
        {"a.preflight": "failed", "a.promote": "upstream_failed"},
        [("preflight", False)],
    ),
    "a soak that broke": (
        {"a.promote": ROLLED_OUT, "a.verify": {**FAILED, "ready_at": ROLLED_OUT["ready_at"]}},
        {"a.promote": "success", "a.verify": "failed"},
        [("promote", "complete"), ("verify", False)],
    ),
    "cleared, and not come to its turn again": (
        {"a.preflight": LOOKED, "a.promote": ROLLED_OUT, "a.verify": HELD},
        {"a.preflight": "failed", "a.promote": "upstream_failed", "a.verify": "upstream_failed"},
        [],
    ),
    "cleared, and skipped": (
        {"a.preflight": LOOKED, "a.promote": ROLLED_OUT, "a.verify": HELD},
        {"a.preflight": "skipped", "a.promote": None, "a.verify": "skipped"},
        [],
    ),
    "cleared, and ended by its time limit": (
        {"a.promote": ROLLED_OUT, "a.verify": {"try_number": 3}},
        {"a.promote": "success", "a.verify": "failed"},
        [("promote", "complete")],
    ),
    "marked as failed after it had held": (
        {"a.promote": ROLLED_OUT, "a.verify": HELD},
        {"a.promote": "success", "a.verify": "failed"},
        [("promote", "complete")],
    ),
    "marked as success after it had failed": (
        {"a.promote": {"failed": "it crashed", "failed_at": "then"}, "a.verify": FAILED},
        {"a.promote": "success", "a.verify": "success"},
        [],
    ),
    "a soak of an earlier rollout": (
        {"a.promote": {**ROLLED_OUT, "ready_at": "later"}, "a.verify": HELD},
        {"a.promote": "success", "a.verify": "success"},
        [("promote", "complete")],
    ),
}
KEYS = {"a.preflight": "preflight", "a.promote": "rollout", "a.verify": "soak"}


@pytest.mark.parametrize(("left", "states", "told"), RECORDS.values(), ids=RECORDS)
def test_what_the_triggerer_left_is_told_only_of_the_try_that_ended_the_task(
    spool: Path, left: dict[str, Any], states: dict[str, str | None], told: list[tuple[str, object]]
) -> None:
    ti = Ti({(task, KEYS[task]): found for task, found in left.items()}, **states)
    tell_end(context_of(ti), run_of(planned()), planned(), NOTHING_FAILED, log=log)

    found = [(kind, said) for kind, said in statements(spool) if kind != "seal"]
    assert [(kind, said.get("passed", said.get("outcome"))) for kind, said in found] == told
    # A statement is about the try that left the record, not about that of `close`.
    assert all(said["try_number"] == 2 for kind, said in found if kind != "promote")


def test_a_preflight_that_left_no_record_has_not_passed() -> None:
    assert preflight_fields({"at": "then"})["passed"] is True
    found = preflight_fields({"try_number": 2})
    assert found["passed"] is False
    assert "left no record" in str(found["reason"])


def test_each_statement_of_an_undo_names_the_run_that_is_taken_back(spool: Path) -> None:
    plan = Plan.of("payments", "sandbox", planned().changes, undo_of="manual__7")
    ti = Ti()
    tell(context_of(ti), run_of(plan), Said("rollback", {"service": "a"}), log=log)
    tell_end(context_of(ti), run_of(plan), plan, NOTHING_FAILED, log=log)
    assert [(kind, said["undo_of"]) for kind, said in statements(spool)] == [
        ("rollback", "manual__7"),
        ("seal", "manual__7"),
    ]
