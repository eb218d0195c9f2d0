"""The page of a run, served by Airflow's own application with a database of its own, in a fresh process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from interlock.environment.check import Unseen
from interlock.onboarding.checklist import Checklist
from tests.onboarding.onboarded_service import facts, remove

CHECKOUT = Path(__file__).resolve().parents[2]
HOSTILE = "<script>alert(1)</script>"
RUN = "manual__2026-11-30T06:00:00+00:00"

_SERVE = """
import json, sys
from datetime import UTC, datetime
from fastapi.testclient import TestClient
from airflow.utils.db import initdb
from airflow.utils.session import create_session
initdb()
from airflow.models.dag import DagModel
from airflow.models.dagbundle import DagBundleModel
from airflow.models.dagrun import DagRun
from airflow.models.taskinstance import TaskInstance
from airflow.models.xcom import XComModel
from airflow.utils.types import DagRunTriggeredByType, DagRunType
from sqlalchemy import insert, select, text

from airflow.api_fastapi.app import create_app, get_auth_manager
app = create_app()
from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser

asked = json.load(open(sys.argv[1]))
at = datetime.now(UTC)
with create_session() as session:
    # Before the transaction begins: the XComs belong to no task here.
    session.execute(text("PRAGMA foreign_keys=OFF"))
    session.add(DagBundleModel(name="b"))
    session.flush()
    session.add(DagModel(dag_id="d", bundle_name="b"))
    session.flush()
    session.add(DagRun(dag_id="d", run_id=asked["run"], run_type=DagRunType.MANUAL, run_after=at,
                       triggered_by=DagRunTriggeredByType.TEST))
    session.flush()
    run = session.scalar(select(DagRun.id))
    for task, key, value in asked["left"]:
        session.execute(insert(XComModel).values(
            dag_run_id=run, task_id=task, map_index=-1, key=key, dag_id="d", run_id=asked["run"], value=value,
            timestamp=at,
        ))
manager = get_auth_manager()
found = []
with TestClient(app, raise_server_exceptions=False) as client:
    for path, role in asked["paths"]:
        headers = {}
        if role:
            token = manager.generate_jwt(SimpleAuthManagerUser(username="u", role=role))
            headers["Authorization"] = f"Bearer {token}"
        answer = client.get(path[0], params=path[1], headers=headers)
        found.append([answer.status_code, answer.text, dict(answer.headers)])
json.dump(found, open(sys.argv[2], "w"))
"""


def asked_of_airflow(tmp_path: Path, left: list[tuple[str, str, Any]], paths: list[Any]) -> list[Any]:
    """Status, text and headers for each path, which comes with its query and the user's role."""
    question, answer = tmp_path / "question.json", tmp_path / "answer.json"
    question.write_text(json.dumps({"run": RUN, "left": left, "paths": paths}))
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("AIRFLOW", "INTERLOCK_"))}
    environment = {
        **kept,
        "AIRFLOW_HOME": str(tmp_path / "airflow"),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(CHECKOUT / "plugins"),
        "AIRFLOW__CORE__DAGS_FOLDER": str(tmp_path),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__API_AUTH__JWT_SECRET": "x" * 64,
        "PYTHONPATH": str(CHECKOUT / "plugins"),
    }
    done = subprocess.run(
        [sys.executable, "-c", _SERVE, str(question), str(answer)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    found: list[Any] = json.loads(answer.read_text())
    return found


def run_page(**more: str) -> list[Any]:
    return ["/interlock/run", {"dag_id": "d", "run_id": RUN, **more}]


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    made = Checklist.of(
        facts(lambda raws: remove(raws, "PodDisruptionBudget"), alerts=Unseen(HOSTILE)), "sandbox"
    )
    ready = Checklist.of(facts(), "sandbox").page() | {"service": "service-a"}
    left = [
        ("service-a", "checklist", ready),
        ("service-c", "checklist", made.page()),
        ("sandbox.report", "page", f"# Report\n{HOSTILE}"),
        ("other", "return_value", "not on the page"),
        ("another", "checklist", ["not on the page"]),
        ("another", "page", {"not": "on the page"}),
    ]
    paths = {
        "anonymous": [run_page(), ""],
        "viewer": [run_page(), "viewer"],
        "admin": [run_page(), "admin"],
        "one": [run_page(task_id="service-a"), "admin"],
        "no run": [["/interlock/run", {"dag_id": "d", "run_id": "x"}], "admin"],
        "nothing": [run_page(task_id="other"), "admin"],
        "no dag": [["/interlock/run", {"run_id": RUN}], "admin"],
        "openapi": [["/interlock/openapi.json", {}], "admin"],
    }
    found = asked_of_airflow(tmp_path_factory.mktemp("page"), left, list(paths.values()))
    return dict(zip(paths, found, strict=True))


def test_nobody_sees_it_without_logging_in(answers: dict[str, Any]) -> None:
    status, text, _ = answers["anonymous"]
    assert status == 401
    assert "service-c" not in text


@pytest.mark.parametrize("role", ["viewer", "admin"])
def test_who_may_see_the_run_sees_each_item_with_its_verdict(answers: dict[str, Any], role: str) -> None:
    status, text, _ = answers[role]
    assert status == 200
    assert "not ready for promotion" in text
    assert text.count('<span class="badge not-checked">not checked</span>') == 1
    assert "kind: PodDisruptionBudget" in text
    assert "# Report" in text
    assert "not on the page" not in text


def test_one_tasks_page_has_its_service_alone(answers: dict[str, Any]) -> None:
    status, text, _ = answers["one"]
    assert status == 200
    assert "service-a</h1>" in text
    assert "service-c</h1>" not in text


def test_what_others_said_is_text_and_the_page_loads_nothing(answers: dict[str, Any]) -> None:
    _, text, headers = answers["admin"]
    assert HOSTILE not in text
    assert text.count("&lt;script&gt;alert(1)&lt;/script&gt;") == 2
    policy = headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; ")
    assert "unsafe" not in policy
    assert " src=" not in text
    assert " href=" not in text
    assert " on" + "click=" not in text


def test_each_answer_has_scripts_and_styles_of_its_own(answers: dict[str, Any]) -> None:
    policies = {answers[name][2]["content-security-policy"] for name in ("admin", "one", "nothing")}
    assert len(policies) == 3


def test_a_run_that_is_not_there_and_one_without_a_checklist_say_so(answers: dict[str, Any]) -> None:
    assert answers["no run"][0] == 404
    assert answers["nothing"][0] == 200
    assert "No task of this run has left a checklist" in answers["nothing"][1]
    assert answers["no dag"][0] == 422


def test_the_application_describes_itself_to_nobody(answers: dict[str, Any]) -> None:
    assert answers["openapi"][0] == 404
