"""What holds for all policies and requests, tried with generated ones; and how long it takes."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interlock.mesh.authorize import authorize
from interlock.mesh.findings import findings
from interlock.mesh.inbound import effective_mtls, ports
from interlock.mesh.mesh import Mesh
from interlock.mesh.request import Identity, Request
from interlock.mesh.verdict import Mode, Outcome
from tests.mesh.mesh_objects import Raw, mesh_of, only, peer, pod, policy, service

ROOT = "istio-system"
PRINCIPALS = ["*", "cluster.local/ns/shop/sa/web", "*/sa/web", "cluster.local/ns/a/*"]
SOURCES = {
    "principals": PRINCIPALS,
    "notPrincipals": PRINCIPALS,
    "namespaces": ["shop", "a*"],
    "ipBlocks": ["10.0.0.0/8", "bad"],
    "remoteIpBlocks": ["10.0.0.0/8"],
    "requestPrincipals": ["*", "i/s"],
    "notRequestPrincipals": ["*"],
}
OPERATIONS = {
    "methods": ["GET", "P*"],
    "notMethods": ["GET"],
    "paths": ["/a", "/a/*", "/{*}/b"],
    "hosts": ["api", "*.x"],
    "ports": ["8080", "9"],
}


def fields(known: dict[str, list[str]]) -> st.SearchStrategy[dict[str, list[str]]]:
    one = st.sampled_from(sorted(known)).flatmap(
        lambda key: st.tuples(st.just(key), st.lists(st.sampled_from(known[key]), min_size=1, max_size=2))
    )
    return st.lists(one, max_size=2).map(dict)


CONDITIONS = st.sampled_from(
    [("request.headers[x]", ["v*"]), ("source.ip", ["10.0.0.9"]), ("connection.sni", ["*"]), ("bogus", ["x"])]
).map(lambda pair: {"key": pair[0], "values": pair[1]})
RULES = st.fixed_dictionaries(
    {},
    optional={
        "from": st.lists(fields(SOURCES).map(lambda f: {"source": f}), min_size=1, max_size=2),
        "to": st.lists(fields(OPERATIONS).map(lambda f: {"operation": f}), min_size=1, max_size=2),
        "when": st.lists(CONDITIONS, max_size=1),
    },
)
POLICIES = st.lists(
    st.tuples(st.sampled_from(["ALLOW", "DENY", "AUDIT"]), st.lists(RULES, max_size=2)), max_size=4
).map(lambda found: [policy(action, *rules, name=f"p{i}") for i, (action, rules) in enumerate(found)])
REQUESTS = st.builds(
    Request,
    st.sampled_from([8080, 9]),
    principal=st.sampled_from(["", "cluster.local/ns/shop/sa/web", "cluster.local/ns/a/sa/b"]),
    http=st.booleans(),
    source_ip=st.sampled_from(["10.0.0.9", "11.0.0.1"]),
    destination_ip=st.just("10.0.0.1"),
    method=st.sampled_from(["GET", "PUT"]),
    path=st.sampled_from(["/a", "/a/b", "/z?q"]),
    host=st.sampled_from(["api", "y.x"]),
    headers=st.sampled_from([{}, {"X": "v1"}]),
    claims=st.sampled_from([{}, {"iss": "i", "sub": "s"}]),
    sni=st.sampled_from(["", "s"]),
)
FORGOTTEN = {
    "source_ip": None,
    "destination_ip": None,
    "method": None,
    "path": None,
    "host": None,
    "headers": None,
    "claims": None,
    "sni": None,
}
SOME = settings(max_examples=60, deadline=None)


@SOME
@given(POLICIES, REQUESTS)
def test_a_request_that_is_wholly_known_is_decided(policies: list[Raw], request: Request) -> None:
    mesh = mesh_of(pod(), *policies)
    assert authorize(mesh, only(mesh), request).outcome is not Outcome.INDETERMINATE


@SOME
@given(POLICIES, REQUESTS, st.sets(st.sampled_from(sorted(FORGOTTEN))), st.booleans())
def test_what_is_decided_without_knowing_all_holds_whatever_the_rest_is(
    policies: list[Raw], request: Request, forgotten: set[str], anybody: bool
) -> None:
    mesh = mesh_of(pod(), *policies)
    unknown: dict[str, Any] = {key: FORGOTTEN[key] for key in forgotten}
    if anybody and request.principal:
        unknown["principal"] = Identity.ANY
    partly = authorize(mesh, only(mesh), replace(request, **unknown)).outcome
    if partly is not Outcome.INDETERMINATE:
        assert authorize(mesh, only(mesh), request).outcome is partly


@SOME
@given(POLICIES, REQUESTS, st.randoms(use_true_random=False))
def test_the_order_of_objects_does_not_matter(policies: list[Raw], request: Request, chosen: Any) -> None:
    objects = [pod(), service(), *policies]
    mesh = mesh_of(*objects)
    chosen.shuffle(objects)
    other = mesh_of(*objects)
    assert authorize(mesh, only(mesh), request) == authorize(other, only(other), request)


@SOME
@given(POLICIES, REQUESTS)
def test_a_further_deny_never_allows_more(policies: list[Raw], request: Request) -> None:
    without = mesh_of(pod(), *policies)
    further = mesh_of(pod(), *policies, policy("DENY", {"to": [{"operation": {"ports": ["9"]}}]}, name="z"))
    if request.port == 9 or authorize(without, only(without), request).outcome is Outcome.DENY:
        assert authorize(further, only(further), request).outcome is Outcome.DENY


MODES = st.sampled_from(["STRICT", "PERMISSIVE", "DISABLE", "UNSET", None])
PEERS = st.lists(
    st.tuples(
        MODES,
        st.sampled_from(["shop", ROOT]),
        st.integers(1, 3),
        st.sampled_from([None, "api", "x"]),
        st.dictionaries(st.sampled_from([8080, 9]), MODES, max_size=2),
    ),
    max_size=6,
).map(
    lambda found: [
        peer(mode, namespace=namespace, name=f"p{i}", day=day, app=app, ports=ports or None)
        for i, (mode, namespace, day, app, ports) in enumerate(found)
    ]
)


@SOME
@given(PEERS)
def test_the_mode_is_that_of_the_narrowest_scope_whose_oldest_policy_sets_one(policies: list[Raw]) -> None:
    mesh = mesh_of(pod(), *policies)

    def oldest(namespace: str, app: str | None) -> Raw | None:
        found = [
            raw
            for raw in policies
            if raw["metadata"]["namespace"] == namespace
            and raw["spec"].get("selector", {}).get("matchLabels", {}).get("app") == app
        ]
        return min(
            found, key=lambda r: (r["metadata"]["creationTimestamp"], r["metadata"]["name"]), default=None
        )

    expected = "PERMISSIVE"
    for raw in (oldest(ROOT, None), oldest("shop", None), oldest("shop", "api")):
        mode = raw["spec"].get("mtls", {}).get("mode") if raw else None
        expected = mode if mode not in (None, "UNSET") else expected
    found = effective_mtls(mesh, only(mesh))
    assert found.mode is Mode(expected)
    narrow = oldest("shop", "api")
    own = {int(p): v["mode"] for p, v in (narrow["spec"].get("portLevelMtls", {}) if narrow else {}).items()}
    for port in (8080, 9):
        mode = own.get(port)
        assert found.of_port(port) is Mode(mode if mode not in (None, "UNSET") else expected)


SHAPES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=8,
)


@SOME
@given(
    st.sampled_from(
        [
            "Pod",
            "Service",
            "PeerAuthentication",
            "AuthorizationPolicy",
            "DestinationRule",
            "Sidecar",
            "Namespace",
        ]
    ),
    st.sampled_from(
        [
            "selector",
            "mtls",
            "portLevelMtls",
            "rules",
            "trafficPolicy",
            "subsets",
            "containers",
            "ports",
            "egress",
            "ingress",
            "exportTo",
        ]
    ),
    SHAPES,
)
def test_no_shape_of_an_object_raises(kind: str, field: str, value: Any) -> None:
    raw = {
        "kind": kind,
        "metadata": {"name": "x", "namespace": "shop", "labels": value},
        "spec": {field: value},
    }
    mesh = Mesh.of([pod(), service(), raw])
    findings(mesh, "1.28")


def large_mesh(policies: str = "") -> Mesh:
    """1,000 workloads with 10 ports each, under 250 policies of either kind.

    Args:
        policies: Where the AuthorizationPolicies are; empty is in the workloads' namespaces.
    """
    objects: list[Raw] = []
    for index in range(1000):
        container = {"name": "app", "ports": [{"containerPort": 8000 + port} for port in range(10)]}
        raw = pod(f"p{index}", f"n{index % 50}", labels={"app": f"a{index}"})
        raw["spec"]["containers"][0] = container
        objects.append(raw)
    for index in range(250):
        namespace, app = f"n{index % 50}", f"a{index * 7 % 1000}"
        objects.append(
            peer("STRICT", namespace=namespace, name=f"p{index}", app=app, ports={8001: "DISABLE"})
        )
        source = {"from": [{"source": {"principals": [f"cluster.local/ns/n{index}/sa/x", "*/sa/y"]}}]}
        objects.append(policy("ALLOW", source, namespace=policies or namespace, name=f"a{index}"))
    return mesh_of(*objects)


@pytest.mark.parametrize("policies", ["", ROOT], ids=["of-namespaces", "of-the-whole-mesh"])
def test_a_large_mesh_is_judged_in_about_a_second_of_one_core(policies: str) -> None:
    mesh = large_mesh(policies)
    begun = time.process_time()
    verdicts = sum(len(ports(mesh, workload)) for workload in mesh.workloads)
    assert verdicts == 10_000
    assert len(findings(mesh)) > 1000
    outcomes = Counter[Outcome]()
    for index, workload in enumerate(mesh.workloads):
        for port in range(10):
            asked = Request(8000 + port, f"cluster.local/ns/n{index}/sa/x", path=f"/{port}")
            outcomes[authorize(mesh, workload, asked).outcome] += 1
    assert outcomes[Outcome.ALLOW] > 1000 < outcomes[Outcome.DENY]
    assert time.process_time() - begun < 4  # it takes about one; other work may share the core


@pytest.mark.parametrize(
    "value", ["9" * 5000, "--1", "-", "\u00b2", "9999-12-31T23:59:59-14:00", 10**30, True]
)
def test_no_number_and_no_time_that_is_none_raises(value: object) -> None:
    notes = {
        "traffic.sidecar.istio.io/excludeInboundPorts": value,
        "status.sidecar.istio.io/port": value,
        "readiness.status.sidecar.istio.io/periodSeconds": value,
    }
    rule = {"to": [{"operation": {"ports": [value]}}]}
    objects = [pod(notes=notes), peer("STRICT", app="api", ports={value: "STRICT"}), policy("ALLOW", rule)]
    objects.append(service(ports=[{"port": value, "targetPort": value}, {"port": 80, "targetPort": value}]))
    for raw in objects:
        raw["metadata"]["creationTimestamp"] = value
    mesh = mesh_of(*objects)
    assert "IST0106" in {finding.code for finding in findings(mesh)}
    assert ports(mesh, only(mesh))
