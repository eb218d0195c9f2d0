"""What a person sees of long work, also where the output is no terminal."""

from __future__ import annotations

import pytest

from sandbox import __main__ as program


@pytest.mark.parametrize(("every", "said"), [(0.0, " building, 1 s … building, 2 s …"), (3600.0, "")])
def test_where_there_is_no_terminal_long_work_is_told_now_and_then(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, every: float, said: str
) -> None:
    monkeypatch.setattr(program, "_NEWS_SECONDS", every)
    line = program.Line("[4/7] etcd:")
    line.report("building, 1 s")
    line.report("building, 2 s")
    line.end("ready in 2.0 s")
    assert capsys.readouterr().out == f"[4/7] etcd: starting …{said} ready in 2.0 s\n"
