"""The items of the mesh, and what would mend them.

What would mend one is not worked out by rules of its own: candidates are applied to the objects, and the
first that the evaluator then finds good is the fix. So a manifest is never shown that an older or another
policy would make useless.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from interlock.manifest import Manifest
from interlock.mesh.injection import INJECT, NAMESPACE_INJECTION
from interlock.mesh.reading import selects
from interlock.mesh.verdict import Answer
from interlock.onboarding.applying import together
from interlock.onboarding.facts import Facts
from interlock.onboarding.found import Done, Fix, Found, Missing, NotChecked, Rule
from interlock.onboarding.mesh import Look, World, authorized, injected, mesh_facts, ruled, scraped, strict
from interlock.onboarding.pods import new, partial, pod_labels, selector
from interlock.onboarding.surroundings import new_service, services_of

RESTARTED: Final = "kubectl.kubernetes.io/restartedAt"
"""The annotation by which `kubectl rollout restart` has all pods of a workload made anew."""


Candidates = Callable[[Facts], Iterable[Sequence[Manifest]]]


def _rule(id: str, look: Callable[[World], Look], how: str, candidates: Candidates) -> Rule:
    def judge(facts: Facts) -> Found:
        now = look(World.of(facts))
        if now.answer is Answer.YES:
            return Done(now.said)
        if now.answer is Answer.INDETERMINATE:
            return NotChecked(now.said)
        fix = _mend(facts, look, candidates)
        if fix is None:
            return Missing(now.said, Fix("No single manifest mends it: change the object that is named"))
        return Missing(now.said, Fix(how, tuple(fix)))

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
    own = new(
        "security.istio.io/v1",
        "PeerAuthentication",
        facts.service,
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
    for policy in _policies(facts, "PeerAuthentication"):
        named = policy.spec.get("portLevelMtls") or {}
        spec: dict[str, object] = {"mtls": {"mode": "STRICT"}}
        if named:
            spec["portLevelMtls"] = {port: {"mode": "STRICT"} for port in named}
        changed = partial(policy, spec=spec)
        yield (changed,)
        yield (changed, capture)


def _authorize(facts: Facts) -> Iterable[Sequence[Manifest]]:
    workload = facts.workload()
    principals = list(World.of(facts).principals)
    rules = [{"from": [{"source": {"principals": principals}}]}] if principals else []
    spec = {"selector": {"matchLabels": dict(selector(workload))}, "action": "ALLOW", "rules": rules}
    own = new("security.istio.io/v1", "AuthorizationPolicy", facts.service, facts.namespace, spec=spec)
    yield (own,)
    for policy in _policies(facts, "AuthorizationPolicy"):
        if policy.spec.get("action", "ALLOW") == "ALLOW":
            yield (partial(policy, spec={"rules": rules}),)
            yield (own, partial(policy, spec={"rules": rules}))


def _destination(facts: Facts) -> Iterable[Sequence[Manifest]]:
    workload = facts.workload()
    services = services_of(facts, workload)
    made = None if services else new_service(facts, workload)
    name = services[0].name if services else facts.service
    domain = mesh_facts(facts).settings.cluster_domain
    policy = {"tls": {"mode": "ISTIO_MUTUAL"}}
    own = new(
        "networking.istio.io/v1",
        "DestinationRule",
        facts.service,
        facts.namespace,
        spec={"host": f"{name}.{facts.namespace}.svc.{domain}", "trafficPolicy": policy},
    )
    first = () if made is None else (made,)
    yield (*first, own)
    for one in mesh_facts(facts).objects:
        if one.kind == "DestinationRule" and one.namespace == facts.namespace:
            yield (*first, partial(one, spec={"trafficPolicy": policy}))
            yield (*first, own, partial(one, spec={"trafficPolicy": policy}))


def _scrape(facts: Facts) -> Iterable[Sequence[Manifest]]:
    asked = {"prometheus.io/scrape": "true", "prometheus.istio.io/merge-metrics": "true"}
    workload = facts.workload()
    for notes in ({RESTARTED: facts.at.isoformat(timespec="seconds")}, asked):
        yield (partial(workload, spec={"template": {"metadata": {"annotations": notes}}}),)


RULES: Final = (
    _rule("mesh.injection", injected, "Have the sidecar injected; its pods are made anew", _inject),
    _rule("mesh.strict", strict, "Let its ports take mTLS alone", _strict),
    _rule(
        "mesh.authorization",
        authorized,
        "Let those call it whom the service's file names (callers), and nobody else",
        _authorize,
    ),
    _rule("mesh.destination-rule", ruled, "Have its clients send mTLS", _destination),
    _rule("monitoring.scraped", scraped, "Point Prometheus at its sidecar; its pods are made anew", _scrape),
)


def _policies(facts: Facts, kind: str) -> list[Manifest]:
    """The policies of a kind in the namespace that name the service's pods, or nobody."""
    workload = facts.workload()
    return [
        one
        for one in mesh_facts(facts).objects
        if one.kind == kind
        and one.namespace == facts.namespace
        and selects((one.spec.get("selector") or {}).get("matchLabels") or {}, pod_labels(workload))
    ]
