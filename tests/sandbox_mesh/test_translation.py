"""How Istio's objects become Envoy's configuration."""

from __future__ import annotations

from typing import Any

import pytest

from sandbox.mesh import inbound, outbound, rbac
from sandbox.mesh.control_plane import packed
from sandbox.mesh.destination_rules import cluster_tls, endpoint_mode, policy_of
from sandbox.mesh.objects import Objects
from sandbox.mesh.peer_modes import modes, namespace_mode
from sandbox.mesh.services import ports
from sandbox.mesh.snapshot import policies
from tests.mesh.mesh_objects import operation, peer, policy, rule, service, source, tls, when
from tests.sandbox_mesh.mesh_calls import AUTO, HTTP, NETWORK, PODS, SERVER, SERVICES, TCP, UNDECLARED

Raw = dict[str, Any]
ROOT = "istio-system"
API, WEB = PODS[0], PODS[1]


def objects(*more: Raw) -> Objects:
    return Objects.of([*PODS, *SERVICES, *more])


MODES = [
    ("nothing said", [], "PERMISSIVE"),
    ("mesh", [peer("STRICT", namespace=ROOT)], "STRICT"),
    ("namespace over mesh", [peer("STRICT", namespace=ROOT), peer("DISABLE")], "DISABLE"),
    ("unset inherits", [peer("STRICT", namespace=ROOT), peer("UNSET")], "STRICT"),
    ("workload over namespace", [peer("DISABLE"), peer("STRICT", name="n", app="api")], "STRICT"),
    ("another workload's", [peer("STRICT", app="web")], "PERMISSIVE"),
    (
        "a selector in the root namespace holds for none",
        [peer("STRICT", namespace=ROOT, app="api")],
        "PERMISSIVE",
    ),
    ("the oldest counts", [peer("STRICT", day=2, name="a"), peer("DISABLE", day=1, name="b")], "DISABLE"),
]


@pytest.mark.parametrize(("found", "mode"), [case[1:] for case in MODES], ids=[case[0] for case in MODES])
def test_the_mode_is_that_of_the_narrowest_scope(found: list[Raw], mode: str) -> None:
    assert modes(objects(*found).peer_authentications, API).whole == mode


def test_a_port_has_a_mode_of_its_own_and_port_zero_is_for_undeclared_ones() -> None:
    found = objects(peer("STRICT", app="api", ports={"8080": "DISABLE", "0": "PERMISSIVE"}))
    effective = modes(found.peer_authentications, API)
    assert [effective.of(HTTP), effective.of(TCP)] == ["DISABLE", "STRICT"]
    assert effective.of(UNDECLARED, declared=False) == "PERMISSIVE"


def test_the_mode_of_a_namespace_ignores_policies_with_a_selector() -> None:
    found = objects(peer("DISABLE", namespace=ROOT), peer("STRICT", app="api"))
    assert namespace_mode(found.peer_authentications, "shop") == "DISABLE"


CHAINS = [
    ("STRICT", HTTP, ["mtls-http", "mtls-other"]),
    ("STRICT", AUTO, ["mtls-http", "mtls-tcp", "mtls-other"]),
    ("PERMISSIVE", HTTP, ["mtls-http", "plain-http"]),
    ("PERMISSIVE", TCP, ["mtls-tcp", "tls-passed-through", "plain-tcp"]),
    ("DISABLE", TCP, ["plain-tcp"]),
    ("DISABLE", UNDECLARED, ["plain-http", "plain-tcp"]),
]


@pytest.mark.parametrize(("mode", "port", "chains"), CHAINS)
def test_the_chains_of_a_port_follow_its_mode_and_protocol(mode: str, port: int, chains: list[str]) -> None:
    listener = inbound.listeners(objects(peer(mode)), API)[f"inbound_{port}"]
    assert [chain["name"] for chain in listener["filter_chains"]] == chains
    for chain in listener["filter_chains"]:
        assert ("transport_socket" in chain) is chain["name"].startswith("mtls")


@pytest.mark.parametrize("port", [HTTP, TCP, AUTO])
def test_the_chain_of_mtls_is_the_same_in_every_mode_that_has_one(port: int) -> None:
    def mutual(mode: str) -> Raw:
        listener = inbound.listeners(objects(peer(mode)), API)[f"inbound_{port}"]
        found: Raw = listener["filter_chains"][0]
        return found

    assert mutual("STRICT") == mutual("PERMISSIVE")


def test_no_policy_is_a_filter_without_rules_and_one_without_rules_allows_nothing() -> None:
    assert rbac.rules(objects(), API, "ALLOW", tcp=False) == {}
    found = rbac.rules(objects(policy("ALLOW")), API, "ALLOW", tcp=False)
    (only,) = found["rules"]["policies"].values()
    assert only["permissions"] == [{"not_rule": {"any": True}}]


@pytest.mark.parametrize(
    "ignored",
    [
        policy("ALLOW", source(principals=["*"]), notes={"istio.io/dry-run": "true"}),
        policy("ALLOW", source(principals=["*"]), selector={"matchLabels": {"app": "web"}}),
        policy("ALLOW", source(principals=["*"]), namespace="far"),
        policy("AUDIT", source(principals=["*"])),
        policy("DENY", source(principals=["*"])),
    ],
    ids=["on trial", "another workload's", "another namespace's", "audit", "another action"],
)
def test_policies_that_do_not_hold_are_left_out(ignored: Raw) -> None:
    assert rbac.rules(objects(ignored), API, "ALLOW", tcp=False) == {}


@pytest.mark.parametrize(
    ("given", "tcp"),
    [(operation(methods=["GET"]), True), (source(ipBlocks=["bad"]), False), (when("no.such", "x"), False)],
    ids=["HTTP on a TCP port", "no address", "unknown key"],
)
def test_what_cannot_be_evaluated_drops_the_rule_of_an_allow_policy(given: Raw, tcp: bool) -> None:
    found = rbac.rules(objects(policy("ALLOW", given)), API, "ALLOW", tcp=tcp)
    assert found == {"rules": {"action": "ALLOW", "policies": {}}}


def test_what_cannot_be_evaluated_drops_only_itself_from_a_deny_policy() -> None:
    given = operation(methods=["GET"], ports=["9090"])
    found = rbac.rules(objects(policy("DENY", given)), API, "DENY", tcp=True)
    (only,) = found["rules"]["policies"].values()
    assert only["permissions"] == [
        {"and_rules": {"rules": [{"or_rules": {"rules": [{"destination_port": 9090}]}}]}}
    ]


def test_a_custom_policy_denies_without_a_provider() -> None:
    found = rbac.rules(objects(policy("CUSTOM", operation(paths=["/admin"]))), API, "DENY", tcp=False)
    assert len(found["rules"]["policies"]) == 1


@pytest.mark.parametrize("key", ["source.principal", "request.auth.claims[a][b]", "request.auth.presenter"])
@pytest.mark.parametrize("value", ["*", "a*", "*a", "a/b", "*/b", "a/*"])
def test_every_value_becomes_a_config_that_envoy_can_read(key: str, value: str) -> None:
    more = source(requestPrincipals=[value], trustDomains=["a", "*", "a*"], serviceAccounts=["a", "b/c"])
    found = objects(policy("DENY", {**when(key, value), **more, **operation(paths=["/{*}/a/{**}"])}))
    for kind, resources in policies(found, API).items():
        for resource in resources.values():
            assert packed(kind, resource).value


RULES = [
    (
        "the client's namespace first",
        [("*", "shop", "DISABLE"), ("api.far.svc.cluster.local", ROOT, "SIMPLE")],
        "DISABLE",
    ),
    ("the most specific host", [("*", "shop", "SIMPLE"), ("api", "shop", "DISABLE")], "DISABLE"),
    ("the root namespace last", [("*.local", ROOT, "ISTIO_MUTUAL")], "ISTIO_MUTUAL"),
    ("another namespace's", [("*", "far", "DISABLE")], None),
]


@pytest.mark.parametrize(("found", "mode"), [case[1:] for case in RULES], ids=[case[0] for case in RULES])
def test_a_client_follows_one_destination_rule(found: list[tuple[str, str, str]], mode: str | None) -> None:
    given = [
        rule(host, tls(mode), namespace=where, name=f"r{i}") for i, (host, where, mode) in enumerate(found)
    ]
    followed = policy_of(objects(*given), WEB, SERVICES[0])
    assert endpoint_mode(followed, 80) == mode


def test_settings_of_a_port_hide_the_tls_of_the_rule_from_the_cluster_alone() -> None:
    given = {**tls("ISTIO_MUTUAL"), "portLevelSettings": [{"port": {"number": 80}}]}
    assert cluster_tls(given, 80) is None
    assert endpoint_mode(given, 80) == "ISTIO_MUTUAL"


def test_only_ready_pods_are_called_and_those_without_a_sidecar_get_plaintext() -> None:
    unready = {**API, "status": {"podIP": f"{NETWORK}.7", "conditions": []}}
    found = outbound.endpoints(objects({**unready, "metadata": {**API["metadata"], "name": "api-1"}}), WEB)
    (ready,) = found["outbound|80||api.shop.svc.cluster.local"]["endpoints"][0]["lb_endpoints"]
    assert ready["endpoint"]["address"]["socket_address"]["address"] == SERVER
    (old,) = found["outbound|80||old.shop.svc.cluster.local"]["endpoints"][0]["lb_endpoints"]
    matched = "envoy.transport_socket_match"
    assert matched in ready["metadata"]["filter_metadata"]
    assert matched not in old["metadata"]["filter_metadata"]


def test_a_service_port_is_taken_for_what_its_name_or_app_protocol_says() -> None:
    given = [
        {"name": "grpc-api", "port": 1},
        {"name": "x", "port": 2, "appProtocol": "https"},
        {"name": "x", "port": 3306},
        {"name": "y", "port": 4},
        {"name": "dns", "port": 53, "protocol": "UDP"},
    ]
    assert [one.protocol for one in ports(service(ports=given))] == ["http", "tcp", "tcp", "auto"]
