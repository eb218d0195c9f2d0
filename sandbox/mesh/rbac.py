"""AuthorizationPolicies as the rules of Envoy's RBAC filters, as istiod translates them.

Follows pilot/pkg/security/authz/builder and model: DENY and ALLOW are a filter each. On a TCP port what
needs HTTP drops the whole rule of an ALLOW policy, and only itself from a DENY policy; so does a value that
is no value of its kind. Policies on trial (`istio.io/dry-run`) and AUDIT refuse nothing and are left out.
No provider of outside authorizers is configured, so a CUSTOM policy denies what it matches, as with istiod.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from sandbox.mesh import matchers
from sandbox.mesh.matchers import Rule
from sandbox.mesh.objects import ROOT_NAMESPACE, Objects, Raw, labels, name, namespace, selects

Action = Literal["ALLOW", "DENY"]

_NEVER: Rule = {"permissions": [{"not_rule": {"any": True}}], "principals": [{"not_id": {"any": True}}]}
_TRUE, _FALSE = {"1", "t", "T", "TRUE", "true", "True"}, {"0", "f", "F", "FALSE", "false", "False"}
_FILTERS: dict[str, Sequence[Action]] = {"DENY": ("DENY",), "CUSTOM": ("DENY",), "ALLOW": ("ALLOW",)}


class _RuleDropped(Exception):
    """Istio leaves the whole rule out."""


def rules(objects: Objects, pod: Raw, action: Action, *, tcp: bool) -> Rule:
    """The config of one RBAC filter of a pod: all of its policies of an action.

    Args:
        objects: The live objects.
        pod: Whose sidecar it is for.
        action: Which of the two filters.
        tcp: Whether it is for connections that aren't taken for HTTP.

    Returns:
        Envoy's RBAC config; without rules, which lets everything pass, if there is no such policy.
    """
    found: dict[str, Rule] = {}
    enforced = False
    for policy in _of_pod(objects.authorization_policies, pod):
        spec = policy.get("spec") or {}
        if action not in _FILTERS.get(spec.get("action") or "ALLOW", ()) or _on_trial(policy):
            continue
        enforced = True
        given = spec.get("rules") or []
        for index, rule in enumerate(given):
            try:
                compiled = _Compiler(namespace(policy), action, tcp).rule(rule or {})
            except _RuleDropped:
                continue
            found[f"ns[{namespace(policy)}]-policy[{name(policy)}]-rule[{index}]"] = compiled
        if not given:
            found[f"ns[{namespace(policy)}]-policy[{name(policy)}]-rule[0]"] = _NEVER
    return {"rules": {"action": action, "policies": found}} if enforced else {}


def _of_pod(policies: Iterable[Raw], pod: Raw) -> list[Raw]:
    """Those of the root namespace and of the pod's own that select it."""
    where = {ROOT_NAMESPACE, namespace(pod)}
    found = []
    for policy in policies:
        spec = policy.get("spec") or {}
        selector = (spec.get("selector") or {}).get("matchLabels") or {}
        targeted = spec.get("targetRefs") or spec.get("targetRef")
        if namespace(policy) in where and not targeted and selects(selector, labels(pod)):
            found.append(policy)
    return found


def _on_trial(policy: Raw) -> bool:
    return (policy["metadata"].get("annotations") or {}).get("istio.io/dry-run") in _TRUE


@dataclass(frozen=True)
class _Attribute:
    """How the values of one key become rules: each of them by `one`, or all together by `all_of`."""

    one: Callable[[str], Rule] | None = None
    all_of: Callable[[Sequence[str]], Rule] | None = None
    http: bool = False

    def made(self, values: Sequence[str]) -> list[Callable[[], Rule]]:
        """What makes the rules, which may raise ValueError."""
        if not values:
            return []
        if self.all_of is not None:
            together = self.all_of
            return [lambda: together(values)]
        each = self.one
        assert each is not None
        return [lambda value=value: each(value) for value in values]  # type: ignore[misc]


_Values = tuple[str, Sequence[str], Sequence[str]]
_OPERATION = {"ports": "destination.port", "paths": "path", "methods": "method", "hosts": "host"}
_SOURCE = {
    "ipBlocks": "source.ip",
    "remoteIpBlocks": "remote.ip",
    "namespaces": "source.namespace",
    "trustDomains": "source.trustDomain",
    "serviceAccounts": "source.serviceAccount",
    "requestPrincipals": "request.auth.principal",
    "principals": "source.principal",
}
_PERMISSIONS = ("destination.ip", "destination.port", "connection.sni")


@dataclass(frozen=True)
class _Compiler:
    policy_namespace: str
    action: Action
    tcp: bool

    def rule(self, rule: Raw) -> Rule:
        """A rule of a policy as an entry of `policies`."""
        permissions: list[_Values] = []
        principals: list[_Values] = []
        for when in rule.get("when") or ():
            key, values, unwanted = when["key"], when.get("values") or [], when.get("notValues") or []
            self._attribute(key)  # an unknown key drops the rule, also if there is nothing to compare
            if values or unwanted:
                (permissions if key in _PERMISSIONS else principals).append((key, values, unwanted))
        operations = [_fields(to.get("operation"), _OPERATION) for to in rule.get("to") or ()] or [[]]
        sources = [_fields(one.get("source"), _SOURCE) for one in rule.get("from") or ()] or [[]]
        return {
            "permissions": [
                {"and_rules": {"rules": self._all(own + permissions, "rules") or [{"any": True}]}}
                for own in operations
            ],
            "principals": [
                {"and_ids": {"ids": self._all(own + principals, "ids") or [{"any": True}]}} for own in sources
            ],
        }

    def _all(self, given: list[_Values], plural: Literal["rules", "ids"]) -> list[Rule]:
        found: list[Rule] = []
        for key, values, unwanted in given:
            attribute = self._attribute(key)
            if some := self._some(attribute, values):
                found.append({f"or_{plural}": {plural: some}})
            if none := self._some(attribute, unwanted):
                found.append({f"not_{plural[:-1]}": {f"or_{plural}": {plural: none}}})
        return found

    def _some(self, attribute: _Attribute, values: Sequence[str]) -> list[Rule]:
        found = []
        for make in attribute.made(values):
            try:
                if attribute.http and self.tcp:
                    raise ValueError("HTTP only")
                found.append(make())
            except ValueError as error:
                if self.action == "ALLOW":
                    raise _RuleDropped(str(error)) from error
        return found

    def _attribute(self, key: str) -> _Attribute:
        simple = {
            "destination.ip": _Attribute(matchers.cidr("destination_ip")),
            "destination.port": _Attribute(matchers.port),
            "connection.sni": _Attribute(lambda value: {"requested_server_name": matchers.text(value)}),
            "source.ip": _Attribute(matchers.cidr("direct_remote_ip")),
            "remote.ip": _Attribute(matchers.cidr("remote_ip")),
            "source.namespace": _Attribute(matchers.source_namespace),
            "source.trustDomain": _Attribute(matchers.trust_domain),
            "source.serviceAccount": _Attribute(matchers.service_account(self.policy_namespace)),
            "source.principal": _Attribute(matchers.principal),
            "request.auth.principal": _Attribute(all_of=matchers.request_principals, http=True),
            "request.auth.audiences": _Attribute(all_of=matchers.claims("aud"), http=True),
            "request.auth.presenter": _Attribute(all_of=matchers.claims("azp"), http=True),
            "path": _Attribute(matchers.path, http=True),
            "method": _Attribute(lambda value: matchers.header(":method", value), http=True),
            "host": _Attribute(
                lambda value: matchers.header(":authority", value, ignore_case=True), http=True
            ),
        }
        if key in simple:
            return simple[key]
        if key.startswith("request.headers"):
            return _Attribute(lambda value: matchers.request_header(key)(value), http=True)
        if key.startswith("request.auth.claims"):
            return _Attribute(all_of=lambda values: matchers.claim_of(key)(values), http=True)
        raise _RuleDropped(f"unknown attribute {key}")


def _fields(given: Raw | None, keys: dict[str, str]) -> list[_Values]:
    """The fields of a source or an operation, with those of their opposites (`notPorts`)."""
    found = []
    for field, key in keys.items():
        wanted = (given or {}).get(field) or []
        unwanted = (given or {}).get(f"not{field[0].upper()}{field[1:]}") or []
        if wanted or unwanted:
            found.append((key, wanted, unwanted))
    return found
