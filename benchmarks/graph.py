"""The trains that the benchmark runs: layered random graphs, the same for the same seed."""

from __future__ import annotations

import itertools
import random
from collections.abc import Mapping
from dataclasses import dataclass

DEPTH = 5
SMALLEST_DEEP = 12
"""Trains of fewer services have two layers: one service, then all others."""
_MOST_DEPENDENCIES = 3


@dataclass(frozen=True)
class Graph:
    """The services of a train.

    Attributes:
        name: the train's name.
        after: for each service, in an order that the dependencies allow, those that it comes after.
    """

    name: str
    after: Mapping[str, tuple[str, ...]]

    @property
    def size(self) -> int:
        """How many services there are."""
        return len(self.after)

    @property
    def depth(self) -> int:
        """How many services are on the longest path."""
        depths: dict[str, int] = {}
        for service, dependencies in self.after.items():
            depths[service] = 1 + max((depths[one] for one in dependencies), default=0)
        return max(depths.values(), default=0)

    def bound(self, seconds: float) -> float:
        """The critical path: what no schedule can beat if each service takes so many seconds."""
        return self.depth * seconds


def layered(size: int, seed: int) -> Graph:
    """A random graph of DEPTH layers (two for a small train).

    A service comes after one to three of the layers before it, at least one of them from the layer right
    before, so the longest path has a service of each layer.
    """
    if size < 1:
        raise ValueError(f"a train has at least one service, not {size}")
    chance = random.Random(f"{seed}/{size}")
    width = len(str(size))
    names = [f"s{size}-{number:0{width}}" for number in range(1, size + 1)]
    layers = _layers(names, chance)
    after: dict[str, tuple[str, ...]] = {}
    for depth, layer in enumerate(layers):
        earlier = [name for former in layers[:depth] for name in former]
        for name in layer:
            if not earlier:
                after[name] = ()
                continue
            one = chance.choice(layers[depth - 1])
            others = chance.sample(earlier, min(chance.randrange(_MOST_DEPENDENCIES), len(earlier)))
            after[name] = tuple(sorted({one, *others}))
    return Graph(f"bench-{size}", after)


def _layers(names: list[str], chance: random.Random) -> list[list[str]]:
    if len(names) < SMALLEST_DEEP:
        return [names[:1], names[1:]] if len(names) > 1 else [names]
    cuts = [round(len(names) * step / DEPTH) for step in range(DEPTH + 1)]
    # Layers of unequal width, as real trains have them; none is empty.
    slack = max(1, len(names) // (2 * DEPTH)) - 1
    inner = [cut + chance.randint(-slack // 2, slack // 2) for cut in cuts[1:-1]]
    bounds = [0, *inner, len(names)]
    return [names[start:end] for start, end in itertools.pairwise(bounds)]
