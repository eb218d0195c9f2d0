"""The onboarding operator, with a checklist that tests make."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowSkipException

from interlock.environment.check import Unseen
from interlock.evidence.predicates import predicate
from interlock.hooks.onboarding import OnboardingHook
from interlock.onboarding.checklist import Checklist
from interlock.operators import evidence
from interlock.operators.onboarding import ChecklistLink, OnboardingOperator
from interlock.trains.model import TrainFileError
from tests.onboarding.onboarded_service import facts, remove


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    found = SimpleNamespace(made=Checklist.of(facts(), "sandbox"), recorded=[], pushed={}, asked=[])

    def checklist(hook: OnboardingHook) -> Checklist:
        found.asked.append((hook.service, hook.environment))
        if isinstance(found.made, Exception):
            raise found.made
        made: Checklist = found.made
        return made

    monkeypatch.setattr(OnboardingHook, "checklist", checklist)
    monkeypatch.setattr(evidence, "record", lambda context, said, **more: found.recorded.extend(said))

    def push(key: str, value: Any) -> None:
        found.pushed[key] = json.loads(json.dumps(value))

    found.context = {"ti": SimpleNamespace(xcom_push=push)}
    return found


def execute(world: SimpleNamespace, **more: Any) -> Any:
    return OnboardingOperator(task_id="x", service="service-c", **more).execute(world.context)


def test_a_ready_service_passes_is_recorded_and_shown(world: SimpleNamespace) -> None:
    assert execute(world, environment="sandbox")["verdict"] == "ready"
    assert world.asked == [("service-c", "sandbox")]
    (said,) = world.recorded
    assert said.predicate_type == "onboarding"
    assert world.pushed["checklist"]["ready"] is True


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"change": lambda raws: remove(raws, "PodDisruptionBudget")}, AirflowFailException),
        ({"alerts": Unseen("403")}, AirflowException),
    ],
)
def test_one_that_is_not_ready_fails_and_is_recorded_and_shown_all_the_same(
    world: SimpleNamespace, changes: dict[str, Any], error: type[Exception]
) -> None:
    world.made = Checklist.of(facts(**changes), "sandbox")
    with pytest.raises(AirflowException, match="NOT READY for promotion") as failed:
        execute(world)
    # What could not be seen is tried again.
    assert type(failed.value) is error
    assert world.recorded[0].fields["verdict"] == "not-ready"
    assert world.pushed["checklist"]["ready"] is False


def test_a_service_that_the_form_does_not_name_is_skipped(world: SimpleNamespace) -> None:
    with pytest.raises(AirflowSkipException):
        execute(world, only="service-a")
    assert world.asked == []


def test_a_wrong_file_fails_the_task_for_good(world: SimpleNamespace) -> None:
    world.made = TrainFileError([])
    with pytest.raises(AirflowFailException):
        execute(world)


def test_the_statement_carries_all_that_the_checklist_says(world: SimpleNamespace) -> None:
    execute(world)
    kind = predicate("onboarding")
    (said,) = world.recorded
    assert set(said.fields) <= set(kind.fields)
    assert set(said.evidence["items"][0]) == set(kind.evidence["items"] or {})


def test_the_tasks_link_leads_to_its_own_page(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__API__BASE_URL", "https://airflow.example.com/x/")
    key: Any = SimpleNamespace(dag_id="d", run_id="manual__2026-11-30T06:00:00+00:00", task_id="service-c")
    assert ChecklistLink().get_link(OnboardingOperator(task_id="x", service="y"), ti_key=key) == (
        "https://airflow.example.com/x/interlock/run?dag_id=d"
        "&run_id=manual__2026-11-30T06%3A00%3A00%2B00%3A00&task_id=service-c"
    )
