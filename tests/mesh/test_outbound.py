from __future__ import annotations

from typing import Any

import pytest

from interlock.mesh.client_plan import Sends
from interlock.mesh.outbound import outbound
from interlock.mesh.verdict import Answer
from tests.mesh.mesh_objects import (
    Raw,
    deployment,
    mesh_of,
    namespace,
    only,
    peer,
    pod,
    rule,
    service,
    sidecar,
    tls,
)

HOST = "api.shop.svc.cluster.local"
MTLS, PLAIN, TLS, NOTHING, OPEN = Sends.MTLS, Sends.PLAINTEXT, Sends.TLS, Sends.NOTHING, Sends.INDETERMINATE
YES, NO, MAYBE = Answer.YES, Answer.NO, Answer.INDETERMINATE
CERTIFICATES = {"clientCertificate": "/c", "privateKey": "/k", "caCertificates": "/ca"}


def client(**options: Any) -> Raw:
    return pod("client", "web", labels={"app": "web"}, **options)


def port(number: int, **policy: object) -> Raw:
    return {"portLevelSettings": [{"port": {"number": number}, **policy}]}


Case = tuple[str, list[Raw], Sends, Answer]
CASES: list[Case] = [
    ("auto-mTLS", [], MTLS, YES),
    ("auto-mTLS to STRICT", [peer("STRICT")], MTLS, YES),
    ("auto-mTLS knows the workload's DISABLE", [peer("DISABLE", app="api")], PLAIN, YES),
    ("and the port's", [peer("STRICT", app="api", ports={8080: "DISABLE"})], PLAIN, YES),
    ("and the namespace's", [peer("DISABLE")], PLAIN, YES),
    (
        "the mesh's DISABLE is over the workload's STRICT",
        [peer("DISABLE", namespace="istio-system"), peer("STRICT", app="api")],
        PLAIN,
        NO,
    ),
    ("DISABLE against STRICT breaks", [peer("STRICT"), rule("api", tls("DISABLE"))], PLAIN, NO),
    ("DISABLE goes plaintext silently", [rule("api", tls("DISABLE"))], PLAIN, YES),
    ("ISTIO_MUTUAL", [rule("api", tls("ISTIO_MUTUAL"))], MTLS, YES),
    ("ISTIO_MUTUAL to DISABLE breaks", [peer("DISABLE"), rule("api", tls("ISTIO_MUTUAL"))], MTLS, NO),
    ("SIMPLE to a PERMISSIVE HTTP port breaks", [rule("api", tls("SIMPLE", caCertificates="/ca"))], TLS, NO),
    ("a tls block without mode is DISABLE", [rule("api", {"tls": {}})], PLAIN, YES),
    ("MUTUAL with certificates", [rule("api", tls("MUTUAL", **CERTIFICATES)), peer("STRICT")], TLS, MAYBE),
    ("MUTUAL without certificates goes plaintext silently", [rule("api", tls("MUTUAL"))], PLAIN, YES),
    (
        "SIMPLE by credentialName goes plaintext silently",
        [rule("api", tls("SIMPLE", credentialName="c"))],
        PLAIN,
        YES,
    ),
    (
        "SIMPLE by a ConfigMap does not",
        [rule("api", tls("SIMPLE", credentialName="configmap://c")), peer("DISABLE")],
        TLS,
        MAYBE,
    ),
    (
        "nor by credentialName with a workloadSelector",
        [
            rule(
                "api.shop.svc.cluster.local",
                tls("SIMPLE", credentialName="c"),
                namespace="web",
                workloadSelector={"matchLabels": {"app": "web"}},
            )
        ],
        TLS,
        NO,
    ),
    (
        "a port is over the top level",
        [rule("api", tls("DISABLE") | port(80, tls={"mode": "ISTIO_MUTUAL"}))],
        MTLS,
        YES,
    ),
    (
        "another port is not",
        [rule("api", tls("DISABLE") | port(81, tls={"mode": "ISTIO_MUTUAL"}))],
        PLAIN,
        YES,
    ),
    (
        "a port without TLS: the cluster forgets, endpoints don't",
        [rule("api", tls("DISABLE") | port(80, connectionPool={}))],
        PLAIN,
        YES,
    ),
    (
        "the same with ISTIO_MUTUAL",
        [rule("api", tls("ISTIO_MUTUAL") | port(80, connectionPool={})), peer("DISABLE", app="api")],
        MTLS,
        NO,
    ),
    ("a policy without TLS leaves it to auto-mTLS", [rule("api", {"connectionPool": {}})], MTLS, YES),
    ("an unknown mode is open", [rule("api", tls("SIMPEL"))], OPEN, MAYBE),
    (
        "the most specific host",
        [
            rule("*.svc.cluster.local", tls("DISABLE"), name="a"),
            rule("*.shop.svc.cluster.local", tls("ISTIO_MUTUAL"), name="b", day=2),
        ],
        MTLS,
        YES,
    ),
    (
        "an exact host is over wildcards",
        [rule("*", tls("DISABLE"), name="a"), rule("api", tls("ISTIO_MUTUAL"), name="b", day=2)],
        MTLS,
        YES,
    ),
    (
        "the client's namespace is over the service's",
        [rule("api", tls("DISABLE")), rule(HOST, tls("ISTIO_MUTUAL"), namespace="web")],
        MTLS,
        YES,
    ),
    (
        "though its host is wider",
        [rule("api", tls("DISABLE")), rule("*.local", tls("ISTIO_MUTUAL"), namespace="web")],
        MTLS,
        YES,
    ),
    (
        "the service's is over the root's",
        [rule("*", tls("DISABLE"), namespace="istio-system"), rule("api", tls("ISTIO_MUTUAL"))],
        MTLS,
        YES,
    ),
    ("the root's holds for all", [rule("*.local", tls("DISABLE"), namespace="istio-system")], PLAIN, YES),
    ("a third namespace's does not", [rule(HOST, tls("DISABLE"), namespace="other")], MTLS, YES),
    ("exportTo . hides it", [rule("api", tls("DISABLE"), exportTo=["."])], MTLS, YES),
    ("exportTo another namespace hides it", [rule("api", tls("DISABLE"), exportTo=["other"])], MTLS, YES),
    ("exportTo the client's does not", [rule("api", tls("DISABLE"), exportTo=["web"])], PLAIN, YES),
    ("a short name is the rule's namespace's", [rule("api", tls("DISABLE"), namespace="web")], MTLS, YES),
    (
        "of two rules for a host the oldest's TLS counts",
        [rule("api", tls("DISABLE"), name="b"), rule("api", tls("ISTIO_MUTUAL"), name="a", day=2)],
        PLAIN,
        YES,
    ),
    (
        "a later policy fills a rule without one",
        [rule("api", name="a"), rule("api", tls("DISABLE"), name="b", day=2)],
        PLAIN,
        YES,
    ),
    (
        "a workloadSelector that fits",
        [rule(HOST, tls("DISABLE"), namespace="web", workloadSelector={"matchLabels": {"app": "web"}})],
        PLAIN,
        YES,
    ),
    (
        "and one that doesn't",
        [rule(HOST, tls("DISABLE"), namespace="web", workloadSelector={"matchLabels": {"app": "x"}})],
        MTLS,
        YES,
    ),
    (
        "rules of another reach stay apart, and the youngest counts",
        [
            rule("api", tls("DISABLE"), name="a", exportTo=["web"]),
            rule("api", tls("ISTIO_MUTUAL"), name="b", day=2, exportTo=["*"]),
        ],
        MTLS,
        YES,
    ),
    (
        "rules for other clients stay apart",
        [
            rule(
                HOST,
                tls("ISTIO_MUTUAL"),
                namespace="web",
                name="a",
                workloadSelector={"matchLabels": {"app": "x"}},
            ),
            rule(
                HOST,
                tls("DISABLE"),
                namespace="web",
                name="b",
                day=2,
                workloadSelector={"matchLabels": {"app": "web"}},
            ),
        ],
        PLAIN,
        YES,
    ),
    (
        "a workloadSelector keeps a rule in its namespace",
        [
            rule("api", tls("ISTIO_MUTUAL"), workloadSelector={"matchLabels": {"app": "web"}}),
            rule("*", tls("DISABLE"), namespace="istio-system"),
        ],
        PLAIN,
        YES,
    ),
    (
        "egress that leaves the service out",
        [sidecar(namespace="web", egress=[{"hosts": ["./*"]}]), peer("STRICT")],
        PLAIN,
        NO,
    ),
    ("egress that has it", [sidecar(namespace="web", egress=[{"hosts": ["shop/*"]}])], MTLS, YES),
    (
        "egress that excludes it",
        [sidecar(namespace="web", egress=[{"hosts": ["*/*", "~shop/*"]}])],
        PLAIN,
        YES,
    ),
    (
        "an exclusion without namespace is of all of them",
        [sidecar(namespace="web", egress=[{"hosts": ["shop/*", "~/*"]}])],
        PLAIN,
        YES,
    ),
    (
        "an exclusion counts in its own listener alone",
        [sidecar(namespace="web", egress=[{"hosts": ["~/*"]}, {"hosts": ["shop/*"]}])],
        MTLS,
        YES,
    ),
    ("egress with the exact host", [sidecar(namespace="web", egress=[{"hosts": [f"*/{HOST}"]}])], MTLS, YES),
    (
        "REGISTRY_ONLY drops it",
        [
            sidecar(
                namespace="web", egress=[{"hosts": ["./*"]}], outboundTrafficPolicy={"mode": "REGISTRY_ONLY"}
            )
        ],
        NOTHING,
        NO,
    ),
    ("the root's Sidecar", [sidecar(namespace="istio-system", egress=[{"hosts": ["./*"]}])], PLAIN, YES),
]


@pytest.mark.parametrize(("objects", "sends", "works"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_what_a_client_sends_and_whether_it_works(objects: list[Raw], sends: Sends, works: Answer) -> None:
    mesh = mesh_of(client(), pod(), service(), *objects)
    found = outbound(mesh, only(mesh, "client"), HOST, 80)
    (endpoint,) = found.endpoints
    assert (endpoint.sends, endpoint.works) == (sends, works), endpoint.reasons


V1 = {"labels": {"version": "v1"}}
SUBSETS: list[Case] = [
    (
        "a port of the subset without TLS forgets the rule's",
        [
            rule(
                "api",
                tls("ISTIO_MUTUAL"),
                subsets=[{"name": "v1", **V1, "trafficPolicy": port(80, connectionPool={})}],
            ),
            peer("DISABLE"),
        ],
        PLAIN,
        YES,
    ),
    (
        "its own TLS",
        [rule("api", tls("DISABLE"), subsets=[{"name": "v1", **V1, "trafficPolicy": tls("ISTIO_MUTUAL")}])],
        MTLS,
        YES,
    ),
    ("inherits the rule's", [rule("api", tls("DISABLE"), subsets=[{"name": "v1", **V1}])], PLAIN, YES),
    (
        "a policy without TLS inherits",
        [
            rule(
                "api", tls("DISABLE"), subsets=[{"name": "v1", **V1, "trafficPolicy": {"connectionPool": {}}}]
            )
        ],
        PLAIN,
        YES,
    ),
    (
        "the rule's port is over the rule, not over the subset",
        [
            rule(
                "api",
                tls("DISABLE") | port(80, tls={"mode": "DISABLE"}),
                subsets=[{"name": "v1", **V1, "trafficPolicy": tls("ISTIO_MUTUAL")}],
            )
        ],
        MTLS,
        YES,
    ),
    (
        "the subset's port is over the subset",
        [
            rule(
                "api",
                subsets=[
                    {
                        "name": "v1",
                        **V1,
                        "trafficPolicy": tls("ISTIO_MUTUAL") | port(80, tls={"mode": "DISABLE"}),
                    }
                ],
            )
        ],
        PLAIN,
        YES,
    ),
]


@pytest.mark.parametrize(("objects", "sends", "works"), [c[1:] for c in SUBSETS], ids=[c[0] for c in SUBSETS])
def test_subsets(objects: list[Raw], sends: Sends, works: Answer) -> None:
    other = pod("api-1", labels={"version": "v2"})
    mesh = mesh_of(client(), pod(labels={"version": "v1"}), other, service(), *objects)
    (endpoint,) = outbound(mesh, only(mesh, "client"), "api.shop.svc.cluster.local", 80, "v1").endpoints
    assert (endpoint.workload, endpoint.sends, endpoint.works) == ("Pod shop/api-0", sends, works)


def test_a_subset_that_no_rule_has_gets_nothing() -> None:
    mesh = mesh_of(client(), pod(), service(), rule("api", subsets=[{"name": "v2"}]))
    assert outbound(mesh, only(mesh, "client"), HOST, 80, "v1").sends is NOTHING


def test_auto_mtls_decides_for_each_endpoint_by_its_label() -> None:
    mesh = mesh_of(
        client(),
        pod(),
        pod("api-1", sidecar=False),
        pod("api-2", labels={"security.istio.io/tlsMode": "disabled"}),
        service(),
    )
    found = outbound(mesh, only(mesh, "client"), HOST, 80)
    assert {e.workload[-1]: (e.sends, e.works) for e in found.endpoints} == {
        "0": (MTLS, YES),
        "1": (PLAIN, YES),
        "2": (PLAIN, YES),
    }
    assert found.sends is OPEN


def test_istio_mutual_breaks_endpoints_without_sidecar() -> None:
    mesh = mesh_of(client(), pod(sidecar=False), service(), rule("api", tls("ISTIO_MUTUAL")))
    (endpoint,) = outbound(mesh, only(mesh, "client"), HOST, 80).endpoints
    assert (endpoint.sends, endpoint.works) == (MTLS, NO)


@pytest.mark.parametrize(
    ("others", "sends"),
    [
        ([], MTLS),
        ([pod("api-1", sidecar=False, labels={"security.istio.io/tlsMode": "disabled"})], PLAIN),
        ([pod("api-1", sidecar=False)], PLAIN),
    ],
)
def test_a_headless_service_gets_mtls_only_if_all_endpoints_take_it(others: list[Raw], sends: Sends) -> None:
    mesh = mesh_of(client(), pod(), *others, service(clusterIP="None"))
    assert outbound(mesh, only(mesh, "client"), HOST, 80).sends is sends


def test_a_client_without_sidecar_sends_plaintext() -> None:
    mesh = mesh_of(client(sidecar=False), pod(), service(), peer("STRICT"), rule("api", tls("ISTIO_MUTUAL")))
    (endpoint,) = outbound(mesh, only(mesh, "client"), HOST, 80).endpoints
    assert (endpoint.sends, endpoint.works) == (PLAIN, NO)


def test_auto_mtls_can_be_off() -> None:
    mesh = mesh_of(client(), pod(), service(), auto_mtls=False)
    assert outbound(mesh, only(mesh, "client"), HOST, 80).sends is PLAIN


def test_a_service_that_is_not_exported_is_called_without_mtls() -> None:
    hidden = service()
    hidden["metadata"]["annotations"] = {"networking.istio.io/exportTo": "."}
    mesh = mesh_of(client(), pod(), hidden)
    assert outbound(mesh, only(mesh, "client"), HOST, 80).sends is PLAIN


def test_a_template_counts_as_it_will_be_injected() -> None:
    enabled = namespace("shop")
    enabled["metadata"]["labels"] = {"istio-injection": "enabled"}
    mesh = mesh_of(client(), deployment(), enabled, service(), peer("STRICT"))
    (endpoint,) = outbound(mesh, only(mesh, "client"), HOST, 80).endpoints
    assert (endpoint.workload, endpoint.sends, endpoint.works) == ("Deployment shop/api", MTLS, YES)


def test_what_is_not_a_service_or_not_a_port_is_said() -> None:
    mesh = mesh_of(client(), pod(), service())
    assert outbound(mesh, only(mesh, "client"), "nobody", 80).sends is OPEN
    assert outbound(mesh, only(mesh, "client"), HOST, 81).sends is NOTHING
