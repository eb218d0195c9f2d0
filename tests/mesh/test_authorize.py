from __future__ import annotations

from typing import Any

import pytest

from interlock.mesh.authorize import Decision, authorize
from interlock.mesh.request import Request
from interlock.mesh.settings import PathNormalization
from interlock.mesh.verdict import Outcome
from tests.mesh.mesh_objects import Raw, mesh_of, only, operation, peer, pod, policy, service, source, when

ALLOW, DENY, OPEN = Outcome.ALLOW, Outcome.DENY, Outcome.INDETERMINATE
CALLER = "cluster.local/ns/shop/sa/web"
ANY: Raw = {}
HTTP = service()
TCP = service(ports=[{"name": "tcp-db", "port": 80, "targetPort": 8080}])


def decided(*objects: Raw, settings: dict[str, Any] | None = None, **request: Any) -> Decision:
    mesh = mesh_of(pod(), *objects, **(settings or {}))
    known: dict[str, Any] = {
        "principal": CALLER,
        "method": "GET",
        "path": "/a",
        "host": "api",
        "source_ip": "10.0.0.9",
    }
    return authorize(mesh, only(mesh), Request(**({"port": 8080} | known | request)))


ACTIONS: list[tuple[str, list[Raw], Outcome, str]] = [
    ("no policy allows", [], ALLOW, ""),
    ("ALLOW with an empty rule allows all", [policy("ALLOW", ANY)], ALLOW, "policy"),
    ("no action is ALLOW", [policy(None, ANY)], ALLOW, "policy"),
    ("ALLOW without rules allows nothing", [policy("ALLOW")], DENY, ""),
    ("an empty spec allows nothing", [policy()], DENY, ""),
    ("ALLOW that doesn't match denies", [policy("ALLOW", source(namespaces=["x"]))], DENY, ""),
    ("DENY with an empty rule denies all", [policy("DENY", ANY)], DENY, "policy"),
    ("DENY without rules denies nothing", [policy("DENY")], ALLOW, ""),
    ("DENY is over ALLOW", [policy("ALLOW", ANY, name="a"), policy("DENY", ANY, name="d")], DENY, "d"),
    ("AUDIT decides nothing", [policy("AUDIT", ANY)], ALLOW, ""),
    ("CUSTOM that matches is open", [policy("CUSTOM", ANY, provider={"name": "x"})], OPEN, "policy"),
    (
        "CUSTOM that doesn't match is not asked",
        [policy("CUSTOM", operation(ports=["9"]), provider={"name": "x"})],
        ALLOW,
        "",
    ),
    (
        "DENY is sure beside CUSTOM",
        [policy("CUSTOM", ANY, name="c"), policy("DENY", ANY, name="d")],
        DENY,
        "d",
    ),
    (
        "ALLOW that denies is sure beside CUSTOM",
        [policy("CUSTOM", ANY, name="c"), policy("ALLOW", name="a")],
        DENY,
        "",
    ),
    ("a policy of another namespace", [policy("DENY", ANY, namespace="other")], ALLOW, ""),
    ("a policy of the root namespace", [policy("DENY", ANY, namespace="istio-system", name="r")], DENY, "r"),
    ("a selector that fits", [policy("DENY", ANY, selector={"matchLabels": {"app": "api"}})], DENY, "policy"),
    ("a selector that doesn't", [policy("DENY", ANY, selector={"matchLabels": {"app": "x"}})], ALLOW, ""),
    (
        "a selector in the root namespace",
        [policy("DENY", ANY, namespace="istio-system", selector={"matchLabels": {"app": "api"}})],
        DENY,
        "policy",
    ),
    (
        "targetRefs don't hold for sidecars",
        [policy("DENY", ANY, targetRefs=[{"kind": "Service", "group": "", "name": "api"}])],
        ALLOW,
        "",
    ),
    (
        "nor with a selector beside them",
        [
            policy(
                "DENY",
                ANY,
                selector={"matchLabels": {"app": "api"}},
                targetRef={"kind": "Service", "group": "", "name": "api"},
            )
        ],
        ALLOW,
        "",
    ),
    ("a DENY on trial", [policy("DENY", ANY, notes={"istio.io/dry-run": "true"})], ALLOW, ""),
    ("the trial is off", [policy("DENY", ANY, notes={"istio.io/dry-run": "False"})], DENY, "policy"),
    (
        "a trial that can't be read is off",
        [policy("DENY", ANY, notes={"istio.io/dry-run": "yes"})],
        DENY,
        "policy",
    ),
    (
        "an ALLOW on trial alone restricts nothing",
        [policy("ALLOW", notes={"istio.io/dry-run": "1"})],
        ALLOW,
        "",
    ),
    ("an unknown action is open", [policy("REFUSE", ANY)], OPEN, ""),
    (
        "but a DENY beside it is sure",
        [policy("REFUSE", ANY, name="r"), policy("DENY", ANY, name="d")],
        DENY,
        "d",
    ),
    ("an unknown attribute drops the rule of a DENY", [policy("DENY", when("source.user", "x"))], ALLOW, ""),
    ("and of an ALLOW", [policy("ALLOW", when("source.user", "x"), ANY)], ALLOW, "policy"),
    ("an empty source is any", [policy("DENY", {"from": [{"source": {}}]})], DENY, "policy"),
    (
        "one source of several",
        [policy("DENY", {"from": [*source(namespaces=["x"])["from"], *source(namespaces=["shop"])["from"]]})],
        DENY,
        "policy",
    ),
    (
        "the fields of a source are all asked",
        [policy("DENY", source(namespaces=["shop"], ipBlocks=["1.1.1.1"]))],
        ALLOW,
        "",
    ),
]


@pytest.mark.parametrize(
    ("objects", "outcome", "by"), [case[1:] for case in ACTIONS], ids=[case[0] for case in ACTIONS]
)
def test_which_policies_decide(objects: list[Raw], outcome: Outcome, by: str) -> None:
    decision = decided(HTTP, *objects)
    assert (decision.outcome, decision.policy.rpartition("/")[2]) == (outcome, by)


def sub(issuer: str, subject: str, **more: object) -> dict[str, Any]:
    return {"claims": {"iss": issuer, "sub": subject, **more}}


MATCHES: list[tuple[Raw, list[dict[str, Any]], list[dict[str, Any]]]] = [
    (source(principals=[CALLER]), [{}], [{"principal": ""}, {"principal": CALLER + "x"}]),
    (source(principals=["*"]), [{}], [{"principal": ""}]),
    (source(principals=["*/sa/web"]), [{}], [{"principal": CALLER + "x"}]),
    (source(principals=["cluster.local/ns/shop/*"]), [{}], [{"principal": "cluster.local/ns/x/sa/web"}]),
    (source(notPrincipals=["*"]), [{"principal": ""}], [{}]),
    (source(notPrincipals=[CALLER]), [{"principal": ""}, {"principal": "cluster.local/ns/x/sa/y"}], [{}]),
    (source(namespaces=["sh*"]), [{}], [{"principal": ""}, {"principal": "cluster.local/ns/ash/sa/web"}]),
    (source(namespaces=["sa"]), [{"principal": "cluster.local/ns/sa/sa/web"}], [{}]),
    (source(notNamespaces=["shop"]), [{"principal": ""}], [{}]),
    (source(serviceAccounts=["web"]), [{}], [{"principal": "cluster.local/ns/x/sa/web"}]),
    (source(serviceAccounts=["x/web"]), [{"principal": "cluster.local/ns/x/sa/web"}], [{}]),
    (source(trustDomains=["cluster.*"]), [{}], [{"principal": ""}]),
    (source(ipBlocks=["10.0.0.0/8"]), [{}], [{"source_ip": "11.0.0.1"}]),
    (source(notIpBlocks=["10.0.0.9"]), [{"source_ip": "10.0.0.8"}], [{}]),
    (source(ipBlocks=["2001:db8::/32"]), [{"source_ip": "2001:db8::7"}], [{}]),
    (
        source(remoteIpBlocks=["192.0.2.0/24"]),
        [
            {"remote_ip": "192.0.2.5"},
            {"headers": {"X-Forwarded-For": "1.1.1.1, 192.0.2.7"}},
            {"source_ip": "192.0.2.1"},
        ],
        [{}, {"headers": {"X-Forwarded-For": "192.0.2.7, 1.1.1.1"}}],
    ),
    (source(requestPrincipals=["*"]), [sub("i", "s")], [{}, {"claims": {"iss": "i"}}]),
    (source(requestPrincipals=["https://i/x/s"]), [sub("https://i/x", "s")], [sub("https://i", "s")]),
    (source(requestPrincipals=["*/s"]), [sub("any", "s")], [sub("any", "ss")]),
    (source(requestPrincipals=["i/*"]), [{"request_principal": "i/any"}], [{"request_principal": "j/any"}]),
    (operation(methods=["GET", "P*"]), [{}, {"method": "PUT"}], [{"method": "DELETE"}, {"method": "get"}]),
    (operation(notMethods=["GET"]), [{"method": "PUT"}], [{}]),
    (
        operation(paths=["/a"]),
        [{}, {"path": "/a?x=/b"}, {"path": "/x/../a"}],
        [{"path": "/a/"}, {"path": "/A"}],
    ),
    (
        operation(paths=["/a/*"]),
        [{"path": "/a/"}, {"path": "/a/b/c"}, {"path": "/a\\b"}],
        [{}, {"path": "/ab"}],
    ),
    (operation(paths=["*/z"]), [{"path": "/x/z"}], [{"path": "/x/z/"}]),
    (operation(paths=["/v/{*}/x"]), [{"path": "/v/1/x"}], [{"path": "/v/1/2/x"}, {"path": "/v//x"}]),
    (operation(paths=["/v/{**}"]), [{"path": "/v/1/2"}, {"path": "/v/"}], [{"path": "/v"}]),
    (operation(hosts=["API"]), [{}, {"host": "aPi"}], [{"host": "api:80"}]),
    (operation(hosts=["*.shop"]), [{"host": "x.SHOP"}], [{}]),
    (operation(ports=["8080"]), [{}], [{"port": 80}]),
    (operation(notPorts=["8080"]), [{"port": 80}], [{}]),
    (
        when("request.headers[X-Team]", "core*"),
        [{"headers": {"x-team": "core-1"}}],
        [{}, {"headers": {"x-team": "x"}}],
    ),
    (when("request.headers[X-Team]", "*"), [{"headers": {"X-TEAM": ""}}], [{}]),
    (
        when("request.headers[X-Team]", notValues=["x"]),
        [{}, {"headers": {"x-team": "y"}}],
        [{"headers": {"x-team": "x"}}],
    ),
    (when("source.ip", "10.0.0.9"), [{}], [{"source_ip": "10.0.0.8"}]),
    (when("remote.ip", "10.0.0.9"), [{}], [{"remote_ip": "1.1.1.1"}]),
    (when("source.namespace", "shop"), [{}], [{"principal": ""}]),
    (when("source.principal", CALLER), [{}], [{"principal": ""}]),
    (when("source.serviceAccount", "shop/web"), [{}], [{"principal": ""}]),
    (when("source.trustDomain", "cluster.local"), [{}], [{"principal": ""}]),
    (when("request.auth.principal", "i/s"), [sub("i", "s")], [{}]),
    (
        when("request.auth.audiences", "me"),
        [{"claims": {"aud": ["you", "me"]}}, {"claims": {"aud": "me"}}],
        [{}],
    ),
    (when("request.auth.presenter", "app"), [{"claims": {"azp": "app"}}], [{}]),
    (
        when("request.auth.claims[groups]", "a*"),
        [{"claims": {"groups": ["b", "ab"]}}],
        [{"claims": {"groups": 1}}, {}],
    ),
    (when("request.auth.claims[a][b]", "c"), [{"claims": {"a": {"b": "c"}}}], [{"claims": {"a": "c"}}]),
    (
        when("request.auth.claims[scope]", "read"),
        [{"claims": {"scope": "write read"}}],
        [{"claims": {"scope": "reads"}}],
    ),
    (
        when("destination.ip", "10.9.0.0/16"),
        [{"destination_ip": "10.9.1.1"}],
        [{"destination_ip": "10.8.1.1"}],
    ),
    (when("destination.port", "8080"), [{}], [{"port": 9}]),
    (when("connection.sni", "*.local"), [{"sni": "api.local"}], [{"principal": ""}, {"sni": "api"}]),
    (
        when("experimental.envoy.filters.network.mysql_proxy[db]", "[t]"),
        [{"metadata": {"envoy.filters.network.mysql_proxy": {"db": ["s", "t"]}}}],
        [{"metadata": {}}, {"metadata": {"envoy.filters.network.mysql_proxy": {"db": "t"}}}],
    ),
]


@pytest.mark.parametrize(("rule", "matching", "others"), MATCHES, ids=[str(case[0])[:70] for case in MATCHES])
def test_what_a_rule_matches(rule: Raw, matching: list[dict[str, Any]], others: list[dict[str, Any]]) -> None:
    for request in matching:
        assert decided(HTTP, policy("DENY", rule), **request).outcome is DENY, request
        assert decided(HTTP, policy("ALLOW", rule), **request).outcome is ALLOW, request
    for request in others:
        assert decided(HTTP, policy("DENY", rule), **request).outcome is ALLOW, request
        assert decided(HTTP, policy("ALLOW", rule), **request).outcome is DENY, request


UNKNOWN = [
    (source(ipBlocks=["10.0.0.0/8"]), {"source_ip": None}, "source.ip"),
    (operation(methods=["GET"]), {"method": None}, "method"),
    (operation(notPaths=["/x"]), {"path": None}, "path"),
    (operation(hosts=["x"]), {"host": None}, "host"),
    (when("request.headers[a]", "b"), {"headers": None}, "header a"),
    (source(requestPrincipals=["*"]), {"claims": None}, "claim iss"),
    (when("connection.sni", "x"), {}, "connection.sni"),
    (when("destination.ip", "10.0.0.1"), {}, "destination.ip"),
    (when("experimental.envoy.filters.a[b]", "x"), {}, "metadata envoy.filters.a[b]"),
]


@pytest.mark.parametrize(("rule", "request_", "missing"), UNKNOWN, ids=[case[2] for case in UNKNOWN])
@pytest.mark.parametrize("action", ["ALLOW", "DENY"])
def test_what_is_not_known_is_named(action: str, rule: Raw, request_: dict[str, Any], missing: str) -> None:
    decision = decided(HTTP, policy(action, rule), **request_)
    assert decision.outcome is OPEN
    assert missing in str(decision.reasons[0])
    decision = decided(HTTP, policy(action, rule, name="open"), policy("DENY", ANY, name="sure"), **request_)
    assert decision.outcome is DENY


TCP_CASES: list[tuple[str, list[Raw], Outcome]] = [
    ("ALLOW with an HTTP field allows nothing", [policy("ALLOW", operation(methods=["GET"]))], DENY),
    ("though the field is negative", [policy("ALLOW", operation(notMethods=["GET"]))], DENY),
    (
        "its other rules still hold",
        [policy("ALLOW", operation(methods=["GET"]), source(namespaces=["shop"]))],
        ALLOW,
    ),
    ("DENY with only HTTP fields denies all", [policy("DENY", operation(methods=["PUT"]))], DENY),
    ("DENY keeps its other fields", [policy("DENY", operation(methods=["PUT"], ports=["9"]))], ALLOW),
    ("DENY of a token denies all", [policy("DENY", source(notRequestPrincipals=["*"]))], DENY),
    ("DENY of a header denies all", [policy("DENY", when("request.headers[a]", "b"))], DENY),
    ("DENY by identity holds", [policy("DENY", source(principals=["x"]))], ALLOW),
    ("ALLOW by port holds", [policy("ALLOW", operation(ports=["8080"]))], ALLOW),
]


@pytest.mark.parametrize(
    ("objects", "outcome"), [case[1:] for case in TCP_CASES], ids=[case[0] for case in TCP_CASES]
)
def test_fields_of_http_on_a_tcp_port(objects: list[Raw], outcome: Outcome) -> None:
    assert decided(TCP, *objects).outcome is outcome
    assert decided(*objects, http=False).outcome is outcome


VALUES: list[tuple[str, Raw, Outcome]] = [
    (
        "a bad address drops the rule of an ALLOW",
        policy("ALLOW", source(ipBlocks=["10.0.0.0/8", "bad"])),
        DENY,
    ),
    ("and widens a DENY", policy("DENY", source(ipBlocks=["bad"])), DENY),
    ("but leaves its other values", policy("DENY", source(ipBlocks=["bad", "1.1.1.1"])), ALLOW),
    ("a bad port drops the rule of an ALLOW", policy("ALLOW", operation(ports=["8080", "70000"])), DENY),
    ("and leaves a DENY its others", policy("DENY", operation(ports=["70000", "9"])), ALLOW),
    ("a template that Envoy refuses is open", policy("DENY", operation(paths=["/{**}/{*}"])), OPEN),
]


@pytest.mark.parametrize(("raw", "outcome"), [case[1:] for case in VALUES], ids=[case[0] for case in VALUES])
def test_values_that_can_t_be_read(raw: Raw, outcome: Outcome) -> None:
    assert decided(HTTP, raw).outcome is outcome


ALIASES = {"trust_domain": "new", "trust_domain_aliases": ("old",)}
TRUST: list[tuple[str, str, str, Outcome]] = [
    ("the new name of an old principal", "old/ns/a/sa/b", "new/ns/a/sa/b", ALLOW),
    ("the old name of a new principal", "new/ns/a/sa/b", "old/ns/a/sa/b", ALLOW),
    ("cluster.local stands for the mesh's", "cluster.local/ns/a/sa/b", "old/ns/a/sa/b", ALLOW),
    ("another domain stays", "other/ns/a/sa/b", "new/ns/a/sa/b", DENY),
    ("a wildcard of the domain", "*ld/ns/a/sa/b", "new/ns/a/sa/b", ALLOW),
    ("what is no full principal stays", "old/ns/a*", "new/ns/a/sa/b", DENY),
]


@pytest.mark.parametrize(
    ("principal", "caller", "outcome"), [c[1:] for c in TRUST], ids=[c[0] for c in TRUST]
)
def test_trust_domain_aliases(principal: str, caller: str, outcome: Outcome) -> None:
    raw = policy("ALLOW", source(principals=[principal]))
    assert decided(HTTP, raw, settings=ALIASES, principal=caller).outcome is outcome


def test_a_certificate_of_a_foreign_trust_domain_is_refused_before_any_policy() -> None:
    foreign = {"principal": "foreign/ns/a/sa/b"}
    assert decided(HTTP, **foreign).outcome is DENY
    assert decided(HTTP, settings={"peer_trust_domains": ("foreign",)}, **foreign).outcome is ALLOW
    assert decided(HTTP, settings={"validate_trust_domain": False}, **foreign).outcome is ALLOW


def test_mtls_is_asked_before_the_policies() -> None:
    allow = policy("ALLOW", source(principals=["*"]))
    assert decided(HTTP, peer("STRICT"), principal="").outcome is DENY
    assert decided(HTTP, peer("STRICT"), allow).outcome is ALLOW
    assert decided(HTTP, peer("DISABLE"), allow).outcome is DENY  # the sidecar sees no identity
    assert decided(HTTP, peer("STRIKT")).outcome is OPEN


def test_no_policy_is_enforced_where_there_is_no_sidecar() -> None:
    mesh = mesh_of(pod(sidecar=False), policy("DENY", ANY))
    decision = authorize(mesh, only(mesh), Request(8080))
    assert decision.outcome is ALLOW
    assert "no policy is enforced" in str(decision.reasons[-1])


@pytest.mark.parametrize("labels", [{"gateway.istio.io/managed": "istio.io-mesh-controller"}])
def test_a_waypoint_is_not_judged(labels: dict[str, str]) -> None:
    mesh = mesh_of(pod(labels=labels), policy("DENY", ANY))
    decision = authorize(mesh, only(mesh), Request(8080))
    assert decision.outcome is OPEN
    assert decision.reasons[-1].ref == "Pod shop/api-0"


def test_the_deciding_rule_is_the_one_that_envoy_would_name() -> None:
    decision = decided(
        HTTP, policy("DENY", operation(ports=["9"]), ANY, name="b"), policy("DENY", ANY, name="c")
    )
    assert (decision.policy, decision.rule) == ("AuthorizationPolicy shop/b", 1)


def test_policies_on_trial_and_audits_are_told_beside_the_decision() -> None:
    trial = {"istio.io/dry-run": "true"}
    decision = decided(
        HTTP,
        policy("DENY", ANY, name="d", notes=trial),
        policy("ALLOW", ANY, name="a", notes=trial),
        policy("AUDIT", ANY, name="log"),
    )
    assert decision.outcome is ALLOW
    assert dict(decision.dry_run) == {"AuthorizationPolicy shop/d": DENY, "AuthorizationPolicy shop/a": ALLOW}
    assert decision.audited == ("AuthorizationPolicy shop/log",)


@pytest.mark.parametrize(
    ("normalization", "path", "outcome"),
    [
        ("BASE", "/x//a", ALLOW),
        ("MERGE_SLASHES", "/x//a", DENY),
        ("MERGE_SLASHES", "/x%2Fa", ALLOW),
        ("DECODE_AND_MERGE_SLASHES", "/x%2Fa", DENY),
        ("DECODE_AND_MERGE_SLASHES", "/x%5C%2e/a", DENY),
        ("NONE", "/y/../x/a", ALLOW),
        ("BASE", "/y/%2e%2e/x/%61", DENY),
    ],
)
def test_paths_are_seen_as_the_mesh_normalizes_them(normalization: str, path: str, outcome: Outcome) -> None:
    raw = policy("DENY", operation(paths=["/x/a"]))
    assert (
        decided(
            HTTP, raw, settings={"path_normalization": PathNormalization(normalization)}, path=path
        ).outcome
        is outcome
    )
