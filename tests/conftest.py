"""A sandbox of the tests' own: brought up for the session with more trains, removed at its end.

To write tests quickly, keep one: INTERLOCK_TEST_SANDBOX=/short/folder uses the sandbox there, or starts
it, and leaves it running (`INTERLOCK_SANDBOX=/short/folder python -m sandbox clean` removes it).
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from hypothesis import settings
from running_sandbox import RunningSandbox, read_env
from small_services import create_small_services

# How long an example takes says more of what else the machine does than of the code.
settings.register_profile("interlock", deadline=None)
settings.load_profile("interlock")

CHECKOUT = Path(__file__).resolve().parents[1]
MORE = CHECKOUT / "tests" / "sandbox_include"
UP_SECONDS = 900  # a cold build of the programs takes ten minutes
CLEAN_SECONDS = 180


def _run(command: str, root: Path, seconds: float) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "sandbox", command],
        cwd=CHECKOUT,
        env={
            **os.environ,
            "INTERLOCK_SANDBOX": str(root),
            "INTERLOCK_INCLUDE": str(root / "include"),
            "INTERLOCK_SANDBOX_DAGS": str(CHECKOUT / "tests" / "sandbox_dags"),
            "PYTHONPATH": str(CHECKOUT),
        },
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=seconds,
    )


def _include(folder: Path) -> None:
    """The project's include folder with the tests' trains and environments added."""
    shutil.copytree(CHECKOUT / "include", folder, dirs_exist_ok=True)
    shutil.copytree(MORE / "trains", folder / "trains", dirs_exist_ok=True)
    files = (CHECKOUT / "include" / "environments.yaml", MORE / "environments.yaml")
    environments = [yaml.safe_load(file.read_text())["environments"] for file in files]
    (folder / "environments.yaml").write_text(
        yaml.safe_dump({"environments": {**environments[1], **environments[0]}}, sort_keys=False)
    )


@contextlib.contextmanager
def _up(root: Path, *, keep: bool) -> Iterator[None]:
    _include(root / "include")
    try:
        try:
            done = _run("up", root, UP_SECONDS)
        except subprocess.TimeoutExpired as expired:
            output = (expired.stdout or b"").decode(errors="replace")
            pytest.fail(f"the sandbox is not up after {UP_SECONDS} s:\n{output}", pytrace=False)
        if done.returncode:
            pytest.fail(f"the sandbox did not come up:\n{done.stdout}", pytrace=False)
        yield
    finally:
        if not keep:
            done = _run("clean", root, CLEAN_SECONDS)
            assert done.returncode == 0, done.stdout


@pytest.fixture(scope="session")
def sandbox() -> Iterator[RunningSandbox]:
    kept = os.environ.get("INTERLOCK_TEST_SANDBOX")
    # A short path: unix sockets live below it.
    root = Path(kept) if kept else Path(tempfile.mkdtemp(prefix="il-", dir="/tmp"))
    with _up(root, keep=bool(kept)):
        running = RunningSandbox(root, read_env(root / "env"))
        create_small_services(running.env)
        try:
            yield running
        finally:
            running.close()
