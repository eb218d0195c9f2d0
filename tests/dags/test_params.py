"""The trigger form of the trains: what it shows, and what it leaves to the task `plan` to say."""

from __future__ import annotations

import runpy
from copy import deepcopy
from pathlib import Path

import pytest
from airflow.sdk import DAG, Param

FILE = Path(__file__).resolve().parents[2] / "dags" / "promotion_trains.py"


@pytest.fixture(scope="module")
def forms() -> dict[str, dict[str, Param]]:
    dags = [made for made in runpy.run_path(str(FILE)).values() if isinstance(made, DAG)]
    assert dags
    return {dag.dag_id: {name: dag.params.get_param(name) for name in dag.params} for dag in dags}


def test_each_param_has_a_title_and_a_help_text(forms: dict[str, dict[str, Param]]) -> None:
    bare = [
        (dag_id, name)
        for dag_id, params in forms.items()
        for name, param in params.items()
        if not param.schema.get("title") or not param.description
    ]
    assert bare == []


def test_no_param_is_in_a_section_that_the_form_folds(forms: dict[str, dict[str, Param]]) -> None:
    # Airflow 3.3.2 opens "Run Parameters" alone, which has the params without a section.
    sections = {param.schema.get("section") for params in forms.values() for param in params.values()}
    assert sections == {None}


@pytest.mark.parametrize("release", ["1 0", "a b:c", "@", "registry.internal/service-a:"])
def test_a_release_of_any_form_comes_to_plan(forms: dict[str, dict[str, Param]], release: str) -> None:
    param = deepcopy(forms["promotion_train__payments"]["service-a"])
    assert param.resolve(release) == release
