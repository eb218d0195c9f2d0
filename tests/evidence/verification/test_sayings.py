"""What an archive's page tells people of a statement."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from made_logs import Log

from interlock.evidence.statement import Run
from interlock.evidence.verification.page import Page
from interlock.evidence.verification.sayings import MAX_CHARACTERS, MAX_LINES, sayings

IMAGE = {"ref": "Deployment/a", "path": "spec.image", "before": "a:1", "after": "a:2"}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("kind", "body", "expected"),
    [
        (
            "plan",
            {"triggered_by": "ada", "plan_hash": "0a", "dry_run": False, "services": ["a", "b"]},
            ["started by: ada", "plan: 0a", "dry run: no", "on board: a, b"],
        ),
        (
            "promote",
            {"service": "a", "outcome": "written", "before_hash": "1", "after_hash": "2", "writes": [IMAGE]},
            ["service: a", "outcome: written", "before: 1", "after: 2", "Deployment/a spec.image: a:1 → a:2"],
        ),
        (
            "promote",
            {"writes": [{"ref": "ConfigMap/a", "path": "data.x", "after": "1"}]},
            ["ConfigMap/a data.x: absent → 1"],
        ),
        (
            "rollback",
            {"restored": [{"path": "Deployment/a spec.image"}], "conflicts": [{"path": "spec.replicas"}]},
            ["restored: Deployment/a spec.image", "left as somebody else changed it: spec.replicas"],
        ),
        (
            "seal",
            {
                "outcome": "not-whole",
                "approved_by": ["bo", "cy"],
                "services": [{"service": "a", "verdict": "other", "reason": "somebody else"}],
            },
            ["approved by: bo, cy", "outcome: not-whole", "a: other (somebody else)"],
        ),
    ],
)
def test_a_statement_is_told_in_lines(kind: str, body: dict[str, Any], expected: list[str]) -> None:
    assert list(sayings(kind, body)) == expected


def test_what_is_long_is_cut_and_says_so() -> None:
    body = {"reason": "x" * 1000, "writes": [IMAGE] * 100}
    lines = list(sayings("promote", body))
    assert len(lines) == MAX_LINES + 1
    assert len(lines[0]) == MAX_CHARACTERS + 1
    assert lines[-1] == f"and {101 - MAX_LINES} lines more"


FIELDS = st.sampled_from(["services", "writes", "restored", "conflicts", "reason", "approved_by", "passed"])


@given(st.sampled_from(["plan", "promote", "seal"]), st.dictionaries(FIELDS, JSON))
def test_whatever_a_statement_holds_is_told_or_passed_over(kind: str, body: dict[str, Any]) -> None:
    assert all(isinstance(line, str) for line in sayings(kind, body))


def test_the_page_shows_it_and_what_is_signed_can_not_become_markup() -> None:
    log = Log()
    leaf = log.leaf("plan", Run("promotion_train__payments", "run-1"), reason="<script>alert(1)</script>")
    page = Page("log", "bucket", "all")
    page.story.add(2026, 0, leaf, None)
    text = page.html().decode()
    assert "reason: &lt;script&gt;alert(1)&lt;/script&gt;" in text
    assert "<script>" not in text
