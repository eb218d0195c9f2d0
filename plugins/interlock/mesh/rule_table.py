"""Many rules asked at once: a table with a column for each thing that rules ask about.

An authorization rule matches if one of its operations does and one of its sources. Each of these
alternatives is a conjunction of demands ("one of these principals", "none of these paths"). The answers of
all alternatives of all rules stand in two whole numbers, a bit for each: those that match, and those that
match or may. A column knows which alternatives each value of a request leaves standing; it works that out
once for a value. A request then costs one look and one `and` a column, however many rules there are. What
the table answers is what `Condition.matches` answers for each rule.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field

from interlock.mesh.authorization_policy import AuthorizationPolicy
from interlock.mesh.condition import All, Condition, Leaf, Not, Some
from interlock.mesh.request import Request
from interlock.mesh.verdict import Answer


@dataclass(frozen=True, slots=True)
class PolicyRule:
    """One rule of a policy, as Envoy evaluates it.

    Attributes:
        policy: The policy.
        index: The rule's index in it.
        condition: What it matches: one of the operations, and one of the sources.
        operations: Those, each a conjunction.
        sources: Those, each a conjunction.
    """

    policy: AuthorizationPolicy
    index: int
    condition: Condition
    operations: tuple[Condition, ...]
    sources: tuple[Condition, ...]

    @property
    def name(self) -> str:
        """Envoy's name of the rule; it takes the first that matches in the order of these names."""
        return f"ns[{self.policy.namespace}]-policy[{self.policy.name}]-rule[{self.index}]"

    def unknowns(self, request: Request) -> tuple[str, ...]:
        """What would have to be known of the request, for people."""
        return tuple(dict.fromkeys(self.condition.unknowns(request)))


@dataclass(slots=True)
class _Column:
    """One demand of each alternative that has any about the same topics; those without one stand.

    Attributes:
        leaves: A condition for each topic, which takes its part of a request.
        negated: Whether the demand is that none of the conditions is fulfilled, not one.
        asking: The alternatives with a demand.
        conditions: The conditions of all demands, each with the alternatives that it is of.
        exact: The alternatives of those that one value alone fulfils, by that value.
        others: The conditions that several values may fulfil.
        known: What was worked out: the alternatives that stand, and those that may.
    """

    leaves: tuple[Leaf, ...]
    negated: bool
    asking: int = 0
    conditions: dict[Condition, int] = field(default_factory=dict)
    exact: dict[Hashable, int] = field(default_factory=dict)
    others: dict[Condition, int] = field(default_factory=dict)
    known: dict[Hashable, tuple[int, int]] = field(default_factory=dict)

    def add(self, conditions: Sequence[Condition], alternative: int) -> None:
        self.asking |= alternative
        for condition in conditions:
            self.conditions[condition] = self.conditions.get(condition, 0) | alternative
            only = condition.only if isinstance(condition, Leaf) else None
            if only is None:
                self.others[condition] = self.others.get(condition, 0) | alternative
            else:
                self.exact[only] = self.exact.get(only, 0) | alternative

    def answers(self, request: Request, every: int) -> tuple[int, int]:
        """Which of all alternatives stand, and which may."""
        parts = tuple(leaf.part(request) for leaf in self.leaves)
        found = self.known.get(parts)
        if found is None:
            self.known[parts] = found = self._worked_out(parts, request, every & ~self.asking)
        return found

    def _worked_out(self, parts: tuple[object, ...], request: Request, free: int) -> tuple[int, int]:
        sure, maybe, conditions = 0, 0, self.conditions
        if None not in parts:
            sure = maybe = self.exact.get(parts[0], 0)
            conditions = self.others
        for condition, alternatives in conditions.items():
            answer = condition.matches(request)
            if answer is not Answer.NO:
                maybe |= alternatives
                sure |= alternatives if answer is Answer.YES else 0
        if self.negated:
            sure, maybe = self.asking & ~maybe, self.asking & ~sure
        return free | sure, free | maybe


class RuleTable:
    """Rules, asked at once. Each has a bit, which stands for it in what `answers` gives."""

    def __init__(self, rules: Sequence[PolicyRule]) -> None:
        """A table of rules in any order; their bits go up with their names."""
        self.rules: dict[int, PolicyRule] = {}
        self._columns: dict[Hashable, _Column] = {}
        self._alternatives = self._filled = self._guards = 0
        ordered = sorted(rules, key=lambda rule: rule.name)
        lengths = [max(len(r.operations), len(r.sources)) for r in ordered]
        # A rule has a run of bits, one for each operation, then a guard bit; for sources the same, higher up.
        self._width = sum(lengths) + len(lengths)
        start = 0
        for rule, length in zip(ordered, lengths, strict=True):
            for offset, parts in ((0, rule.operations), (self._width, rule.sources)):
                self._filled |= (1 << length) - 1 << start + offset
                for index, part in enumerate(parts):
                    self._place(part, 1 << start + offset + index)
            self.rules[1 << start + length] = rule
            self._guards |= 1 << start + length
            start += length + 1

    def _place(self, part: Condition, alternative: int) -> None:
        self._alternatives |= alternative
        seen: dict[Hashable, int] = defaultdict(int)
        for negated, conditions in _demands(part):
            leaves = {leaf.topic: leaf for condition in conditions for leaf in _leaves(condition)}
            key = (tuple(leaves), negated)
            # A second demand of the same alternative about the same has a column of its own.
            column = self._columns.setdefault((key, seen[key]), _Column(tuple(leaves.values()), negated))
            column.add(conditions, alternative)
            seen[key] += 1

    def answers(self, request: Request) -> tuple[int, int]:
        """The bits of the rules that match, and of those that match or may."""
        sure = maybe = self._alternatives
        for column in self._columns.values():
            stand, may_stand = column.answers(request, self._alternatives)
            sure &= stand
            maybe &= may_stand
        return self._rules_of(sure), self._rules_of(maybe)

    def _rules_of(self, alternatives: int) -> int:
        """The rules with an operation and a source among the alternatives."""
        # Adding a run full of ones carries into its guard bit exactly if any bit of the run is set.
        carried = alternatives + self._filled
        return carried & carried >> self._width & self._guards

    def named(self, bits: int) -> Iterator[PolicyRule]:
        """The rules of some bits, by name."""
        while bits:
            lowest = bits & -bits
            yield self.rules[lowest]
            bits ^= lowest


def _demands(part: Condition) -> Iterator[tuple[bool, tuple[Condition, ...]]]:
    """The demands of an alternative: one of some conditions, or (negated) none of them."""
    if isinstance(part, All):
        for inner in part.parts:
            yield from _demands(inner)
    else:
        negated, inner = isinstance(part, Not), part.part if isinstance(part, Not) else part
        yield negated, inner.parts if isinstance(inner, Some) else (inner,)


def _leaves(condition: Condition) -> Iterator[Leaf]:
    if isinstance(condition, Leaf):
        yield condition
    elif isinstance(condition, All):
        for part in condition.parts:
            yield from _leaves(part)
