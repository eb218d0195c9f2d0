"""A service's file: every field has a default, and a mistake names its line."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import pytest

from interlock.onboarding.service_file import ServiceFile, json_schema, load_service
from interlock.project import include
from interlock.trains.model import TrainFileError


def written(tmp_path: Path, text: str, name: str = "service-c.yaml") -> Path:
    path = tmp_path / name
    path.write_text(text)
    return path


def test_a_service_without_a_file_has_the_defaults_of_an_empty_one(tmp_path: Path) -> None:
    assert load_service(tmp_path / "service-q.yaml") == ServiceFile()
    assert load_service(written(tmp_path, "")) == ServiceFile()
    assert load_service(written(tmp_path, "# nothing yet\n")) == ServiceFile()


def test_an_exception_has_an_item_a_reason_and_a_day(tmp_path: Path) -> None:
    path = written(tmp_path, "exceptions:\n  - {item: vault.role, reason: not yet, until: 2027-01-31}\n")
    (one,) = load_service(path).exceptions
    assert (one.item, one.reason, one.until) == ("vault.role", "not yet", date(2027, 1, 31))


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("callers: [service_b]\n", 1, "expected a service account, NAME or NAMESPACE/NAME"),
        ("protocol: smtp\n", 1, "expected one of http, http2, grpc, tcp"),
        ("vault:\n  roles: x\n", 2, "unknown key 'roles'"),
        ("vault:\n  role: service-c\n", 2, "expected a role as MOUNT/NAME"),
        ("resources:\n  cpu: 1\n", 2, "expected a quantity such as 100m or 128Mi"),
        ("exceptions:\n  - item: vault.rule\n    reason: x\n    until: 2027-01-31\n", 2, "expected an item"),
        ("exceptions:\n  - {item: vault.role, reason: x, until: soon}\n", 2, "expected a day such as"),
        ("exceptions:\n  - {item: vault.role, reason: ' ', until: 2027-01-31}\n", 2, "expected some words"),
        ("exceptions:\n  - {item: vault.role, until: 2027-01-31}\n", 2, "'reason' is missing"),
        (
            "exceptions:\n  - {item: vault.role, reason: x, until: 2027-01-31}\n"
            "  - {item: vault.role, reason: y, until: 2027-02-01}\n",
            3,
            "found vault.role twice",
        ),
        ("- a list\n", 1, "expected a mapping"),
        ("callers: [\n", 2, "not YAML"),
    ],
)
def test_a_mistake_names_its_line(tmp_path: Path, text: str, line: int, said: str) -> None:
    path = written(tmp_path, text)
    with pytest.raises(TrainFileError) as failed:
        load_service(path)
    assert f"{path}:{line}: " in str(failed.value)
    assert said in str(failed.value)


def test_a_file_has_the_name_of_a_service(tmp_path: Path) -> None:
    with pytest.raises(TrainFileError, match="found the name 'Service_C'"):
        load_service(written(tmp_path, "", "Service_C.yaml"))


@pytest.mark.parametrize("path", sorted((include() / "services").glob("*.yaml")), ids=lambda path: path.stem)
def test_each_file_of_the_project_loads(path: Path) -> None:
    load_service(path)


def test_the_schema_for_editors_is_the_models() -> None:
    kept = json.loads((include() / "services.schema.json").read_text())
    assert kept == json.loads(json.dumps(json_schema()))
