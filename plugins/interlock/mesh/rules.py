"""From a rule to the conditions that Envoy evaluates, with what Istio drops on the way.

Follows pilot/pkg/security/authz/model (model.go, generator.go). On a TCP port fields of HTTP can't be
evaluated: in an ALLOW policy they drop the *whole rule*, so less is allowed; in any other they drop *only
that field*, so that more is denied. A value that can't be read does the same. An unknown `when` key drops the
rule in both.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache

from interlock.mesh import matchers
from interlock.mesh.authorization_policy import Action, AuthorizationPolicy, Rule, Values
from interlock.mesh.condition import All, Condition, Not, Some, Text
from interlock.mesh.leaf import Address, Peer, Port, ServerName, TokenClaim, UrlPath
from interlock.mesh.matchers import DroppedError
from interlock.mesh.path import is_template
from interlock.mesh.settings import MeshSettings
from interlock.mesh.trust_domain import expanded, with_aliases


@dataclass(frozen=True, slots=True)
class Compiled:
    """A rule as Envoy evaluates it.

    Attributes:
        condition: What it matches; None if Istio drops the rule.
        dropped: What Istio dropped of it, for people.
        operations: The parts of the condition of which one must match, ...
        sources: ... and those of which one more must.
    """

    condition: Condition | None
    dropped: tuple[str, ...] = ()
    operations: tuple[Condition, ...] = ()
    sources: tuple[Condition, ...] = ()


def compiled(policy: AuthorizationPolicy, rule: Rule, tcp: bool, settings: MeshSettings) -> Compiled:
    """The conditions of one rule.

    Args:
        policy: The policy that the rule is of: its action and namespace matter.
        rule: The rule.
        tcp: Whether it is for a connection that isn't taken for HTTP.
        settings: The mesh's trust domains and path normalization.
    """
    return _compiled(policy.action, policy.namespace, rule, tcp, settings)


@lru_cache(maxsize=65536)
def _compiled(action: Action, namespace: str, rule: Rule, tcp: bool, settings: MeshSettings) -> Compiled:
    compiler = _Compiler(action, namespace, tcp, settings, [])
    try:
        base = [(values, compiler.attribute(values.key)) for values in rule.conditions if _known(values)]
        principals, permissions = (
            [compiler.all_of(pair) for pair in base if pair[1].principal is wanted]
            for wanted in (True, False)
        )
        operations = [
            All((*(compiler.all_of((v, compiler.operation(v.key))) for v in group), *permissions))
            for group in rule.operations or ((),)
        ]
        sources = [
            All((*(compiler.all_of((v, compiler.source(v.key))) for v in group), *principals))
            for group in rule.sources or ((),)
        ]
    except DroppedError as dropped:
        return Compiled(None, (f"the whole rule: {dropped}",))
    condition = All((Some(tuple(operations)), Some(tuple(sources))))
    return Compiled(condition, tuple(compiler.dropped), tuple(operations), tuple(sources))


def known_attribute(key: str) -> bool:
    """Whether Istio knows a `when` key."""
    return key in _ATTRIBUTES or key.startswith(_PREFIXES)


def _known(values: Values) -> bool:
    """Raises for a key that Istio doesn't know; else whether there is anything to match."""
    if not known_attribute(values.key):
        raise DroppedError(f"unknown attribute {values.key!r}")
    return bool(values)


_PREFIXES = ("experimental.envoy.filters.", "request.headers", "request.auth.claims")
_ATTRIBUTES = {
    "destination.ip",
    "destination.port",
    "connection.sni",
    "source.ip",
    "remote.ip",
    "source.namespace",
    "source.trustDomain",
    "source.serviceAccount",
    "source.principal",
    "request.auth.principal",
    "request.auth.audiences",
    "request.auth.presenter",
}
_SOURCES = {
    "ipBlocks": "source.ip",
    "remoteIpBlocks": "remote.ip",
    "namespaces": "source.namespace",
    "trustDomains": "source.trustDomain",
    "serviceAccounts": "source.serviceAccount",
    "requestPrincipals": "request.auth.principal",
    "principals": "source.principal",
}
_OPERATIONS = {"hosts": "hosts", "methods": "methods", "paths": "paths", "ports": "destination.port"}


@dataclass(frozen=True, slots=True)
class _Attribute:
    """How one key's values become conditions.

    Attributes:
        one: The condition of one value.
        principal: Whether it is about the source.
        http: Whether it needs HTTP.
    """

    one: Callable[[str], Condition]
    principal: bool
    http: bool = False


@dataclass(slots=True)
class _Compiler:
    action: Action
    namespace: str
    tcp: bool
    settings: MeshSettings
    dropped: list[str]

    def source(self, name: str) -> _Attribute:
        return self.attribute(_SOURCES[name])

    def operation(self, name: str) -> _Attribute:
        return self.attribute(_OPERATIONS[name])

    def attribute(self, key: str) -> _Attribute:
        """How the values of a `when` key, or of a field that is the same as one, are matched."""
        if key in ("source.ip", "remote.ip", "destination.ip"):
            return _Attribute(lambda v: Address(matchers.network(v), key), principal=key != "destination.ip")
        simple: dict[str, _Attribute] = {
            "destination.port": _Attribute(lambda v: Port(matchers.port(v)), principal=False),
            "connection.sni": _Attribute(lambda v: ServerName(matchers.text(v)), principal=False),
            "source.namespace": _Attribute(lambda v: Peer(matchers.namespace(v)), principal=True),
            "source.trustDomain": _Attribute(lambda v: Peer(matchers.trust_domain(v)), principal=True),
            "source.serviceAccount": _Attribute(
                lambda v: Peer(matchers.service_account(self.namespace, v)), principal=True
            ),
            "source.principal": _Attribute(lambda v: Peer(matchers.principal(v)), principal=True),
            "request.auth.principal": _Attribute(matchers.request_principal, principal=True, http=True),
            "request.auth.audiences": self._claim(("aud",)),
            "request.auth.presenter": self._claim(("azp",)),
            "hosts": _Attribute(lambda v: matchers.header(":authority", v, True), principal=False, http=True),
            "methods": _Attribute(lambda v: matchers.header(":method", v, False), principal=False, http=True),
            "paths": _Attribute(self._path, principal=False, http=True),
        }
        if key in simple:
            return simple[key]
        if key.startswith("request.auth.claims"):
            path = matchers.nested(key.removeprefix("request.auth.claims"))
            return self._claim(path)
        if key.startswith("request.headers"):
            return _Attribute(
                lambda v: matchers.header(matchers.bracketed(key.removeprefix("request.headers")), v, False),
                principal=True,
                http=True,
            )
        return _Attribute(lambda v: matchers.metadata(key, v), principal=False)

    def _claim(self, path: tuple[str, ...] | None) -> _Attribute:
        def one(value: str) -> Condition:
            if path is None:
                raise DroppedError("the name of a claim must be in brackets")
            return TokenClaim(path, (matchers.text(value),))

        return _Attribute(one, principal=True, http=True)

    def _path(self, value: str) -> Condition:
        found: Text | str = value if is_template(value) else matchers.text(value)
        return UrlPath(found, self.settings.path_normalization)

    def all_of(self, pair: tuple[Values, _Attribute]) -> Condition:
        """One of the values, and none of the values that must not be."""
        values, attribute = pair
        wanted, unwanted = values.values, values.not_values
        if values.key in ("principals", "source.principal"):
            wanted, unwanted = (with_aliases(v, self.settings.trust_domains) for v in (wanted, unwanted))
        elif values.key in ("trustDomains", "source.trustDomain"):
            wanted, unwanted = (expanded(v, self.settings.trust_domains) for v in (wanted, unwanted))
        parts: list[Condition] = []
        if found := self._each(values.key, wanted, attribute):
            parts.append(Some(found))
        if found := self._each(values.key, unwanted, attribute):
            parts.append(Not(Some(found)))
        return All(tuple(parts))

    def _each(self, key: str, values: tuple[str, ...], attribute: _Attribute) -> tuple[Condition, ...]:
        """The conditions of the values; a value that can't be one is dropped, or drops the rule (ALLOW)."""
        found: list[Condition] = []
        for value in values:
            try:
                if attribute.http and self.tcp:
                    raise DroppedError(f"{key} needs HTTP")
                found.append(attribute.one(value))
            except DroppedError as dropped:
                if self.action is Action.ALLOW:
                    raise
                self.dropped.append(f"{key}: {dropped}")
        return tuple(found)
