"""An auditor at work: keys in files, a made bucket, the command."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from made_logs import Log

from interlock import verify_cli
from interlock.evidence.statement import Run

TRAIN = Run("promotion_train__payments", "manual__1")
OTHER = Run("promotion_train__search", "manual__2")


class Desk:
    """An auditor's folder: keys, the bucket, and the command."""

    def __init__(self, folder: Path, log: Log, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder, self.log, self._capsys = folder, log, capsys
        (folder / "log.vkey").write_text(log.heads.key.text + "\n")
        (folder / "statements.vkey").write_text(f"# a comment\n{log.statements.key.text}\n")

    @property
    def keys(self) -> list[str]:
        return ["--key", f"{self.folder}/log.vkey", "--statement-key", f"{self.folder}/statements.vkey"]

    def run(self, command: str, *arguments: object, keys: bool = True) -> tuple[int, str, str]:
        given = [command, *map(str, arguments), *(self.keys if keys else [])]
        status = verify_cli.main([*given, "--quiet"])
        out, err = self._capsys.readouterr()
        assert "Traceback" not in out + err
        return status, out, err

    def report(self, command: str, *arguments: object) -> dict[str, Any]:
        _, out, err = self.run(command, *arguments, "--json")
        assert out, err
        found: dict[str, Any] = json.loads(out)
        return found

    def export(self, *arguments: object, to: str = "archive") -> Path:
        status, _, err = self.run("export", "tests", "--to", self.folder / to, *arguments)
        assert status == 0, err
        return self.folder / to


@cache
def trains() -> Log:
    """A log of 310 entries: two sealed trains, and 300 statements of another run."""
    log = Log()
    listed = []
    for run in (TRAIN, OTHER):
        leaves = [
            log.leaf(kind, run, blob=kind == "promote") for kind in ("plan", "lock", "promote", "verify")
        ]
        listed.append(leaves)
        log.commit(*leaves)
    for run, leaves in zip((TRAIN, OTHER), listed, strict=True):
        log.commit(log.seal(run, *leaves))
    log.commit(*[log.leaf() for _ in range(300)])
    return log


@pytest.fixture
def desk(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Desk:
    log = trains().copy()
    monkeypatch.setattr(log.bucket, "close", lambda: None, raising=False)
    monkeypatch.setattr(verify_cli, "open_bucket", lambda name, endpoint, region: log.bucket)
    return Desk(tmp_path, log, capsys)
