"""A sandbox of the tests' own: brought up for the session, removed at its end."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from running_sandbox import RunningSandbox, read_env

CHECKOUT = Path(__file__).resolve().parents[2]
UP_SECONDS = 900  # a cold build of the programs takes ten minutes
CLEAN_SECONDS = 180


def _run(command: str, root: Path, seconds: float) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "sandbox", command],
        cwd=CHECKOUT,
        env={**os.environ, "INTERLOCK_SANDBOX": str(root), "PYTHONPATH": str(CHECKOUT)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=seconds,
    )


@pytest.fixture(scope="session")
def sandbox() -> Iterator[RunningSandbox]:
    # A short path: unix sockets live below it.
    root = Path(tempfile.mkdtemp(prefix="il-", dir="/tmp"))
    try:
        try:
            done = _run("up", root, UP_SECONDS)
        except subprocess.TimeoutExpired as expired:
            output = (expired.stdout or b"").decode(errors="replace")
            pytest.fail(f"the sandbox is not up after {UP_SECONDS} s:\n{output}", pytrace=False)
        if done.returncode:
            pytest.fail(f"the sandbox did not come up:\n{done.stdout}", pytrace=False)
        running = RunningSandbox(root, read_env(root / "env"))
        try:
            yield running
        finally:
            running.close()
    finally:
        done = _run("clean", root, CLEAN_SECONDS)
        assert done.returncode == 0, done.stdout
