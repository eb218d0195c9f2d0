"""Metrics go to Airflow's exporter under their names, with exactly their tags."""

from __future__ import annotations

from typing import Any

import pytest
from airflow.sdk.observability import stats

from interlock import metrics


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, ...]]:
    """What was sent: the exporter's function, the name, the value if there is one, the tags."""
    found: list[tuple[Any, ...]] = []
    for name in ("incr", "gauge", "timing"):
        monkeypatch.setattr(
            stats, name, lambda *given, name=name, tags: found.append((name, *given, tuple(tags.values())))
        )
    return found


def test_each_kind_goes_to_its_function(sent: list[tuple[Any, ...]]) -> None:
    metrics.count(metrics.TRAIN_ENDED, train="payments", environment="sandbox", verdict="all-new")
    metrics.measure(metrics.LOCK_WAITED, 1500.0, train="payments", environment="sandbox")
    metrics.measure(metrics.SPOOL_WAITING, 3)
    assert sent == [
        ("incr", "interlock.train.ended", ("payments", "sandbox", "all-new")),
        ("timing", "interlock.lock.waited", 1500.0, ("payments", "sandbox")),
        ("gauge", "interlock.spool.waiting", 3, ()),
    ]


def test_a_tag_that_is_not_documented_is_refused(sent: list[tuple[Any, ...]]) -> None:
    with pytest.raises(ValueError, match="has the tags train, environment, not train"):
        metrics.measure(metrics.LOCK_WAITED, 1.0, train="payments")
    assert sent == []
