"""The order in which services move: each behind all that it comes after."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Literal

Edges = Mapping[str, Sequence[str]]
"""The services that each service comes after."""

Scope = Literal["train", "service"]
"""What goes back when a service fails: all that moved, or all but what is verified and independent of it."""


class DependencyError(ValueError):
    """Services can't be put in an order; the message names those that stand in the way."""


def in_order(after: Edges) -> tuple[str, ...]:
    """The names, each behind all that it comes after; else in the order they are given.

    Raises:
        DependencyError: Services wait for each other, or for one that is not there.
    """
    for name, others in after.items():
        if unknown := [other for other in others if other not in after]:
            raise DependencyError(f"{name} comes after {', '.join(unknown)}, which the train doesn't have")
    placed: dict[str, None] = {}
    while len(placed) < len(after):
        ready = (n for n, others in after.items() if n not in placed and all(o in placed for o in others))
        following = next(ready, None)
        if following is None:
            circles = "; ".join(" → ".join(circle) for circle in cycles(after))
            raise DependencyError(f"services wait for each other: {circles}")
        placed[following] = None
    return tuple(placed)


def depends_on(edges: Edges, service: str) -> set[str]:
    """All services that a service depends on, directly or through others."""
    found: set[str] = set()
    open_ends = list(edges.get(service, ()))
    while open_ends:
        name = open_ends.pop()
        if name not in found:
            found.add(name)
            open_ends.extend(edges.get(name, ()))
    return found


def between(edges: Edges, board: Collection[str]) -> set[str]:
    """The services that are not on board and stand between two that are: the later one waits through them."""
    behind = {name for name in edges if depends_on(edges, name) & set(board)}
    before = {other for name in board for other in depends_on(edges, name)}
    return (behind & before) - set(board)


def cycles(after: Edges) -> list[tuple[str, ...]]:
    """Circles in which services wait for each other, `("a", "b", "a")` where a comes after b and b after a.

    Circles that share a service are given once, as one of them; the list is empty if an order exists.
    """
    found: list[tuple[str, ...]] = []
    left = dict(after)
    while True:
        while free := [name for name, names in left.items() if not any(other in left for other in names)]:
            for name in free:
                del left[name]
        if not left:
            return found
        walk = [next(iter(left))]
        while True:
            following = next(other for other in left[walk[-1]] if other in left)
            if following in walk:
                break
            walk.append(following)
        circle = walk[walk.index(following) :]
        first = min(map(list(after).index, circle))
        at = circle.index(list(after)[first])
        circle = circle[at:] + circle[:at]
        found.append((*circle, circle[0]))
        for name in circle:
            del left[name]
