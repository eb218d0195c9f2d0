"""Nothing that others wrote moves a terminal's cursor, colours its text, or turns its direction round."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from auditors_desk import Desk, desk
from made_logs import Log

from interlock.evidence.statement import Run
from interlock.evidence.verification.shown import plain
from interlock.verify_output import ProgressLine, lines

__all__ = ["desk"]

EVIL = "a\x1b[2K\x1b[1A\rVERIFIED\nb\u202ec\u2066d\u200be\x9bf\u2028g\x00\ud800h\x7f"
SHOWN = "a\\x1b[2K\\x1b[1A\\rVERIFIED\\nb\\u202ec\\u2066d\\u200be\\x9bf\\u2028g\\x00\\ud800h\\x7f"
BAD = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ud800-\udfff\ufeff]")


def test_what_a_terminal_would_obey_is_spelled_out() -> None:
    assert plain(EVIL) == SHOWN
    assert plain("Zürich, 東京 ✓ 'x' \\n") == "Zürich, 東京 ✓ 'x' \\n"


def evil_log() -> Log:
    log = Log()
    run = Run(EVIL.replace("\ud800", ""), f"manual__{EVIL}".replace("\ud800", ""))
    log.commit(log.leaf(run=run))
    seal = log.leaf(
        "seal", run, statements=[], complete=False, incomplete_because="\x1b[31m\u202e", outcome="x"
    )
    log.commit(seal, log.leaf(run=run))
    log.bucket.put(f"log/2026/{EVIL}", b"x", log.clock)
    log.bucket.put(f"log/{EVIL}", b"x", log.clock)
    log.bucket.change("log/2026/seq/" + "0" * 20, b"\x1b[31m")
    return log


def test_no_line_of_a_report_has_a_control_character() -> None:
    said = list(lines(evil_log().verify()))
    assert not [one for one in said if BAD.search(one) or "\n" in one]
    assert any("log/2026/a\\x1b[2K" in one for one in said)
    assert any("\\x1b[31m\\u202e" in one for one in said)


def test_no_error_and_no_page_has_a_control_character(desk: Desk) -> None:
    for arguments in (
        ["archive", f"/{EVIL}".replace("\ud800", "").replace("\x00", "")],
        ["receipt", "/\x1b[31m"],
    ):
        status, out, err = desk.run(*arguments)
        assert status in (2, 3)
        assert not BAD.search(out + err)
        assert err.count("\n") == 1
        assert "\\x1b[" in err
    desk.log.commit(desk.log.leaf(run=Run("dag\x1b[31m", "run\u202e"), reason="\u202ea reason"))
    page = (desk.export("--run", "dag\x1b[31m/run\u202e") / "index.html").read_text()
    assert not BAD.search(page)
    assert "dag\\x1b[31m/run\\u202e" in page


def test_progress_is_escaped_too(capsys: pytest.CaptureFixture[str]) -> None:
    progress = ProgressLine()
    progress._told -= 60
    progress("\x1b[31m", 1)
    assert capsys.readouterr().err == "\\x1b[31m: 1 …\n"


@pytest.mark.parametrize("closed", ["", ">&-", "2>&-", ">&- 2>&-"])
def test_the_command_ends_as_it_has_to_whatever_its_streams_are(tmp_path: Path, closed: str) -> None:
    (tmp_path / "log.vkey").write_text(Log().heads.key.text + "\n")
    command = f"{sys.executable} -m interlock.verify_cli archive {tmp_path}/züge --key {tmp_path}/log.vkey"
    plain = {**os.environ, "PYTHONIOENCODING": "ascii"}
    done = subprocess.run(["bash", "-c", f"{command} {closed}"], env=plain, capture_output=True, text=True)
    assert (done.returncode, "Traceback" in done.stderr) == (3, False)
