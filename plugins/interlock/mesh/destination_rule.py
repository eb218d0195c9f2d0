"""DestinationRule: the TLS that a client uses, and which of several rules a client takes.

Follows `setDestinationRules`, `mergeDestinationRule` and `destinationRule` of pilot/pkg/model (with istiod's
default features), and `SidecarScope.DestinationRule`:

- a client takes the rules of its own namespace first, then of the service's, then of the root namespace, each
  time the most specific host; rules of other namespaces only as far as `exportTo` lets them out;
- rules of one namespace, host and `exportTo` become one: subsets are put together, the oldest top-level
  policy counts;
- a rule with a workloadSelector holds in its own namespace, for the clients that it selects.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from interlock.mesh.host import most_specific, resolved
from interlock.mesh.reading import Problem, labels, mapping, path, selects, text, texts, timestamp
from interlock.mesh.traffic_policy import Subset, TrafficPolicy, subsets
from interlock.mesh.workload import Workload


@dataclass(frozen=True, slots=True)
class DestinationRule:
    """One DestinationRule, or several that Istio makes one of. Build it with `of`.

    Attributes:
        namespace: Its namespace.
        name: Its name.
        created: When it was created, UTC.
        host: The full name it is for; may begin with `*`.
        selector: The labels of the clients it is for; None if for all.
        export_to: The namespaces it is visible in; empty is all.
        policy: Its top-level policy; None if it has none.
        subsets: Its subsets.
        sources: Names of what it was made of.
        problems: What is wrong with it.
    """

    namespace: str
    name: str
    created: datetime
    host: str
    selector: Mapping[str, str] | None
    export_to: frozenset[str]
    policy: TrafficPolicy | None
    subsets: tuple[Subset, ...]
    sources: tuple[str, ...]
    problems: tuple[Problem, ...] = ()

    @classmethod
    def of(cls, raw: Mapping[str, object], cluster_domain: str) -> DestinationRule:
        """The rule of its JSON; what can't be read is among its problems."""
        metadata, spec = mapping(raw.get("metadata")), mapping(raw.get("spec"))
        namespace, name = text(metadata.get("namespace")) or "default", text(metadata.get("name"))
        problems: list[Problem] = []
        given = spec.get("workloadSelector")
        selector = labels(path(given, "matchLabels")) if isinstance(given, Mapping) else None
        policy = TrafficPolicy.of(spec.get("trafficPolicy"), "spec.trafficPolicy", problems)
        found = subsets(spec.get("subsets"), problems)
        if not text(spec.get("host")):
            problems.append(Problem("spec.host", "expected a host"))
        return cls(
            namespace=namespace,
            name=name,
            created=timestamp(metadata.get("creationTimestamp")),
            host=resolved(text(spec.get("host")), namespace, cluster_domain),
            selector=selector,
            export_to=frozenset(texts(spec.get("exportTo"))) if selector is None else frozenset({"."}),
            policy=policy,
            subsets=found,
            sources=(f"{namespace}/{name}",),
            problems=tuple(problems),
        )

    @property
    def ref(self) -> str:
        """`DestinationRule payments/api`; several are joined by `+`."""
        return f"DestinationRule {'+'.join(self.sources)}"

    @property
    def readable(self) -> bool:
        """Whether Istio can read it; one that it can't, it ignores."""
        return not any(problem.undecodable for problem in self.problems)

    @property
    def private(self) -> bool:
        """Whether no other namespace sees it."""
        return len(self.export_to) == 1 and bool(self.export_to & {".", self.namespace})

    @property
    def local(self) -> bool:
        """Whether its own namespace sees it."""
        return not self.export_to or bool(self.export_to & {"*", ".", self.namespace})

    def exported_to(self, namespace: str) -> bool:
        """Whether clients of another namespace see it."""
        return not self.export_to or "*" in self.export_to or namespace in self.export_to

    def merged(self, other: DestinationRule) -> DestinationRule:
        """What Istio makes of this rule and a later one."""
        names = {subset.name for subset in self.subsets}
        added = tuple(subset for subset in other.subsets if subset.name not in names)
        return replace(
            self,
            subsets=self.subsets + added,
            policy=self.policy if self.policy is not None else other.policy,
            sources=self.sources + other.sources,
            problems=self.problems + other.problems,
        )


_Index = dict[str, dict[str, list[DestinationRule]]]


@dataclass(frozen=True, slots=True)
class DestinationRules:
    """All rules of a mesh, indexed by namespace and host. Build it with `of`."""

    root_namespace: str
    local: _Index
    exported: _Index
    root_private: dict[str, list[DestinationRule]]

    @classmethod
    def of(cls, rules: Iterable[DestinationRule], root_namespace: str) -> DestinationRules:
        """The index of some rules."""
        local: _Index = defaultdict(lambda: defaultdict(list))
        exported: _Index = defaultdict(lambda: defaultdict(list))
        root: dict[str, list[DestinationRule]] = defaultdict(list)
        order = sorted(rules, key=lambda r: (r.selector is None, r.created, r.name, r.namespace))
        for rule in order:
            if rule.local:
                _merge(local[rule.namespace][rule.host], rule)
            if not rule.private:
                _merge(exported[rule.namespace][rule.host], rule)
            elif rule.namespace == root_namespace:
                _merge(root[rule.host], rule)
        return cls(root_namespace, local, exported, root)

    def of_client(
        self, client: Workload | None, client_namespace: str, host: str, service_namespace: str
    ) -> DestinationRule | None:
        """The rule that a client takes for a host; None if it takes none.

        Args:
            client: The calling workload; None if only its namespace is known, then rules with a
            workloadSelector
                don't count.
            client_namespace: Its namespace.
            host: The full name of what it calls.
            service_namespace: The namespace of what it calls; empty if it isn't a Service.
        """
        found = self._candidates(client_namespace, host, service_namespace)
        catch_all = None
        for rule in found:
            if rule.selector is None:
                catch_all = rule
            elif (
                client is not None
                and rule.namespace == client_namespace
                and selects(rule.selector, client.labels)
            ):
                return rule
        return catch_all

    def _candidates(self, client_namespace: str, host: str, service_namespace: str) -> list[DestinationRule]:
        if client_namespace != self.root_namespace:
            near = self.local.get(client_namespace, {})
        else:
            near = self.root_private
        if (name := most_specific(host, near)) is not None:
            return near[name]
        for namespace in (service_namespace, self.root_namespace):
            rules = self.exported.get(namespace, {})
            name = most_specific(host, rules)
            seen = [r for r in rules[name] if r.exported_to(client_namespace)] if name is not None else []
            if seen:
                return seen
        return []


def _merge(known: list[DestinationRule], rule: DestinationRule) -> None:
    """As `mergeDestinationRule`: into each rule of the same reach and selector, else beside them."""
    separately = True
    for index, other in enumerate(known):
        separately = True
        if rule.export_to == other.export_to:
            separately = False
        elif not (other.export_to and rule.export_to >= other.export_to):
            continue
        if rule.selector is not None and other.selector is not None and rule.selector != other.selector:
            separately = True
            continue
        if rule.selector == other.selector:
            separately = False
        known[index] = other.merged(rule)
    if separately:
        known.append(rule)
