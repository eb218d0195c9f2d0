"""Which versions tools tell: small programs that answer as the tools do, and a real one."""

from __future__ import annotations

import time
from pathlib import Path

import pytest

from interlock.clients.tools import look_at_tools
from interlock.environment.check import Unseen
from interlock.environment.versions import Version
from tests.clients.real_parts import BIN

SAYS = {
    "kubectl": "Client Version: v1.34.1\\nKustomize Version: v5.7.1",
    "istioctl": "client version: 1.20.0",
    "vault": "Vault v1.20.4 (55bd8f18), built 2025-09-23T13:22:38Z",
    "bao": "OpenBao v2.7.2 (9e0a0d3c), committed 2026-10-26T20:32:27Z",
    "aws": "aws-cli/2.31.1 Python/3.13.7 Linux/6.1 exe/x86_64",
}


def program(folder: Path, name: str, script: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{script}\n")
    (folder / name).chmod(0o755)


def test_each_tools_own_words_are_understood(tmp_path: Path) -> None:
    for name, says in SAYS.items():
        program(tmp_path, name, f"printf '{says}\\n'")
    assert {name: str(found) for name, found in look_at_tools(str(tmp_path)).items()} == {
        "kubectl": "v1.34.1",
        "istioctl": "v1.20.0",
        "vault": "v1.20.4",
        "bao": "v2.7.2",
        "aws": "v2.31.1",
    }


def test_they_are_asked_for_their_own_version_alone_and_see_no_credentials(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VAULT_TOKEN", "s3cret")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "s3cret")
    monkeypatch.setenv("KUBECONFIG", "/nowhere")
    for name in SAYS:
        program(
            tmp_path,
            name,
            f'echo "$@" >{tmp_path}/{name}.asked; /usr/bin/env >{tmp_path}/{name}.env; echo v1.2.3',
        )
    assert set(look_at_tools(str(tmp_path)).values()) == {Version(1, 2, 3)}
    assert {name: (tmp_path / f"{name}.asked").read_text().strip() for name in SAYS} == {
        "kubectl": "version --client",
        "istioctl": "version --remote=false",
        "vault": "version",
        "bao": "version",
        "aws": "--version",
    }
    seen = "".join((tmp_path / f"{name}.env").read_text() for name in SAYS)
    assert "PATH=" in seen
    assert "s3cret" not in seen
    assert "KUBECONFIG" not in seen


@pytest.mark.parametrize(
    ("script", "kind", "why"),
    [
        ("", "missing", "it is not installed"),
        ("sleep 5", "away", "did not tell its version within 0 s"),
        ("echo no idea >&2; exit 3", "away", "ended with 3, and said: no idea"),
        ("echo v1.2.3; exit 1", "away", "ended with 1, and said: v1.2.3"),
        ("echo hello", "away", "ended with 0, and said: hello"),
    ],
)
def test_a_tool_that_tells_no_version_is_unseen(tmp_path: Path, script: str, kind: str, why: str) -> None:
    if script:
        program(tmp_path, "aws", f"PATH=/usr/bin:/bin; {script}")
    found = look_at_tools(str(tmp_path), timeout=0.4)["aws"]
    assert isinstance(found, Unseen)
    assert found.kind == kind
    assert why in found.why


def test_a_tool_that_hangs_leaves_nothing_behind(tmp_path: Path) -> None:
    program(tmp_path, "aws", f"PATH=/usr/bin:/bin; sleep 60 & echo $! >{tmp_path}/child; wait")
    found = look_at_tools(str(tmp_path), timeout=1.0)["aws"]
    assert isinstance(found, Unseen)
    state = Path("/proc", (tmp_path / "child").read_text().strip(), "stat")
    deadline = time.monotonic() + 5
    while state.exists() and state.read_text().rpartition(")")[2].split()[0] != "Z":
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_file_that_can_not_be_run_is_unseen(tmp_path: Path) -> None:
    (tmp_path / "aws").write_text("#!/nowhere/sh\n")
    (tmp_path / "aws").chmod(0o755)
    found = look_at_tools(str(tmp_path))["aws"]
    assert isinstance(found, Unseen)
    assert "can't be run: No such file or directory" in found.why


def test_a_real_bao_tells_its_version() -> None:
    found = look_at_tools(str(BIN))["bao"]
    assert isinstance(found, Version)
    assert found.major == 2
