"""The items of the mesh, and what would mend them.

What would mend one is not worked out by rules of its own: candidates are applied to the objects, and the
first that the evaluator then finds good is the fix. So a manifest is never shown that an older or another
policy would make useless.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Final

import yaml

from interlock.manifest import Manifest
from interlock.mesh.destination_rule import DestinationRule
from interlock.mesh.injection import INJECT, NAMESPACE_INJECTION
from interlock.mesh.label_selector import LabelSelector
from interlock.mesh.reading import selects
from interlock.mesh.traffic import Security
from interlock.mesh.verdict import Answer
from interlock.onboarding.applying import together
from interlock.onboarding.facts import Facts
from interlock.onboarding.found import Done, Fix, Found, Missing, NotChecked, Rule
from interlock.onboarding.mesh import (
    Look,
    World,
    authorized,
    calling,
    injected,
    mesh_facts,
    refused,
    ruled,
    scraped,
    strict,
)
from interlock.onboarding.pods import free_name, new, partial, pod_labels, selector
from interlock.onboarding.surroundings import new_service, services_of

RESTARTED: Final = "kubectl.kubernetes.io/restartedAt"
"""The annotation by which `kubectl rollout restart` has all pods of a workload made anew."""

_SPIFFE: Final = "spiffe://"

Candidates = Callable[[Facts], Iterable[Sequence[Manifest]]]


def _rule(
    id: str,
    look: Callable[[World], Look],
    how: str,
    candidates: Candidates,
    *,
    kind: str = "",
    ends: Callable[[World], Iterable[str]] = lambda world: (),
) -> Rule:
    """The rule of an item.

    Args:
        id: The item's.
        look: What the evaluator says of it.
        how: What the fix does.
        candidates: What may mend it.
        kind: Of what may be in the way.
        ends: Whose calls, which were let in lately, the fix would end.
    """

    def judge(facts: Facts) -> Found:
        world = World.of(facts)
        now = look(world)
        if now.answer is Answer.YES:
            return Done(now.said)
        if now.answer is Answer.INDETERMINATE:
            return NotChecked(now.said)
        fix = _mend(facts, look, candidates)
        if fix is None:
            named = ", ".join(str(one) for one in _policies(facts, kind))
            what = f"change {named}, which others may need" if named else "change the object that is named"
            return Missing(now.said, Fix(f"No manifest for this service alone mends it: {what}"))
        ended = ", ".join(dict.fromkeys(ends(world)))
        warning = f". It ends calls that were let in lately: those of {ended}" if ended else ""
        return Missing(now.said, Fix(f"{how}{warning}", tuple(fix)))

    return Rule(id, judge)


def _mend(facts: Facts, look: Callable[[World], Look], candidates: Candidates) -> Sequence[Manifest] | None:
    """The first candidate that the evaluator finds good; without a sidecar it comes with one."""
    before: list[Sequence[Manifest]] = [()]
    if look is not injected and injected(World.of(facts)).answer is Answer.NO:
        inject = _mend(facts, injected, _inject)
        before = [] if inject is None else [inject]
    for first in before:
        for candidate in candidates(facts):
            both = together((*first, *candidate))
            if look(World.of(facts, both)).answer is Answer.YES:
                return both
    return None


def _inject(facts: Facts) -> Iterable[Sequence[Manifest]]:
    workload = facts.workload()
    again = partial(
        workload,
        spec={"template": {"metadata": {"annotations": {RESTARTED: facts.at.isoformat(timespec="seconds")}}}},
    )
    label = partial(workload, spec={"template": {"metadata": {"labels": {INJECT: "true"}}}})
    namespace = new("v1", "Namespace", facts.namespace, "", {"labels": {NAMESPACE_INJECTION: "enabled"}})
    yield (again,)
    yield (label,)
    yield (namespace, again)
    yield (namespace, label)


def _strict(facts: Facts) -> Iterable[Sequence[Manifest]]:
    workload = facts.workload()
    chosen = {"matchLabels": dict(selector(workload))}
    mine, others = _apart(facts, "PeerAuthentication")
    own = new(
        "security.istio.io/v1",
        "PeerAuthentication",
        free_name(facts.service, others),
        facts.namespace,
        spec={"selector": chosen, "mtls": {"mode": "STRICT"}},
    )
    yield (own,)
    captured = {
        "traffic.sidecar.istio.io/includeInboundPorts": "*",
        "traffic.sidecar.istio.io/excludeInboundPorts": "",
    }
    capture = partial(workload, spec={"template": {"metadata": {"annotations": captured}}})
    yield (own, capture)
    # A policy that is older wins, so it is changed; all ports that it names with it.
    for policy in mine:
        named = policy.spec.get("portLevelMtls") or {}
        spec: dict[str, object] = {"mtls": {"mode": "STRICT"}}
        if named:
            spec["portLevelMtls"] = {port: {"mode": "STRICT"} for port in named}
        changed = partial(policy, spec=spec)
        yield (changed,)
        yield (changed, capture)


def _authorize(facts: Facts) -> Iterable[Sequence[Manifest]]:
    workload = facts.workload()
    world = World.of(facts)
    rules = _rules(list(world.principals))
    mine, others = _apart(facts, "AuthorizationPolicy")
    allowing = [one for one in mine if one.spec.get("action", "ALLOW") == "ALLOW"]
    # Rules that are there may say more than who calls, so they are only added to where that is enough.
    if lacking := _rules(refused(world)):
        for policy in allowing:
            yield (partial(policy, spec={"rules": [*(policy.spec.get("rules") or ()), *lacking]}),)
    name = free_name(facts.service, (*others, *(one for one in mine if one not in allowing)))
    spec = {"selector": {"matchLabels": dict(selector(workload))}, "action": "ALLOW", "rules": rules}
    own = new("security.istio.io/v1", "AuthorizationPolicy", name, facts.namespace, spec=spec)
    yield (own,)
    for policy in allowing:
        yield (partial(policy, spec={"rules": rules}),)
        yield (own, partial(policy, spec={"rules": rules}))


def _rules(principals: list[str]) -> list[dict[str, object]]:
    return [{"from": [{"source": {"principals": principals}}]}] if principals else []


def _destination(facts: Facts) -> Iterable[Sequence[Manifest]]:
    workload = facts.workload()
    services = services_of(facts, workload)
    made = None if services else new_service(facts, workload)
    name = services[0].name if services else facts.service
    domain = mesh_facts(facts).settings.cluster_domain
    policy = {"tls": {"mode": "ISTIO_MUTUAL"}}
    host = f"{name}.{facts.namespace}.svc.{domain}"
    rules = _named(facts, "DestinationRule")
    others = [one for one in rules if DestinationRule.of(one.raw, domain).host != host]
    own = new(
        "networking.istio.io/v1",
        "DestinationRule",
        free_name(facts.service, others),
        facts.namespace,
        spec={"host": host, "trafficPolicy": policy},
    )
    first = () if made is None else (made,)
    yield (*first, own)
    for one in rules:
        if one not in others:
            yield (*first, partial(one, spec={"trafficPolicy": policy}))
            yield (*first, own, partial(one, spec={"trafficPolicy": policy}))


def _scrape(facts: Facts) -> Iterable[Sequence[Manifest]]:
    asked = {"prometheus.io/scrape": "true", "prometheus.istio.io/merge-metrics": "true"}
    workload = facts.workload()
    for notes in ({RESTARTED: facts.at.isoformat(timespec="seconds")}, asked):
        yield (partial(workload, spec={"template": {"metadata": {"annotations": notes}}}),)


def _in_the_clear(world: World) -> Iterator[str]:
    return (str(one.source) for one in calling(world) if one.security is Security.NONE)


def _not_named(world: World) -> Iterator[str]:
    found = (one.source for one in calling(world))
    return (str(one) for one in found if one.principal.removeprefix(_SPIFFE) not in world.principals)


def _authorization(facts: Facts) -> Found:
    """As the rule says; but who calls it is for its owner to say, and silence would lock out all."""
    found = _AUTHORIZATION.judge(facts)
    if "callers" in facts.file.model_fields_set or not isinstance(found, Missing):
        return found
    names = set()
    for one in calling(World.of(facts)):
        match one.source.principal.removeprefix(_SPIFFE).split("/"):
            case [_, "ns", namespace, "sa", account]:
                names.add(account if namespace == facts.namespace else f"{namespace}/{account}")
    text = yaml.safe_dump({"callers": sorted(names)}, default_flow_style=None)
    what = "Say in its file who calls it, and the manifest is here; that these do was seen lately"
    return Missing(found.said, Fix(what, (), text, f"include/services/{facts.service}.yaml"))


_AUTHORIZATION: Final = _rule(
    "mesh.authorization",
    authorized,
    "Let those call it whom the service's file names (callers), and nobody else",
    _authorize,
    kind="AuthorizationPolicy",
    ends=_not_named,
)

RULES: Final = (
    _rule("mesh.injection", injected, "Have the sidecar injected; its pods are made anew", _inject),
    _rule(
        "mesh.strict",
        strict,
        "Let its ports take mTLS alone",
        _strict,
        kind="PeerAuthentication",
        ends=_in_the_clear,
    ),
    Rule("mesh.authorization", _authorization),
    _rule("mesh.destination-rule", ruled, "Have its clients send mTLS", _destination),
    _rule("monitoring.scraped", scraped, "Point Prometheus at its sidecar; its pods are made anew", _scrape),
)


def _named(facts: Facts, kind: str) -> list[Manifest]:
    """The objects of a kind in the namespace."""
    found = mesh_facts(facts).objects
    return [one for one in found if one.kind == kind and one.namespace == facts.namespace]


def _policies(facts: Facts, kind: str) -> list[Manifest]:
    """The policies of a kind in the namespace that are for the service's pods, though not for them alone."""
    labels = pod_labels(facts.workload())
    return [one for one in _named(facts, kind) if selects(_chosen(one), labels)]


def _apart(facts: Facts, kind: str) -> tuple[list[Manifest], list[Manifest]]:
    """The policies of a kind in the namespace that are for the service's pods alone, and all others.

    One without a selector is for others, too: for those that come later.
    """
    own = LabelSelector.of(facts.workload().spec.get("selector"))
    here = (one for one in World.of(facts).mesh.workloads if one.namespace == facts.namespace)
    strangers = [one.labels for one in here if not own.matches(one.labels)]
    policies = _policies(facts, kind)
    mine = [p for p in policies if _chosen(p) and not any(selects(_chosen(p), one) for one in strangers)]
    return mine, [one for one in _named(facts, kind) if one not in mine]


def _chosen(policy: Manifest) -> Mapping[str, str]:
    return (policy.spec.get("selector") or {}).get("matchLabels") or {}
