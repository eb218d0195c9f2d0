"""Clean logs raise no alarm; the command needs no Airflow."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter

import pytest
from random_logs import random_log


@pytest.mark.parametrize("part", range(10))
def test_a_thousand_clean_logs_raise_no_alarm(part: int) -> None:
    alarms: dict[int, Counter[str]] = {}
    entries = 0
    for seed in range(part * 100, part * 100 + 100):
        report = random_log(seed, most=40 if seed % 50 else 600).verify()
        entries += report.entries
        if report.exit != 0 or report.findings.counts:
            alarms[seed] = report.findings.counts
    assert not alarms
    assert entries > 1_000


def test_the_command_loads_neither_airflow_nor_a_client_that_it_does_not_need() -> None:
    code = (
        "import sys\nfrom interlock.verify_cli import main\n"
        "main(['archive', '/none', '--key', '/none'])\n"
        "print(sorted({'airflow', 'boto3', 'hvac', 'lightkube', 'pydantic'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"
    assert done.stderr == "interlock-verify: /none: No such file or directory\n"
