"""docs/environment.md against the code: each check is in its tables, and no other."""

from __future__ import annotations

import ast
import re

from project_documents import CHECKOUT, spans, trees

from interlock.environment.check import AREAS

DOCUMENT = CHECKOUT / "docs" / "environment.md"
CODE = re.compile(rf"({'|'.join(AREAS)})\.[a-z-]+")


def test_each_check_is_documented() -> None:
    made = {
        node.value
        for _, tree in trees("plugins/interlock/environment", "plugins/interlock/doctor")
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and CODE.fullmatch(node.value)
    }
    rows = [row for row in DOCUMENT.read_text().splitlines() if row.startswith("| `")]
    assert made == {spans(row)[0] for row in rows}


def test_what_each_finding_means_and_what_to_do_is_said() -> None:
    rows = [row for row in DOCUMENT.read_text().splitlines() if row.startswith("| `")]
    assert all(
        len(row.strip("|").split("|")) == 3 and all(map(str.strip, row.strip("|").split("|"))) for row in rows
    )
