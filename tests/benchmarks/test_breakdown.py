"""Where the benchmark says that the time went."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.breakdown import STEPS, ServiceTimes, critical_path, mean_steps, over_time, percentile

ZERO = datetime(2026, 1, 1, tzinfo=UTC)


def at(seconds: float) -> datetime:
    return ZERO + timedelta(seconds=seconds)


TIMES = ServiceTimes(at(0), at(1), at(3), at(19), at(19.5), at(20), at(38))


def test_the_steps_are_what_each_took_beyond_the_delays() -> None:
    steps = TIMES.steps(delay=15, soak=15)
    assert list(steps.values()) == [1, 2, 1, 1, 3]


def test_steps_and_delays_make_the_whole_time() -> None:
    assert sum(TIMES.steps(delay=15, soak=15).values()) + 30 == 38


def test_the_path_goes_back_from_the_last_service_through_the_latest_dependencies() -> None:
    after = {"a": (), "b": (), "c": ("a", "b"), "d": ("c",), "e": ("a",)}
    ended = {"a": at(10), "b": at(12), "c": at(20), "d": at(30), "e": at(25)}
    assert critical_path(after, ended) == ["b", "c", "d"]


def test_the_mean_is_taken_step_by_step() -> None:
    rows = [dict.fromkeys(STEPS, 1.0), dict.fromkeys(STEPS, 3.0)]
    assert mean_steps(rows) == dict.fromkeys(STEPS, 2.0)


def test_a_percentile_is_one_of_the_values() -> None:
    values = [float(value) for value in range(1, 101)]
    assert percentile(values, 0.5) == 50
    assert percentile(values, 0.99) == 99
    assert percentile(values[:3], 0.99) == 3


@given(st.lists(st.floats(0, 100), min_size=1), st.floats(0.01, 1))
def test_at_least_that_share_is_not_above_the_percentile(values: list[float], share: float) -> None:
    found = percentile(values, share)
    assert sum(value <= found for value in values) >= share * len(values) - 1e-3


def test_there_is_no_percentile_of_nothing() -> None:
    with pytest.raises(ValueError, match="no values"):
        percentile([], 0.5)


def test_a_run_is_shown_in_equal_parts() -> None:
    samples = [(-1.0, 9.0), (0.0, 2.0), (4.9, 4.0), (5.0, 6.0), (10.0, 9.0)]
    assert over_time(samples, 10, parts=2) == [3.0, 6.0]
