"""What a run says of itself: of which run it is the undo, and why it has no plan."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from airflow.sdk.exceptions import AirflowFailException
from jinja2 import StrictUndefined, Template
from memory_cluster import MemoryCluster
from moved_train import NOW, deployment, planned
from train_in_memory import TrainInMemory

from interlock.operators.train import ApproveOperator, PlanOperator, UndoPlanOperator
from interlock.operators.train_end import CloseOperator
from interlock.operators.train_evidence import undo_of
from interlock.runs.run import PLAN_KEY, VERDICT_KEY, WHY_KEY
from interlock.trains.entries import Head
from interlock.trains.plan import Plan


@pytest.fixture
def train(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> TrainInMemory:
    made = TrainInMemory(MemoryCluster(deployment("a"), deployment("b")), monkeypatch, tmp_path)
    made.context |= {
        "dag_run": SimpleNamespace(conf={}, clear_number=0),
        "params": {"environment": "sandbox"},
    }
    return made


def _end(train: TrainInMemory) -> str:
    """What `close` says, which has to fail."""
    for key in (PLAN_KEY, WHY_KEY):
        if key in train.ti.pushed:
            train.ti.xcoms["plan", key] = train.ti.pushed[key]
    train.ti.states["plan"] = "failed"
    with pytest.raises(AirflowFailException) as failed:
        CloseOperator(task_id="close", train="payments").execute(train.context)
    assert train.ti.pushed[VERDICT_KEY] == str(failed.value)
    return str(failed.value)


def test_close_repeats_in_one_line_why_the_plan_failed(train: TrainInMemory) -> None:
    train.context["params"] |= {"a": "1 0", "x": "1"}
    with pytest.raises(AirflowFailException):
        PlanOperator(task_id="plan", train="payments").execute(train.context)
    said = _end(train)
    assert said.startswith("the run has no plan, so nothing moved: x: unknown, ")
    assert "; a: found '1 0', expected an image" in said
    assert "\n" not in said


def test_close_repeats_why_an_undo_can_not_be_planned(train: TrainInMemory) -> None:
    train.context["params"] |= {"run_id": "nope"}
    with pytest.raises(AirflowFailException):
        UndoPlanOperator(task_id="plan", train="payments", undo=True).execute(train.context)
    assert "there is no journal of a run 'nope'" in _end(train)


def test_who_wants_to_take_an_undo_back_is_told_what_to_do_instead(train: TrainInMemory) -> None:
    head = Head("undo_train__payments", "manual__8", "payments", "sandbox", planned().to_json(), NOW)
    asyncio.run(train.store.open(head))
    train.context["params"] |= {"run_id": "manual__8"}
    with pytest.raises(AirflowFailException, match=r"itself an undo.*trigger promotion_train__payments"):
        UndoPlanOperator(task_id="plan", train="payments", undo=True).execute(train.context)


def test_close_repeats_why_a_plan_that_was_made_failed_all_the_same(train: TrainInMemory) -> None:
    train.plan_is(planned())
    train.ti.pushed[WHY_KEY] = "the store is away"
    assert "task plan: the store is away" in _end(train)


def test_an_undos_verdict_begins_with_the_run_that_it_takes_back(train: TrainInMemory) -> None:
    plan = planned()
    train.plan_is(Plan.of(plan.train, plan.environment, plan.changes, undo_of="manual__7"))
    assert _end(train).startswith("undo of manual__7: all old")


@pytest.mark.parametrize(("run", "named"), [("manual__7", ", undo of manual__7"), ("", "")])
def test_who_approves_reads_what_is_taken_back(run: str, named: str) -> None:
    plan = replace(planned(), undo_of=run).to_json()
    subject = ApproveOperator(task_id="approve", train="payments").subject
    ti = SimpleNamespace(xcom_pull=lambda **_: plan)
    assert (
        Template(subject, undefined=StrictUndefined).render(ti=ti)
        == f"Train payments{named}: approve plan {plan['hash'][:12]}"
    )


def test_an_undos_statements_name_the_run() -> None:
    assert undo_of(replace(planned(), undo_of="manual__7")) == {"undo_of": "manual__7"}
    assert undo_of(planned()) == undo_of(None) == {}
