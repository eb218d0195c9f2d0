"""docs/evidence.md against the code: each code and exit status, and each option that its commands name."""

from __future__ import annotations

import re

from project_documents import CHECKOUT, blocks

from interlock import verify_cli
from interlock.evidence.verification.findings import CODES
from interlock.evidence.verification.report import Exit

DOCUMENT = CHECKOUT / "docs" / "evidence.md"


def test_each_code_is_explained_with_its_weight() -> None:
    rows = re.findall(r"^\| `([a-z-]+)` \| (bad|notice) \| (.+) \|$", DOCUMENT.read_text(), re.MULTILINE)
    assert {code: (weight, meaning) for code, weight, meaning in rows} == {
        code: (weight.value, meaning) for code, (weight, meaning) in CODES.items()
    }


def test_each_code_that_is_found_anywhere_is_listed() -> None:
    found = set()
    for file in (CHECKOUT / "plugins/interlock/evidence/verification").glob("*.py"):
        found |= set(re.findall(r'Finding\(\s*"([a-z-]+)"', file.read_text()))
    assert found <= set(CODES)


def test_each_exit_status_is_explained() -> None:
    section = DOCUMENT.read_text().partition("| Exit code |")[2].partition("\n\n")[0]
    assert [int(one) for one in re.findall(r"^\| (\d) \|", section, re.MULTILINE)] == sorted(Exit)


def test_the_commands_of_the_guide_are_understood() -> None:
    text = "\n".join(blocks(DOCUMENT, "sh")).replace("\\\n", " ")
    commands = [
        line.partition("interlock-verify ")[2] for line in text.splitlines() if "interlock-verify " in line
    ]
    assert len(commands) >= 6
    for command in commands:
        words = re.findall(r"'[^']*'|\S+", command.partition(" > ")[0])
        verify_cli.parser().parse_args([word.strip("'") for word in words])
