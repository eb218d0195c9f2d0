"""Airflow's command with the sandbox's `env` sourced: it doesn't warn of what nobody can mend."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sandbox.parts.airflow import QUIET

_RUN = """
import airflow.cli.commands.dag_command
from airflow._shared.module_loading.file_discovery import GitWildMatchPattern
GitWildMatchPattern("x")
"""


@pytest.mark.parametrize(("warnings", "said"), [(None, True), (QUIET, False)])
def test_the_warnings_of_each_command_are_silenced(tmp_path: Path, warnings: str | None, said: bool) -> None:
    environment = {**os.environ, "AIRFLOW_HOME": str(tmp_path)}
    environment.pop("PYTHONWARNINGS", None)
    if warnings:
        environment["PYTHONWARNINGS"] = warnings
    command = [sys.executable, "-c", _RUN]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    told = done.stdout + done.stderr
    assert ("graphviz" in told, "GitWildMatchPattern (" in told) == (said, said)
