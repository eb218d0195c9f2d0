"""The trains that the benchmark runs."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.graph import DEPTH, Graph, layered


@given(st.integers(12, 300), st.integers(0, 1000))
@settings(deadline=None, max_examples=50)
def test_a_large_train_has_five_services_on_its_longest_path(size: int, seed: int) -> None:
    graph = layered(size, seed)
    assert graph.size == size
    assert graph.depth == DEPTH


@given(st.integers(1, 300), st.integers(0, 1000))
@settings(deadline=None, max_examples=50)
def test_dependencies_stand_before_what_comes_after_them(size: int, seed: int) -> None:
    seen: set[str] = set()
    for service, dependencies in layered(size, seed).after.items():
        assert set(dependencies) <= seen
        assert len(dependencies) <= 3
        seen.add(service)
    assert len(seen) == size


def test_a_small_train_is_one_service_and_then_the_others() -> None:
    assert dict(layered(3, 7).after) == {"s3-1": (), "s3-2": ("s3-1",), "s3-3": ("s3-1",)}


def test_the_same_seed_gives_the_same_train_and_another_one_another() -> None:
    assert layered(50, 7) == layered(50, 7)
    assert layered(50, 7) != layered(50, 8)


def test_the_bound_is_the_longest_path() -> None:
    graph = Graph("x", {"a": (), "b": ("a",), "c": ("a",), "d": ("c",), "e": ()})
    assert graph.bound(30) == 90


def test_an_empty_train_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one service, not 0"):
        layered(0, 7)
