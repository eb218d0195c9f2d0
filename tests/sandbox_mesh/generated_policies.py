"""Generated sets of policies, and the requests that are tried under them."""

from __future__ import annotations

from random import Random
from typing import Any

from tests.mesh.mesh_objects import peer, policy, rule
from tests.sandbox_mesh.mesh_calls import NETWORK

Raw = dict[str, Any]
ROOT = "istio-system"

_PRINCIPALS = (
    "*",
    "cluster.local/ns/shop/sa/web",
    "cluster.local/ns/far/sa/*",
    "*/sa/cart",
    "cluster.local/ns/shop/sa/we",
)
_SOURCES: dict[str, tuple[str, ...]] = {
    "principals": _PRINCIPALS,
    "notPrincipals": _PRINCIPALS,
    "namespaces": ("shop", "f*", "sho"),
    "notNamespaces": ("far",),
    "serviceAccounts": ("web", "far/cart", "shop/web"),
    "trustDomains": ("cluster.local", "*", "other", "cluster.*"),
    "ipBlocks": ("127.20.0.0/16", f"{NETWORK}.2", f"{NETWORK}.9/31", "bad"),
    "notIpBlocks": (f"{NETWORK}.3",),
    "remoteIpBlocks": ("10.0.0.0/8", "127.20.0.0/16"),
    "requestPrincipals": ("*", "issuer/subject"),
    "notRequestPrincipals": ("*",),
}
_OPERATIONS: dict[str, tuple[str, ...]] = {
    "methods": ("GET", "P*", "*"),
    "notMethods": ("GET", "POST"),
    "paths": ("/a", "/a/*", "*/b", "/{*}/b", "/{**}", "/a/b/"),
    "notPaths": ("/a", "/admin*"),
    "hosts": ("api.shop*", "*.local", "API.shop", "*"),
    "notHosts": ("api.shop",),
    "ports": ("8080", "9090", "7070", "99999"),
    "notPorts": ("8080", "6060"),
}
_CONDITIONS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("request.headers[x-team]", ("red", "b*", "*e")),
    ("source.ip", (f"{NETWORK}.2", f"{NETWORK}.0/30")),
    ("remote.ip", ("10.1.0.0/16", f"{NETWORK}.9")),
    ("destination.ip", (f"{NETWORK}.1", "10.0.0.1")),
    ("destination.port", ("8080", "7070")),
    ("connection.sni", ("outbound_.80_*", "*", "elsewhere")),
    ("source.namespace", ("shop", "*a*")),
    ("source.principal", _PRINCIPALS),
    ("source.serviceAccount", ("shop/web",)),
    ("request.auth.claims[group]", ("admin",)),
    ("request.auth.audiences", ("api",)),
    ("no.such.key", ("x",)),
)
_MODES = ("STRICT", "PERMISSIVE", "DISABLE", "UNSET", None)


def policy_set(chosen: Random) -> list[Raw]:
    """Policies and rules of one set, no two alike in name."""
    found = [_peer(chosen, index) for index in range(chosen.choice((0, 1, 1, 2, 3, 4)))]
    found += [_policy(chosen, index) for index in range(chosen.choice((0, 1, 1, 2, 3)))]
    return found + [_rule(chosen, index) for index in range(chosen.choice((0, 0, 1, 2)))]


def _peer(chosen: Random, index: int) -> Raw:
    narrow = chosen.random() < 0.5
    ports = chosen.sample((8080, 9090, 7070, 6060), chosen.randint(0, 3)) if narrow else []
    return peer(
        chosen.choice(_MODES),
        namespace=chosen.choice(("shop", "shop", ROOT)),
        name=f"peer{index}",
        day=chosen.randint(1, 3),
        app=chosen.choice(("api", "api", "web")) if narrow else None,
        ports={str(port): chosen.choice(_MODES[:4]) for port in ports} or None,
    )


def _policy(chosen: Random, index: int) -> Raw:
    rules = [_policy_rule(chosen) for _ in range(chosen.choice((0, 1, 1, 2)))]
    selector = chosen.choice(({}, {}, {"app": "api"}, {"app": "web"}))
    more: Raw = {"selector": {"matchLabels": selector}} if selector else {}
    return policy(
        chosen.choice(("ALLOW", "ALLOW", "DENY", "AUDIT", None)),
        *rules,
        namespace=chosen.choice(("shop", "shop", "shop", ROOT)),
        name=f"policy{index}",
        notes={"istio.io/dry-run": "true"} if chosen.random() < 0.1 else None,
        **more,
    )


def _policy_rule(chosen: Random) -> Raw:
    found: Raw = {}
    if chosen.random() < 0.6:
        found["from"] = [{"source": _fields(chosen, _SOURCES)} for _ in range(chosen.choice((1, 1, 2)))]
    if chosen.random() < 0.6:
        found["to"] = [{"operation": _fields(chosen, _OPERATIONS)} for _ in range(chosen.choice((1, 1, 2)))]
    if chosen.random() < 0.3:
        key, values = chosen.choice(_CONDITIONS)
        which = chosen.choice(("values", "values", "notValues"))
        found["when"] = [{"key": key, which: chosen.sample(values, chosen.randint(1, len(values)))}]
    return found


def _fields(chosen: Random, known: dict[str, tuple[str, ...]]) -> Raw:
    keys = chosen.sample(sorted(known), chosen.choice((1, 1, 2)))
    return {key: chosen.sample(known[key], min(len(known[key]), chosen.randint(1, 2))) for key in keys}


def _rule(chosen: Random, index: int) -> Raw:
    policy_: Raw = {}
    if chosen.random() < 0.8:
        policy_["tls"] = {
            "mode": chosen.choice(("DISABLE", "ISTIO_MUTUAL", "DISABLE", "ISTIO_MUTUAL", "SIMPLE"))
        }
    if chosen.random() < 0.3:
        settings: Raw = {"port": {"number": chosen.choice((80, 9090))}}
        if chosen.random() < 0.7:
            settings["tls"] = {"mode": chosen.choice(("DISABLE", "ISTIO_MUTUAL"))}
        policy_["portLevelSettings"] = [settings]
    # One place each: two rules for one host are merged, which no sidecar here has to know.
    where = ("shop", "far", ROOT)[index]
    hosts = ("api.shop.svc.cluster.local", "*.shop.svc.cluster.local", "*.local", "*")
    return rule(chosen.choice(hosts), policy_ or None, namespace=where, name=f"rule{index}")


def http_request(chosen: Random) -> tuple[str, str, dict[str, str]]:
    """A method, a path and headers."""
    headers: dict[str, str] = {}
    if chosen.random() < 0.4:
        headers["x-team"] = chosen.choice(("red", "blue", "green"))
    if chosen.random() < 0.3:
        headers["x-forwarded-for"] = chosen.choice(("10.1.2.3", "10.1.2.3, 11.0.0.1"))
    paths = ("/a", "/a/b", "/a/b?q=1", "/x/b", "/", "/a/../admin", "//a", "/%61", "/a/b/")
    return chosen.choice(("GET", "GET", "POST", "PUT")), chosen.choice(paths), headers
