from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from interlock.mesh.findings import findings
from interlock.mesh.findings_workloads import calls
from interlock.mesh.messages import MESSAGES
from interlock.mesh.verdict import Finding
from tests.mesh.mesh_objects import (
    APP,
    SIDECAR,
    Raw,
    deployment,
    mesh_of,
    only,
    operation,
    peer,
    pod,
    policy,
    rule,
    service,
    sidecar,
    source,
    tls,
    when,
)

STRICT = peer("STRICT")
ENABLED: dict[str, str] = {"istio-injection": "enabled"}
AUTO = SIDECAR | {"image": "auto"}


def space(name: str = "shop", **labels: str) -> Raw:
    return {"kind": "Namespace", "metadata": {"name": name, "labels": labels or ENABLED}}


def quiet(**options: Any) -> Raw:
    """A pod about which there is nothing to say."""
    options["notes"] = {
        "prometheus.io/scrape": "true",
        "prometheus.io/port": "15020",
        "prometheus.io/path": "/stats/prometheus",
    } | options.get("notes", {})
    return pod(**options)


def noted(raw: Raw, annotation: str) -> Raw:
    return raw | {"metadata": raw["metadata"] | {"annotations": {annotation: "x"}}}


def labelled(**labels: str) -> Raw:
    return {"kind": "Namespace", "metadata": {"name": "shop", "labels": labels}}


V1 = {"name": "v1", "labels": {"version": "v1"}}
CA = {"caCertificates": "/ca"}
TOKENS: Raw = {
    "kind": "RequestAuthentication",
    "metadata": {"namespace": "shop", "name": "tokens"},
    "spec": {"jwtRules": [{"issuer": "i"}]},
}
TOKENS_OF_PODS: Raw = TOKENS | {"spec": TOKENS["spec"] | {"selector": {"matchLabels": {"app": "api"}}}}
GATEWAY_OF = {"gateway.networking.k8s.io/gateway-name": "edge"}

# code → objects that have the finding, objects that don't, settings
CASES: list[tuple[str, list[Raw], list[Raw], dict[str, Any]]] = [
    (
        "IST0101",
        [policy("DENY", source(namespaces=["nobody"]))],
        [policy("DENY", source(namespaces=["sho*"]))],
        {},
    ),
    (
        "IST0101",
        [sidecar(workloadSelector={"labels": {"app": "x"}})],
        [sidecar(workloadSelector={"labels": {"app": "api"}})],
        {},
    ),
    ("IST0102", [labelled(a="b")], [labelled(**{"istio-injection": "disabled"})], {}),
    (
        "IST0103",
        [quiet(sidecar=False)],
        [quiet(sidecar=False, labels={"sidecar.istio.io/inject": "false"})],
        {},
    ),
    ("IST0106", [peer("STRIKT", app="api", name="x")], [peer("STRICT", app="api", name="x")], {}),
    (
        "IST0106",
        [peer("STRICT", app="api", name="x", ports={0: "STRICT"})],
        [peer("STRICT", app="api", name="x", ports={1: "STRICT"})],
        {},
    ),
    ("IST0106", [peer("STRICT", ports={80: "STRICT"})], [peer("STRICT")], {}),
    (
        "IST0106",
        [
            policy(
                "DENY",
                operation(ports=["1"]),
                selector={"matchLabels": {"app": "api"}},
                targetRefs=[{"kind": "Service", "group": "", "name": "api"}],
            )
        ],
        [policy("DENY", operation(ports=["1"]), selector={"matchLabels": {"app": "api"}})],
        {},
    ),
    ("IST0106", [policy("BLOCK", operation(ports=["1"]))], [policy("DENY", operation(ports=["1"]))], {}),
    ("IST0106", [policy("DENY")], [policy("DENY", operation(ports=["1"]))], {}),
    (
        "IST0106",
        [policy("CUSTOM", operation(ports=["1"]))],
        [policy("CUSTOM", operation(ports=["1"]), provider={"name": "x"})],
        {},
    ),
    (
        "IST0106",
        [policy("CUSTOM", source(principals=["*"]), provider={"name": "x"})],
        [policy("CUSTOM", source(ipBlocks=["1.1.1.1"]), provider={"name": "x"})],
        {},
    ),
    ("IST0106", [policy("DENY", operation(ports=["x"]))], [policy("DENY", operation(ports=["0"]))], {}),
    ("IST0106", [policy("DENY", source(ipBlocks=["1.1.1"]))], [policy("DENY", source(ipBlocks=["::1"]))], {}),
    (
        "IST0106",
        [policy("DENY", operation(paths=["/{x}"], ports=["1"]))],
        [policy("DENY", operation(paths=["/{*}"], ports=["1"]))],
        {},
    ),
    (
        "IST0106",
        [policy("DENY", source(serviceAccounts=["a*"]))],
        [policy("DENY", source(serviceAccounts=["a/b"]))],
        {},
    ),
    (
        "IST0106",
        [policy("DENY", source(serviceAccounts=["a"], principals=["b"]))],
        [policy("DENY", source(principals=["b"]))],
        {},
    ),
    (
        "IST0106",
        [policy("DENY", source(trustDomains=["a*b"], ipBlocks=["::1"]))],
        [policy("DENY", source(trustDomains=["a*"], ipBlocks=["::1"]))],
        {},
    ),
    ("IST0106", [policy("DENY", {"from": [{"source": {}}]})], [policy("DENY", source(ipBlocks=["::1"]))], {}),
    ("IST0106", [policy("DENY", {"to": [{"operation": {}}]})], [policy("DENY", operation(ports=["1"]))], {}),
    ("IST0106", [policy("DENY", when("source.ip"))], [policy("DENY", when("source.ip", "::1"))], {}),
    ("IST0106", [policy("DENY", when("bogus", "x"))], [policy("DENY", when("source.ip", "::1"))], {}),
    (
        "IST0106",
        [policy("DENY", when("request.headers", "x"))],
        [policy("DENY", when("request.headers[a]", "x"))],
        {},
    ),
    (
        "IST0106",
        [policy("AUDIT", operation(ports=["1"]), notes={"istio.io/dry-run": "true"})],
        [policy("DENY", operation(ports=["1"]), notes={"istio.io/dry-run": "true"})],
        {},
    ),
    ("IST0106", [{"kind": "Pod", "metadata": {}}], [], {}),
    ("IST0106", [rule("api", tls("SIMPEL"))], [rule("api", tls("SIMPLE", **CA))], {}),
    (
        "IST0110",
        [sidecar(n, workloadSelector={"labels": {"app": "api"}}) for n in ("a", "b")],
        [sidecar("a", workloadSelector={"labels": {"app": "api"}})],
        {},
    ),
    ("IST0111", [sidecar("a"), sidecar("b")], [sidecar("a")], {}),
    (
        "IST0118",
        [service(ports=[{"name": "web", "port": 80}])],
        [service(ports=[{"name": "web", "port": 80, "appProtocol": "http"}])],
        {},
    ),
    (
        "IST0123",
        [labelled(**ENABLED, **{"istio.io/rev": "x"})],
        [labelled(**{"istio-injection": "disabled", "istio.io/rev": "x"})],
        {},
    ),
    (
        "IST0125",
        [quiet(notes={"traffic.sidecar.istio.io/excludeInboundPorts": "80-90"})],
        [quiet(notes={"traffic.sidecar.istio.io/excludeInboundPorts": "80,90"})],
        {},
    ),
    (
        "IST0127",
        [policy("DENY", operation(ports=["1"]), selector={"matchLabels": {"app": "x"}})],
        [policy("DENY", operation(ports=["1"]))],
        {},
    ),
    ("IST0128", [rule("api", tls("SIMPLE"))], [rule("api", tls("SIMPLE", **CA))], {}),
    (
        "IST0129",
        [rule("api", {"portLevelSettings": [{"port": {"number": 80}, **tls("MUTUAL")}]})],
        [rule("api", {"portLevelSettings": [{"port": {"number": 80}, **tls("MUTUAL", **CA)}]})],
        {},
    ),
    (
        "IST0133",
        [policy("DENY", operation(ports=["1"]), selector={})],
        [policy("DENY", operation(ports=["1"]))],
        {},
    ),
    (
        "IST0133",
        [policy("DENY", operation(methods=["GET"]))],
        [policy("DENY", operation(methods=["GET"], ports=["1"]))],
        {},
    ),
    (
        "IST0144",
        [quiet(securityContext={"runAsUser": 1337})],
        [quiet(securityContext={"runAsUser": 1000})],
        {},
    ),
    (
        "IST0146",
        [labelled(**{"istio-injection": "disabled"}), deployment(spec={"containers": [APP, AUTO]})],
        [space(), deployment(spec={"containers": [APP, AUTO]})],
        {},
    ),
    ("IST0147", [quiet(containers=[APP, AUTO])], [quiet()], {}),
    ("IST0148", [labelled(a="b")], [space()], {"inject_by_default": True}),
    (
        "IST0150",
        [service(type="ExternalName", ports=[{"name": "tcp", "port": 80}])],
        [service(type="ExternalName", ports=[{"name": "http", "port": 80}])],
        {},
    ),
    (
        "IST0158",
        [quiet()],
        [quiet(containers=[APP, SIDECAR | {"image": "hub/proxyv2:1.28.0"}])],
        {"proxy_image": "hub/proxyv2:1.28.0"},
    ),
    (
        "IST0167",
        [peer("STRICT", namespace="istio-system", app="api")],
        [peer("STRICT", namespace="istio-system")],
        {},
    ),
    (
        "IST0107",
        [noted(deployment(), "sidecar.istio.io/logLevel"), space()],
        [quiet(notes={"sidecar.istio.io/logLevel": "info"}), space()],
        {},
    ),
    ("IST0107", [noted(space(), "networking.istio.io/exportTo")], [space()], {}),
    (
        "IST0107",
        [quiet(notes={"kubernetes.io/ingress.class": "x"})],
        [quiet(notes={"gateway.istio.io/controller-version": "5", "example.com/x": "y"})],
        {},
    ),
    (
        "IST0108",
        [noted(service(), "networking.istio.io/exportThree")],
        [noted(service(), "networking.istio.io/exportTo")],
        {},
    ),
    *(
        ("IST0166", [quiet(labels=GATEWAY_OF), bad], [quiet(labels=GATEWAY_OF), good], {})
        for bad, good in (
            (
                policy("DENY", operation(ports=["1"]), selector={"matchLabels": {"app": "api"}}),
                policy("DENY", operation(ports=["1"]), selector={"matchLabels": {"app": "x"}}),
            ),
            (TOKENS_OF_PODS, TOKENS),
        )
    ),
    (
        "IST0173",
        [service(), rule("api", subsets=[V1])],
        [service(), rule("api", subsets=[{"name": "v1", "labels": {"app": "api"}}])],
        {},
    ),
    ("IST0174", [rule("nobody")], [service(), rule("api")], {}),
    (
        "IST0167",
        [labelled(**{"istio.io/dataplane-mode": "ambient"}), sidecar()],
        [labelled(**ENABLED, **{"istio.io/dataplane-mode": "ambient"}), sidecar()],
        {},
    ),
    (
        "IST0167",
        [
            quiet(sidecar=False, notes={"ambient.istio.io/redirection": "enabled"}),
            sidecar(workloadSelector={"labels": {"app": "api"}}),
        ],
        [quiet(), sidecar(workloadSelector={"labels": {"app": "api"}})],
        {},
    ),
    ("IST0106", [sidecar()], [sidecar(egress=[{"hosts": ["*/*"]}])], {}),
    (
        "IST0118",
        [service(ports=[{"port": 80}])],
        [service(namespace="kube-system", ports=[{"port": 80}])],
        {},
    ),
    *(
        ("IST0125", [quiet(notes={name: bad})], [quiet(notes={name: good})], {})
        for name, bad, good in (
            ("sidecar.istio.io/interceptionMode", "OFF", "TPROXY"),
            ("status.sidecar.istio.io/port", "x", "15020"),
            ("readiness.status.sidecar.istio.io/periodSeconds", "-1", "5"),
            ("traffic.sidecar.istio.io/includeOutboundIPRanges", "10.0.0.1", "*"),
            ("traffic.sidecar.istio.io/excludeOutboundIPRanges", "*", "10.0.0.0/8,::/0"),
            ("traffic.sidecar.istio.io/includeInboundPorts", "70000", "*"),
            ("prometheus.istio.io/merge-metrics", "no", "false"),
        )
    ),
    ("ILM001", [peer("PERMISSIVE", app="api", name="x")], [peer("STRICT", app="api", name="x")], {}),
    ("ILM002", [quiet(hostNetwork=True)], [quiet()], {}),
    ("ILM003", [quiet(labels={"gateway.istio.io/managed": "istio.io-mesh-controller"})], [quiet()], {}),
    ("ILM004", [peer("STRICT", name="later", day=2)], [peer("STRICT", name="later", day=2, app="api")], {}),
    (
        "ILM004",
        [peer("STRICT", name=n, day=d, app="api") for n, d in (("a", 1), ("b", 2))],
        [peer("STRICT", name="a", app="api")],
        {},
    ),
    ("ILM007", [policy("ALLOW", source(ipBlocks=["bad"]))], [policy("ALLOW", source(ipBlocks=["::1"]))], {}),
    (
        "ILM008",
        [policy("ALLOW", source(requestPrincipals=["*"]))],
        [policy("ALLOW", source(requestPrincipals=["*"])), TOKENS],
        {},
    ),
    (
        "ILM009",
        [peer("DISABLE", app="api", name="x")],
        [peer("DISABLE", app="api", name="x"), policy("ALLOW", source(principals=["a"]))],
        {},
    ),
    ("ILM010", [quiet(containers=[APP, SIDECAR | {"image": "x/proxyv2:1.24.1"}])], [quiet()], {}),
    ("ILM011", [pod()], [quiet()], {}),
]


def codes(objects: list[Raw], settings: dict[str, Any]) -> list[Finding]:
    """The findings about the objects, in a STRICT mesh with a quiet pod unless they have one."""
    base = [] if any(raw["kind"] == "Pod" for raw in objects) else [quiet()]
    base += [] if any(raw["kind"] == "Namespace" for raw in objects) else [space()]
    base.append(STRICT)
    return list(findings(mesh_of(*base, *objects, **settings), control_plane="1.28.0"))


@pytest.mark.parametrize(
    ("code", "bad", "good", "settings"), CASES, ids=[f"{c[0]}-{i}" for i, c in enumerate(CASES)]
)
def test_each_code_has_a_case_that_has_it_and_one_that_does_not(
    code: str, bad: list[Raw], good: list[Raw], settings: dict[str, Any]
) -> None:
    found = [finding for finding in codes(bad, settings) if finding.code == code]
    assert found
    assert all((finding.name, finding.severity) == MESSAGES[code][:2] and finding.text for finding in found)
    assert not [finding for finding in codes(good, settings) if finding.code == code]


def test_what_calls_find() -> None:
    client = quiet(name="web", labels={"app": "web"})
    for policy_, server, code in (
        (tls("DISABLE"), peer("PERMISSIVE"), "ILM005"),
        (tls("DISABLE"), peer("STRICT"), "ILM006"),
        (tls("ISTIO_MUTUAL"), peer("DISABLE"), "ILM006"),
        (tls("ISTIO_MUTUAL"), peer("STRICT"), None),
    ):
        mesh = mesh_of(client, quiet(), service(), server, rule("api", policy_))
        found = [f.code for f in calls(mesh, only(mesh, "web"), "api", 80) if "api-0" in f.text]
        assert found == ([code] if code else [])


def test_every_code_is_tried_and_documented() -> None:
    # Those of observed traffic are tried in test_traffic.py, those of observed ports in test_observed.py.
    ports_ = {f"ILM{number:03}" for number in range(20, 29)}
    tried = {case[0] for case in CASES} | {"ILM005", "ILM006", "ILM012", "ILM013", "ILM014"} | ports_
    assert tried == set(MESSAGES)
    document = (Path(__file__).parents[2] / "docs" / "mesh.md").read_text()
    assert {code for code in MESSAGES if code.startswith("ILM")} == set(
        re.findall(r"^\| (ILM\d+) ", document, re.M)
    )


def test_a_mesh_without_fault_has_no_findings() -> None:
    assert (
        findings(mesh_of(quiet(), space(), STRICT, service(), rule("api", tls("ISTIO_MUTUAL"))), "1.28.0")
        == ()
    )


def test_the_worst_comes_first() -> None:
    found = findings(mesh_of(pod(hostNetwork=True), space(), labelled(a="b"), peer("STRIKT")))
    order = ["Error", "Warning", "Info"]
    assert [f.severity for f in found] == sorted((f.severity for f in found), key=order.index)
    assert str(found[0]).startswith("Error [")
