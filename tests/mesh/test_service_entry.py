"""What a client sends to hosts that ServiceEntries declare."""

from __future__ import annotations

import pytest

from interlock.mesh.client_plan import Sends
from interlock.mesh.findings import findings
from interlock.mesh.outbound import outbound
from tests.mesh.mesh_objects import Raw, mesh_of, only, peer, pod, rule, sidecar, tls

HOST = "bank.example.com"
MTLS, PLAIN, TLS, NOTHING, OPEN = Sends.MTLS, Sends.PLAINTEXT, Sends.TLS, Sends.NOTHING, Sends.INDETERMINATE
INSIDE = {"location": "MESH_INTERNAL"}
LABELLED = {"address": "10.0.0.2", "labels": {"security.istio.io/tlsMode": "istio"}}
PLAIN_ONE = {"address": "10.0.0.3"}
CERTIFICATES = {"clientCertificate": "/c", "privateKey": "/k", "caCertificates": "/ca"}


def entry(name: str = "bank", **spec: object) -> Raw:
    given: Raw = {"hosts": [HOST], "ports": [{"number": 443, "name": "tls", "protocol": "TLS"}]}
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "ServiceEntry",
        "metadata": {"namespace": "out", "name": name},
        "spec": given | {"resolution": "DNS"} | spec,
    }


def static(*endpoints: Raw, **spec: object) -> Raw:
    return entry(resolution="STATIC", endpoints=list(endpoints), **spec)


CASES: list[tuple[str, list[Raw], Sends]] = [
    ("outside, nothing is added", [entry()], PLAIN),
    ("outside, not even for endpoints that take mTLS", [static(LABELLED)], PLAIN),
    ("SIMPLE", [entry(), rule(HOST, tls("SIMPLE"), namespace="out")], TLS),
    ("MUTUAL", [entry(), rule(HOST, tls("MUTUAL", **CERTIFICATES), namespace="web")], TLS),
    ("MUTUAL without certificates", [entry(), rule(HOST, tls("MUTUAL"))], PLAIN),
    (
        "MUTUAL of the entry's namespace",
        [entry(), rule("*.example.com", tls("MUTUAL", **CERTIFICATES))],
        PLAIN,
    ),
    ("ISTIO_MUTUAL", [entry(), rule(HOST, tls("ISTIO_MUTUAL"), namespace="out")], MTLS),
    ("DISABLE", [entry(**INSIDE), rule(HOST, tls("DISABLE"), namespace="out")], PLAIN),
    ("inside, a name alone has no sidecar", [entry(**INSIDE)], PLAIN),
    ("inside, without resolution", [entry(resolution="NONE", **INSIDE)], PLAIN),
    ("inside, no endpoint takes mTLS", [static(PLAIN_ONE, **INSIDE)], PLAIN),
    ("inside, one takes mTLS", [static(PLAIN_ONE, LABELLED, **INSIDE)], OPEN),
    ("inside, one has a service account", [static(PLAIN_ONE | {"serviceAccount": "x"}, **INSIDE)], OPEN),
    (
        "inside, one that lacks it is enough under PASSTHROUGH",
        [
            static(PLAIN_ONE, LABELLED, **INSIDE),
            rule(HOST, {"loadBalancer": {"simple": "PASSTHROUGH"}}, namespace="out"),
        ],
        PLAIN,
    ),
    (
        "inside, the namespace is DISABLE",
        [static(LABELLED, **INSIDE), peer("DISABLE", namespace="out")],
        PLAIN,
    ),
    ("inside, endpoints are selected", [entry(workloadSelector={"labels": {"a": "b"}}, **INSIDE)], OPEN),
    ("inside, there is no endpoint", [static(**INSIDE)], OPEN),
    ("a wildcard", [entry(hosts=["*.example.com"])], OPEN),
    ("two of them", [entry(), entry("other")], OPEN),
    ("an unknown location", [entry(location="MESH")], OPEN),
    ("another port", [entry(ports=[{"number": 80}])], OPEN),
    ("not exported, so passed through", [entry(exportTo=["."], **INSIDE)], PLAIN),
    (
        "not imported where only what is known may be called",
        [
            entry(),
            sidecar(
                namespace="web", egress=[{"hosts": ["./*"]}], outboundTrafficPolicy={"mode": "REGISTRY_ONLY"}
            ),
        ],
        NOTHING,
    ),
]


@pytest.mark.parametrize(("objects", "sends"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_what_a_client_sends(objects: list[Raw], sends: Sends) -> None:
    mesh = mesh_of(pod("client", "web", labels={"app": "web"}), *objects)
    found = outbound(mesh, only(mesh), HOST, 443)
    assert (found.sends, found.endpoints) == (sends, ())
    assert found.reasons


def test_what_is_not_clear_is_said_by_name() -> None:
    mesh = mesh_of(pod("client", "web"), entry(), entry("other"))
    reasons = outbound(mesh, only(mesh), HOST, 443).reasons
    assert [reason.ref for reason in reasons] == ["ServiceEntry out/bank", "ServiceEntry out/other"]


@pytest.mark.parametrize("wrong", [{"location": "MESH"}, {"resolution": "dns"}, {"location": True}])
def test_an_unknown_enum_is_a_finding(wrong: Raw) -> None:
    found = [(finding.code, finding.ref) for finding in findings(mesh_of(entry(**wrong)))]
    assert found == [("IST0106", "ServiceEntry out/bank")]


@pytest.mark.parametrize(("labels", "sends"), [({}, TLS), ({"version": "v1"}, OPEN)])
def test_a_subset_of_labels_may_have_no_endpoint(labels: dict[str, str], sends: Sends) -> None:
    of_host = rule(HOST, tls("SIMPLE"), namespace="out", subsets=[{"name": "v1", "labels": labels}])
    mesh = mesh_of(pod("client", "web"), entry(), of_host)
    assert outbound(mesh, only(mesh), HOST, 443, "v1").sends is sends
    assert outbound(mesh, only(mesh), HOST, 443, "v2").sends is NOTHING
