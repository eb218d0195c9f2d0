"""`include/environment.yaml`: what is read, and what is told of a mistake."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from interlock.environment.expectations import Expectations, load_expectations
from interlock.environment.versions import Version
from interlock.project import expectations_file
from interlock.trains.model import TrainFileError


def read(tmp_path: Path, text: str) -> Expectations:
    file = tmp_path / "environment.yaml"
    file.write_text(text)
    return load_expectations(file)


def test_the_shipped_file_pins_versions_and_requires_no_tool() -> None:
    found = load_expectations(expectations_file())
    assert {name: str(entry.version) for name, entry in found.tools.items()} == {
        "kubectl": "v1.34.1",
        "istioctl": "v1.20.0",
        "vault": "v1.20.4",
        "aws": "v2.31.1",
    }
    assert not any(entry.required for entry in found.tools.values())
    assert found.github is None
    assert found.vault.audit_connection == "interlock_audit_vault"


def test_the_shipped_files_examples_can_be_used(tmp_path: Path) -> None:
    lines = expectations_file().read_text().splitlines()
    begin = lines.index("# github: # without it, GitHub is not looked at")
    text = "\n".join(line.removeprefix("# ") if line.startswith("# ") else line for line in lines[begin:])
    found = read(tmp_path, text.replace("  # secrets:\n  #   inter", "  secrets:\n    inter"))
    assert found.github is not None
    assert found.github.repositories["owner/name"].role == "pull"
    assert found.github.pull_requests == ["owner/name#12"]
    assert found.vault.secrets == {"interlock/service-a": ["api_key"]}


def test_an_empty_file_wants_nothing(tmp_path: Path) -> None:
    found = read(tmp_path, "")
    assert found.github is None
    assert found.tool("aws").version is None
    assert found.vault.least_ttl == timedelta(minutes=10)


def test_a_tool_that_is_named_is_wanted_as_it_says(tmp_path: Path) -> None:
    entry = read(tmp_path, 'tools:\n  bao: {version: "2.7", required: true}\n').tool("bao")
    assert (entry.version, entry.required) == (Version(2, 7, 0), True)


@pytest.mark.parametrize(
    ("text", "line", "said"),
    [
        ("github: {}\n", 1, "'repositories' is missing"),
        ("github:\n  repositories: {}\n", 2, "expected at least one"),
        ("github:\n  repositories:\n    name: {}\n", 3, "expected a repository with its owner"),
        ("github:\n  repositories:\n    a/b: {role: owner}\n", 3, "expected one of pull, triage, push"),
        ("github:\n  repositories:\n    a/b: {rule: pull}\n", 3, "did you mean 'role'?"),
        ("github:\n  repositories: {a/b: {}}\n  pull_requests: [a/b]\n", 3, "such as owner/name#12"),
        ("github:\n  repositories: {a/b: {}}\n  scopes: ['repo, user']\n", 3, "classic token's scope"),
        ("vault:\n  secrets: {'interlock/*': []}\n", 2, "without a wildcard"),
        ("vault:\n  least_ttl: 600\n", 2, "a duration"),
        ("tools:\n  helm: {}\n", 2, "kubectl, istioctl, vault, bao, aws"),
        ("tools:\n  aws: {version: newest}\n", 2, "a version such as v1.34.1"),
        ("tools:\n  aws: {version: 2.31}\n", 2, "in quotation marks"),
        ("tools:\n  aws: [\n", 3, "not YAML"),
        ("tools: {}\ntools: {}\n", 2, "stands here twice"),
        ("- a\n", 1, "a mapping"),
    ],
)
def test_a_mistake_is_named_with_its_line(tmp_path: Path, text: str, line: int, said: str) -> None:
    with pytest.raises(TrainFileError) as failed:
        read(tmp_path, text)
    assert f"environment.yaml:{line}: " in str(failed.value)
    assert said in str(failed.value)


def test_an_account_that_an_enterprise_manages_can_own_a_repository(tmp_path: Path) -> None:
    found = read(tmp_path, "github:\n  repositories: {ada_acme/a: {}}\n  pull_requests: ['ada_acme/a#1']\n")
    assert found.github is not None
    assert list(found.github.repositories) == ["ada_acme/a"]


def test_a_file_that_is_missing_is_told(tmp_path: Path) -> None:
    with pytest.raises(TrainFileError, match="can't be read"):
        load_expectations(tmp_path / "environment.yaml")
