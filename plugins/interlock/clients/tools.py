"""Asks the command-line tools of this machine for their versions, and for nothing else."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Mapping
from typing import Final

from interlock.environment.check import Unseen
from interlock.environment.expectations import TOOLS, ToolName
from interlock.environment.versions import Version

COMMANDS: Final[Mapping[ToolName, tuple[str, ...]]] = {
    "kubectl": ("kubectl", "version", "--client"),
    "istioctl": ("istioctl", "version", "--remote=false"),
    "vault": ("vault", "version"),
    "bao": ("bao", "version"),
    "aws": ("aws", "--version"),
}
TIMEOUT_SECONDS: Final = 20.0
"""Some are Python programs on a busy worker."""
_ENVIRONMENT: Final = ("PATH", "HOME", "LANG", "TMPDIR")
"""A version needs no credentials, so the tools see none."""


def look_at_tools(
    path: str | None = None, *, timeout: float = TIMEOUT_SECONDS
) -> dict[ToolName, Version | Unseen]:
    """The version of each tool.

    Args:
        path: where to look for them; None: PATH.
        timeout: seconds for one tool.
    """
    return {name: _version(name, path, timeout) for name in TOOLS}


def _version(name: ToolName, path: str | None, timeout: float) -> Version | Unseen:
    program, *arguments = COMMANDS[name]
    found = shutil.which(program, path=path)
    if found is None:
        return Unseen("it is not installed", "missing")
    environment = {key: os.environ[key] for key in _ENVIRONMENT if key in os.environ}
    if path is not None:
        environment["PATH"] = path
    try:
        process = subprocess.Popen(
            [found, *arguments],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )
    except OSError as error:
        return Unseen(f"{found} can't be run: {error.strerror}")
    with process:
        try:
            out, err = process.communicate(timeout=timeout)
        except subprocess.TimeoutExpired:
            # A wrapper's own child would stay, and hold the output open.
            os.killpg(process.pid, signal.SIGKILL)
            return Unseen(f"{found} did not tell its version within {timeout:.0f} s")
    said = (out or err).decode(errors="replace")
    version = Version.find(said)
    if process.returncode or version is None:
        first = (said.strip().splitlines() or ["nothing"])[0][:200]
        return Unseen(f"{found} ended with {process.returncode}, and said: {first}")
    return version
