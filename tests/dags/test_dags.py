"""The DAG files as Airflow's DAG processor sees them, each time in a process of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

CHECKOUT = Path(__file__).resolve().parents[2]
DAGS = CHECKOUT / "dags"
PAYMENTS = "promotion_train__payments"
CLIENTS = ("kubernetes", "boto3", "hvac", "httpx2", "lightkube")
PARSE_SHARE = 0.25
"""Of the processor time that importing Airflow's SDK takes on the same machine: about 0.3 s."""

_RUN = """
import runpy, sys, time
started = time.process_time()  # of the processor: other programs on the machine don't count
import airflow.sdk  # what every DAG file needs is not the file's own time
began = time.process_time()
runpy.run_path(sys.argv[1])
print((time.process_time() - began) / (began - started))
"""

_PARSE = """
import json, sys
import airflow.settings
from airflow.dag_processing.dagbag import DagBag
from airflow.serialization.serialized_objects import DagSerialization

bag = DagBag(sys.argv[1])
loaded = sorted({name.partition(".")[0] for name in sys.modules})
dags = {}
for dag_id, dag in bag.dags.items():
    dags[dag_id] = {
        # Airflow keeps the fields of an object in sets; its own hash of a DAG sorts the keys, too.
        "serialized": json.dumps(DagSerialization.to_dict(dag), sort_keys=True),
        "upstream": {task.task_id: sorted(task.upstream_task_ids) for task in dag.tasks},
    }
found = {"errors": bag.import_errors, "loaded": loaded, "dags": dags}
with open(sys.argv[2], "w") as stream:
    json.dump(found, stream)
"""


def _parse(tmp_path: Path, where: Path, **variables: str) -> dict[str, Any]:
    """What a fresh process finds in a DAG file or folder."""
    home = tmp_path / "airflow"
    answer = tmp_path / "answer.json"
    ours = ("AIRFLOW", "INTERLOCK_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    environment = {
        **kept,
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(DAGS),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(CHECKOUT / "plugins"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "PYTHONPATH": str(CHECKOUT / "plugins"),
        **variables,
    }
    done = subprocess.run(
        [sys.executable, "-c", _PARSE, str(where), str(answer)],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    found: dict[str, Any] = json.loads(answer.read_text())
    return found


@pytest.fixture(scope="module")
def parsed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return _parse(tmp_path_factory.mktemp("parsed"), DAGS)


def test_every_dag_file_parses(parsed: dict[str, Any]) -> None:
    assert parsed["errors"] == {}
    trains = {f"promotion_train__{file.stem}" for file in (CHECKOUT / "include" / "trains").glob("*.yaml")}
    assert PAYMENTS in trains
    assert trains <= set(parsed["dags"])


def test_parsing_loads_no_client_library(parsed: dict[str, Any]) -> None:
    assert not set(CLIENTS) & set(parsed["loaded"])


@pytest.mark.parametrize("file", sorted(DAGS.glob("*.py")), ids=lambda file: file.stem)
def test_each_dag_file_parses_quickly(file: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(CHECKOUT / "plugins")}
    shares = []
    while not shares or (min(shares) >= PARSE_SHARE and len(shares) < 3):
        command = [sys.executable, "-c", _RUN, str(file)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        shares.append(float(done.stdout.split()[-1]))
    print(f"{file.name}: {', '.join(f'{value:.3f}' for value in shares)} of the SDK's import")
    assert min(shares) < PARSE_SHARE


def test_two_processes_serialize_to_the_same_bytes(parsed: dict[str, Any], tmp_path: Path) -> None:
    # With another seed, the order of a set of strings is another one.
    again = _parse(tmp_path, DAGS, PYTHONHASHSEED="4242")
    assert set(again["dags"]) == set(parsed["dags"])
    for dag_id, dag in parsed["dags"].items():
        assert again["dags"][dag_id]["serialized"] == dag["serialized"], dag_id


def test_the_edges_are_the_services_dependencies(parsed: dict[str, Any]) -> None:
    upstream = {task: set(found) for task, found in parsed["dags"][PAYMENTS]["upstream"].items()}

    assert "service-a.preflight" not in upstream
    assert upstream["service-a.promote"] == {"lock"}
    for service in ("service-b", "service-c"):
        assert upstream[f"{service}.preflight"] == {"lock", "service-a.promote"}
        assert upstream[f"{service}.promote"] == {f"{service}.preflight", "service-a.verify"}
    for service in ("service-a", "service-b", "service-c"):
        assert upstream[f"{service}.verify"] == {f"{service}.promote"}
    assert upstream["rollback.service-a"] == {
        "rollback.decide",
        "rollback.service-b",
        "rollback.service-c",
    }
    assert upstream["rollback.service-b"] == upstream["rollback.service-c"] == {"rollback.decide"}


def test_an_environments_report_comes_after_each_of_its_looks(parsed: dict[str, Any]) -> None:
    upstream = parsed["dags"]["environment_check"]["upstream"]
    looks = {f"sandbox.{area}" for area in ("github", "vault", "tools", "store")}
    assert set(upstream) == looks | {"sandbox.report"}
    assert set(upstream["sandbox.report"]) == looks
    assert not any(upstream[look] for look in looks)


def test_the_mesh_is_looked_at_as_an_environment_asks(parsed: dict[str, Any], tmp_path: Path) -> None:
    assert set(parsed["dags"]["mesh_check"]["upstream"]) == {"sandbox.check", "sandbox.probe"}
    assert '"prometheus_conn_id": "interlock_prometheus"' in parsed["dags"]["mesh_check"]["serialized"]
    include = tmp_path / "include"
    shutil.copytree(CHECKOUT / "include", include)
    where = "kubernetes: k, namespace: n"
    (include / "environments.yaml").write_text(
        f"environments: {{plain: {{{where}}}, meshed: {{{where}, mesh: {{}}}}}}"
    )
    bare = _parse(tmp_path, DAGS / "mesh_check.py", INTERLOCK_INCLUDE=str(include))["dags"]["mesh_check"]
    assert set(bare["upstream"]) == {"meshed.check"}
    assert "interlock_prometheus" not in bare["serialized"]


def test_a_train_looks_at_the_checks_of_environments_that_want_it(
    parsed: dict[str, Any], tmp_path: Path
) -> None:
    include = tmp_path / "include"
    shutil.copytree(CHECKOUT / "include", include)
    file = include / "environments.yaml"
    file.write_text(file.read_text() + "    checked_within: 24h\n")
    wanted = _parse(tmp_path, DAGS / "promotion_trains.py", INTERLOCK_INCLUDE=str(include))["dags"]
    asset = "interlock_environment__sandbox"
    assert asset in wanted[PAYMENTS]["serialized"]
    assert asset not in wanted["undo_train__payments"]["serialized"]
    assert asset not in parsed["dags"][PAYMENTS]["serialized"]


@pytest.mark.parametrize("dag_id", [PAYMENTS, "undo_train__payments"])
def test_a_task_builds_its_own_dag_alone(dag_id: str, parsed: dict[str, Any], tmp_path: Path) -> None:
    file = DAGS / "promotion_trains.py"
    found = _parse(tmp_path, file, _AIRFLOW_PARSING_CONTEXT_DAG_ID=dag_id)
    assert found["errors"] == {}
    assert found["dags"].keys() == {dag_id}
    assert found["dags"][dag_id]["upstream"] == parsed["dags"][dag_id]["upstream"]


@pytest.mark.parametrize("dag_id", [PAYMENTS, "undo_train__payments"])
def test_a_promotion_builds_its_service_alone(dag_id: str, tmp_path: Path) -> None:
    found = _parse(
        tmp_path,
        DAGS / "promotion_trains.py",
        _AIRFLOW_PARSING_CONTEXT_DAG_ID=dag_id,
        _AIRFLOW_PARSING_CONTEXT_TASK_ID="service-b.promote",
    )
    assert found["errors"] == {}
    tasks = found["dags"][dag_id]["upstream"]
    assert {"plan", "lock", "service-b.promote", "service-b.verify", "rollback.service-b", "close"} <= set(
        tasks
    )
    assert not [task for task in tasks if "service-a" in task or "service-c" in task]


def test_a_wrong_train_file_names_its_line_and_the_other_trains_load(tmp_path: Path) -> None:
    include = tmp_path / "include"
    shutil.copytree(CHECKOUT / "include", include)
    wrong = include / "trains" / "wrong.yaml"
    lines = [
        "description: A train with a mistake",
        "environments: [sandbox]",
        "services:",
        "  service-a:",
        "    image: registry.internal/service-a",
        "    after: [service-q]",
    ]
    wrong.write_text("\n".join(lines) + "\n")

    found = _parse(tmp_path, DAGS, INTERLOCK_INCLUDE=str(include))

    ((file, text),) = found["errors"].items()
    assert f"{wrong.name}:6" in text
    # Airflow deactivates all DAGs of a file with an import error: there must be none in it.
    assert Path(file).name == "train_files.py"
    assert _parse(tmp_path, DAGS / "train_files.py")["dags"] == {}
    assert "service-q" in text
    assert PAYMENTS in found["dags"]
    assert "promotion_train__wrong" not in found["dags"]


@pytest.mark.parametrize("dag_id", ["", PAYMENTS])
@pytest.mark.parametrize(
    ("text", "line"),
    [("environments:\n  sandbox: [\n", 3), ("environments:\n  sandbox: {kubernetes: k}\n", 2)],
    ids=["not YAML", "an entry"],
)
def test_trains_load_whatever_is_wrong_with_the_environments(
    tmp_path: Path, text: str, line: int, dag_id: str
) -> None:
    include = tmp_path / "include"
    shutil.copytree(CHECKOUT / "include", include)
    (include / "environments.yaml").write_text(text)
    (include / "trains" / "everywhere.yaml").write_text("services: {x: {image: registry.internal/x}}\n")

    asked = {"_AIRFLOW_PARSING_CONTEXT_DAG_ID": dag_id} if dag_id else {}
    found = _parse(tmp_path, DAGS, INTERLOCK_INCLUDE=str(include), **asked)

    assert {dag_id or "promotion_train__everywhere", PAYMENTS} <= set(found["dags"])
    errors = {Path(file).name: text for file, text in found["errors"].items()}
    assert f"environments.yaml:{line}: " in errors["train_files.py"]
    assert set(errors) <= {"train_files.py", "doctor.py", "environment_check.py", "service_onboarding.py"}
