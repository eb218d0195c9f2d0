"""Which AuthorizationPolicies hold for a workload, and their rules compiled once for all who share them.

Follows `ListAuthorizationPolicies` of pilot/pkg/model/authorization.go: the root namespace's, then those of
the workload's own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from interlock.mesh.authorization_policy import Action, AuthorizationPolicy
from interlock.mesh.request import Request
from interlock.mesh.rule_table import PolicyRule, RuleTable
from interlock.mesh.rules import compiled
from interlock.mesh.settings import MeshSettings
from interlock.mesh.verdict import Answer, Reason
from interlock.mesh.workload import Workload


class PolicyTable:
    """The readable policies among some, compiled for connections that are HTTP or that aren't.

    Attributes:
        rules: Their rules.
        enforced: The bits of the rules that count for an action; for CUSTOM also of policies on trial.
        trials: The bits of each policy on trial, by its `id`.
        refusals: Why an ALLOW policy that counts does not match, by its `id`.
    """

    def __init__(self, policies: Sequence[AuthorizationPolicy], tcp: bool, settings: MeshSettings) -> None:
        """A table of policies; `tcp` if fields of HTTP can't be seen."""
        kept: list[PolicyRule] = []
        self.refusals: dict[int, Reason] = {}
        self.enforced = dict.fromkeys(Action, 0)
        self.trials: dict[int, int] = {}
        for policy in policies:
            if not policy.readable:
                continue
            rules = [compiled(policy, rule, tcp, settings) for rule in policy.rules]
            kept += (
                PolicyRule(policy, index, rule.condition, rule.operations, rule.sources)
                for index, rule in enumerate(rules)
                if rule.condition is not None
            )
            if policy.dry_run:
                self.trials[id(policy)] = 0
            elif policy.action is Action.ALLOW:
                dropped = [f"rule {i} is dropped ({text})" for i, r in enumerate(rules) for text in r.dropped]
                said = f"does not match{'; ' if dropped else ''}{'; '.join(dropped)}"
                said = said if rules else "has no rules, so it allows nothing"
                self.refusals[id(policy)] = Reason(said, policy.ref)
        self.rules = RuleTable(kept)
        for bit, rule in self.rules.rules.items():
            if rule.policy.dry_run:
                self.trials[id(rule.policy)] |= bit
            if not rule.policy.dry_run or rule.policy.action is Action.CUSTOM:
                self.enforced[rule.policy.action] |= bit


@dataclass(frozen=True, slots=True)
class PolicySet:
    """Policies that hold for the same workloads, compiled for one kind of connection.

    Attributes:
        policies: The policies, in the order in which Istio has them.
        tables: The tables that their rules are in.
        unreadable: Those that Istio can't read.
        refusals: What is said if no ALLOW policy that counts matches, of each; empty if there is none.
        trials: Each ALLOW or DENY policy on trial, with the place of its table and its bits there.
    """

    policies: tuple[AuthorizationPolicy, ...]
    tables: tuple[PolicyTable, ...]
    unreadable: tuple[AuthorizationPolicy, ...]
    refusals: tuple[Reason, ...]
    trials: tuple[tuple[AuthorizationPolicy, int, int], ...]

    @classmethod
    def of(cls, policies: Sequence[AuthorizationPolicy], tables: Sequence[PolicyTable]) -> PolicySet:
        """The set of some policies, whose rules are in these tables."""
        known = {key: reason for table in tables for key, reason in table.refusals.items()}
        refusals = [known[id(policy)] for policy in policies if id(policy) in known]
        if refusals:
            refusals.append(Reason("there are ALLOW policies, and none of them matches"))
        trials = {
            key: (place, bits) for place, table in enumerate(tables) for key, bits in table.trials.items()
        }
        return cls(
            policies=tuple(policies),
            tables=tuple(tables),
            unreadable=tuple(policy for policy in policies if not policy.readable),
            refusals=tuple(refusals),
            trials=tuple(
                (policy, *trials[id(policy)])
                for policy in policies
                if id(policy) in trials and policy.action in (Action.ALLOW, Action.DENY)
            ),
        )

    def answers(self, request: Request) -> Answers:
        """What the rules make of a request."""
        return Answers(self, tuple(table.rules.answers(request) for table in self.tables))


@dataclass(frozen=True, slots=True)
class Answers:
    """What the rules of a set make of one request.

    Attributes:
        asked: The set.
        bits: For each of its tables the rules that match, and those that match or may.
    """

    asked: PolicySet
    bits: tuple[tuple[int, int], ...]

    def sure(self, action: Action) -> PolicyRule | None:
        """The first rule that matches; None if none does."""
        return _first(
            next(table.rules.named(sure & table.enforced[action]), None)
            for table, (sure, _) in zip(self.asked.tables, self.bits, strict=True)
        )

    def perhaps(self, action: Action) -> list[PolicyRule]:
        """The rules of which it isn't known whether they match, by name."""
        return _by_name(
            rule
            for table, (sure, maybe) in zip(self.asked.tables, self.bits, strict=True)
            for rule in table.rules.named(maybe & ~sure & table.enforced[action])
        )

    def possible(self, action: Action) -> list[PolicyRule]:
        """The rules that match or may, by name."""
        return _by_name(
            rule
            for table, (_, maybe) in zip(self.asked.tables, self.bits, strict=True)
            for rule in table.rules.named(maybe & table.enforced[action])
        )

    def trials(self) -> list[tuple[AuthorizationPolicy, Answer]]:
        """For each ALLOW or DENY policy on trial whether it matches."""
        return [(policy, _matched(self.bits[place], bits)) for policy, place, bits in self.asked.trials]


def _matched(found: tuple[int, int], bits: int) -> Answer:
    sure, maybe = found
    if sure & bits:
        return Answer.YES
    return Answer.INDETERMINATE if maybe & bits else Answer.NO


def _by_name(rules: Iterable[PolicyRule]) -> list[PolicyRule]:
    return sorted(rules, key=lambda rule: rule.name)


def _first(rules: Iterable[PolicyRule | None]) -> PolicyRule | None:
    return min((rule for rule in rules if rule is not None), key=lambda rule: rule.name, default=None)


@dataclass(frozen=True, slots=True)
class _Group:
    """Policies of a namespace that are for the same workloads, with their places in the namespace's order."""

    places: tuple[int, ...]
    policies: tuple[AuthorizationPolicy, ...]
    tables: dict[bool, PolicyTable] = field(default_factory=dict)

    def table(self, tcp: bool, settings: MeshSettings) -> PolicyTable:
        if tcp not in self.tables:
            self.tables[tcp] = PolicyTable(self.policies, tcp, settings)
        return self.tables[tcp]

    def holds_for(self, workload: Workload) -> bool:
        one = self.policies[0]
        return one.selection.holds_for(workload, one.namespace)


@dataclass(frozen=True, slots=True)
class HeldPolicies:
    """The policies that hold for some workloads; all that have the same share one object."""

    policies: tuple[AuthorizationPolicy, ...]
    groups: tuple[_Group, ...]
    settings: MeshSettings
    sets: dict[bool, PolicySet] = field(default_factory=dict)

    def compiled(self, tcp: bool) -> PolicySet:
        """They, compiled; `tcp` if fields of HTTP can't be seen."""
        if tcp not in self.sets:
            tables = [group.table(tcp, self.settings) for group in self.groups]
            self.sets[tcp] = PolicySet.of(self.policies, tables)
        return self.sets[tcp]


class PolicyIndex:
    """All AuthorizationPolicies of a mesh, by whom they are for."""

    def __init__(self, policies: Mapping[str, Sequence[AuthorizationPolicy]], settings: MeshSettings) -> None:
        """An index of the policies of each namespace, oldest first."""
        self._settings = settings
        self._groups = {namespace: _grouped(found) for namespace, found in policies.items()}
        self._of_workload: dict[int, tuple[Workload, HeldPolicies]] = {}
        self._of_groups: dict[tuple[int, ...], HeldPolicies] = {}

    def of_workload(self, workload: Workload) -> HeldPolicies:
        """The policies that hold for a workload: the root namespace's, then its own's, each oldest first."""
        known = self._of_workload.get(id(workload))
        if known is not None:
            return known[1]
        namespaces = dict.fromkeys((self._settings.root_namespace, workload.namespace))
        found = [
            [group for group in self._groups.get(namespace, ()) if group.holds_for(workload)]
            for namespace in namespaces
        ]
        groups = tuple(group for of_namespace in found for group in of_namespace)
        key = tuple(map(id, groups))
        if key not in self._of_groups:
            policies = tuple(policy for of_namespace in found for policy in _in_order(of_namespace))
            self._of_groups[key] = HeldPolicies(policies, groups, self._settings)
        # The workload is kept with it, so that its `id` stays its own.
        self._of_workload[id(workload)] = (workload, self._of_groups[key])
        return self._of_groups[key]


def _grouped(policies: Sequence[AuthorizationPolicy]) -> tuple[_Group, ...]:
    found: dict[object, list[int]] = {}
    for place, policy in enumerate(policies):
        selector = policy.selection.selector
        key = (tuple(sorted(selector.items())) if selector else (), policy.selection.target_refs)
        found.setdefault(key, []).append(place)
    return tuple(_Group(tuple(places), tuple(policies[p] for p in places)) for places in found.values())


def _in_order(groups: Sequence[_Group]) -> Iterable[AuthorizationPolicy]:
    placed = {p: policy for group in groups for p, policy in zip(group.places, group.policies, strict=True)}
    return (placed[place] for place in sorted(placed))
