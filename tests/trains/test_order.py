"""The order of services by what each comes after."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.trains.order import DependencyError, between, cycles, depends_on, in_order


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


@given(graphs(), st.data())
def test_who_is_between_two_on_board_keeps_the_later_one_waiting(
    after: dict[str, list[str]], data: st.DataObject
) -> None:
    board = set(data.draw(st.lists(st.sampled_from(sorted(after)), unique=True))) if after else set()
    waits = board | between(after, board)
    assert not between(after, board) & board

    def waited_for(name: str) -> set[str]:
        """What has had its turn when that of `name` comes, if all others are skipped at once."""
        direct = [other for other in after[name] if other in waits]
        return {*direct, *(further for other in direct for further in waited_for(other))}

    for name in board:
        assert depends_on(after, name) & board <= waited_for(name)


@pytest.mark.parametrize(
    ("board", "expected"),
    [("ac", {"b"}), ("a", set()), ("bc", set()), ("abc", set()), ("ad", {"b", "c"}), ("", set())],
)
def test_only_who_stands_between_two_on_board_has_a_turn(board: str, expected: set[str]) -> None:
    assert between({"a": [], "b": ["a"], "c": ["b"], "d": ["c"]}, board) == expected
