"""The order of services by what each comes after."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.trains.order import DependencyError, cycles, in_order


@st.composite
def graphs(draw: st.DrawFn) -> dict[str, list[str]]:
    """A graph without circles, its services in any order."""
    names = [f"s{number}" for number in range(draw(st.integers(0, 9)))]
    after = {
        name: draw(st.lists(st.sampled_from(names[:at]), unique=True)) if at else []
        for at, name in enumerate(names)
    }
    return {name: after[name] for name in draw(st.permutations(names))}


@given(graphs())
def test_an_order_has_each_service_once_behind_all_that_it_comes_after(after: dict[str, list[str]]) -> None:
    order = in_order(after)
    assert sorted(order) == sorted(after)
    assert all(order.index(other) < order.index(name) for name, others in after.items() for other in others)
    assert cycles(after) == []


@given(st.lists(st.integers(0, 9), unique=True))
def test_services_without_dependencies_keep_the_order_of_the_file(numbers: list[int]) -> None:
    names = [f"s{number}" for number in numbers]
    assert in_order(dict.fromkeys(names, ())) == tuple(names)


@given(st.dictionaries(st.sampled_from("abcdef"), st.lists(st.sampled_from("abcdef"), unique=True)))
def test_a_graph_has_an_order_or_circles_that_are_really_there(after: dict[str, list[str]]) -> None:
    after = {name: [other for other in others if other in after] for name, others in after.items()}
    found = cycles(after)
    for circle in found:
        assert circle[0] == circle[-1]
        assert all(other in after[name] for name, other in pairwise(circle))
    if found:
        with pytest.raises(DependencyError, match=" → ".join(found[0])):
            in_order(after)
    else:
        assert len(in_order(after)) == len(after)


def test_a_service_after_one_that_is_not_there_has_no_order() -> None:
    with pytest.raises(DependencyError, match="b comes after a, which the train doesn't have"):
        in_order({"b": ["a"]})
