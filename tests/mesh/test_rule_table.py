"""Rules asked at once answer as each of them does; policies of one selector are found together."""

from __future__ import annotations

from itertools import product

import pytest

from interlock.mesh.authorize import policies_for
from interlock.mesh.policy_index import PolicyTable
from interlock.mesh.request import Identity, Request
from interlock.mesh.verdict import Answer
from tests.mesh.mesh_objects import Raw, mesh_of, only, operation, pod, policy, source, when

WEB, OTHER = "cluster.local/ns/shop/sa/web", "cluster.local/ns/a/sa/b"
RULES: list[Raw] = [
    {},
    source(principals=[WEB, "*/sa/y"]),
    source(principals=["*"]),
    source(notPrincipals=[WEB], namespaces=["a", "shop"]),
    source(serviceAccounts=["web"], ipBlocks=["10.0.0.0/8"]),
    source(ipBlocks=["10.0.0.0/8"]) | when("source.ip", "10.0.0.9", "11.0.0.1"),
    source(notIpBlocks=["10.0.0.0/8"], remoteIpBlocks=["10.0.0.9"]),
    source(requestPrincipals=["i/s", "j/*"], notRequestPrincipals=["i/t"]),
    operation(methods=["GET", "P*"], notPaths=["/a"]),
    operation(notMethods=["GET"], hosts=["API", "*.x"]),
    operation(paths=["/a/*", "/{*}/b", "/x{"]),
    operation(ports=["8080"]) | when("request.headers[x]", "v*", notValues=["v2"]),
    when("request.headers[]", "v"),
    when("request.auth.claims[groups]", "dev"),
    when("experimental.envoy.filters.a[b]", "x", "[y]"),
    when("connection.sni", "*.x"),
    {
        "from": [{"source": {"principals": [WEB]}}, {"source": {"ipBlocks": ["11.0.0.0/8"]}}],
        "to": [{"operation": {"methods": ["PUT"]}}, {"operation": {"paths": ["/a"]}}, {"operation": {}}],
    },
    {
        "from": [{"source": {"notPrincipals": [WEB]}}, {"source": {"principals": ["*"]}}],
        "to": [{"operation": {"methods": ["PUT"]}}, {"operation": {"hosts": ["api"], "paths": ["/a"]}}],
    },
]
TOLD = [
    dict(zip(("path", "host", "headers", "claims", "sni", "metadata"), values, strict=True))
    for values in (
        ("/a", "api", {}, {}, "", {}),
        (
            "/a/b?q",
            "y.x",
            {"X": "v1"},
            {"iss": "i", "sub": "s", "groups": ["dev"]},
            "s.x",
            {"envoy.filters.a": {"b": "x"}},
        ),
        (
            "/z",
            "z",
            {"x": "v2"},
            {"iss": "i", "sub": "t", "groups": "dev"},
            "s",
            {"envoy.filters.a": {"b": ["y"]}},
        ),
        (None, None, None, None, None, None),
    )
]
REQUESTS = [
    Request(port, who, source_ip=address, method=method, **told)  # type: ignore[arg-type]
    for port, who, address, method, told in product(
        (8080, 9), ("", WEB, OTHER, Identity.ANY), ("10.0.0.9", "11.0.0.1", None), ("GET", "PUT", None), TOLD
    )
]


@pytest.mark.parametrize("tcp", [False, True], ids=["http", "tcp"])
@pytest.mark.parametrize("action", ["ALLOW", "DENY"])
def test_rules_asked_at_once_answer_as_each_of_them_does(action: str, tcp: bool) -> None:
    mesh = mesh_of(pod(), *(policy(action, rule, name=f"p{i}") for i, rule in enumerate(RULES)))
    table = PolicyTable(policies_for(mesh, only(mesh)), tcp, mesh.settings).rules
    seen = set()
    for request in REQUESTS:
        sure, maybe = table.answers(request)
        for bit, rule in table.rules.items():
            answer = rule.condition.matches(request)
            seen.add(answer)
            assert (bool(sure & bit), bool(maybe & bit)) == (answer is Answer.YES, answer is not Answer.NO)
    assert seen == set(Answer)


def test_policies_that_hold_come_in_istios_order_however_they_select() -> None:
    selectors = ["api", None, "x", "api", None]
    found = [
        policy("ALLOW", name=f"p{i}", **({"selector": {"matchLabels": {"app": app}}} if app else {}))
        for i, app in enumerate(selectors)
    ]
    found.append(policy("DENY", name="p9", namespace="istio-system"))
    mesh = mesh_of(pod(), pod("other-0", labels={"app": "x"}), *reversed(found))
    held = [one.name for one in policies_for(mesh, only(mesh, "api-0"))]
    assert held == ["p9", "p0", "p1", "p3", "p4"]
    assert [one.name for one in policies_for(mesh, only(mesh, "other-0"))] == ["p9", "p1", "p2", "p4"]
