"""How the benchmark counts requests."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import audit

START, END = datetime(2026, 1, 1, 0, 0, tzinfo=UTC), datetime(2026, 1, 1, 1, 0, tzinfo=UTC)


def line(
    number: int,
    verb: str,
    resource: str,
    *,
    minute: int = 30,
    user: str = audit.ACCOUNT,
    agent: str = "python",
) -> str:
    name, _, sub = resource.partition("/")
    return json.dumps(
        {
            "auditID": str(number),
            "verb": verb,
            "user": {"username": user},
            "userAgent": agent,
            "requestURI": f"/api/{resource}?x=1",
            "requestReceivedTimestamp": f"2026-01-01T00:{minute:02}:00.000001Z",
            "objectRef": {"resource": name, **({"subresource": sub} if sub else {})},
        }
    )


def test_requests_are_counted_by_verb_and_resource() -> None:
    lines = [line(1, "get", "deployments"), line(2, "get", "deployments"), line(3, "get", "pods/log")]
    found = audit.requests(lines, START, END, kubectl=False)
    assert found == {"get deployments": 2, "get pods/log": 1}


def test_a_watch_counts_once_however_many_lines_it_leaves() -> None:
    lines = [line(1, "watch", "pods"), line(1, "watch", "pods", minute=40)]
    assert audit.requests(lines, START, END, kubectl=False) == {"watch pods": 1}


def test_what_others_asked_or_at_another_time_is_left_out() -> None:
    lines = [line(1, "get", "pods", user="system:admin"), line(2, "get", "pods")]
    assert audit.requests(lines, END, END, kubectl=False) == {}
    assert audit.requests(lines, START, END, kubectl=False) == {"get pods": 1}


def test_kubectls_requests_are_told_from_the_others() -> None:
    lines = [line(1, "get", "pods"), line(2, "patch", "deployments", agent="kubectl/v1.34 (linux)")]
    assert audit.requests(lines, START, END, kubectl=True) == {"patch deployments": 1}
    assert audit.requests(lines, START, END, kubectl=False) == {"get pods": 1}


def test_rotated_parts_are_read_and_a_line_without_an_end_is_not(tmp_path: Path) -> None:
    (tmp_path / "audit-2026-01-01T00-00-00.log").write_text("1\n")
    (tmp_path / "audit.log").write_text("2\n3")
    assert list(audit.read(tmp_path)) == ["1\n", "2\n"]
