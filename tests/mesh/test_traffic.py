"""Observed traffic: what it is said to be, and where it differs from what the policies say."""

from __future__ import annotations

from dataclasses import replace

import pytest

from interlock.mesh.golden_signals import golden_signals
from interlock.mesh.traffic import (
    Observation,
    Requests,
    Security,
    Source,
    traffic,
    traffic_findings,
    workload_traffic,
)
from interlock.mesh.verdict import Answer
from tests.mesh.mesh_objects import Raw, mesh_of, peer, pod, service

YES, NO, OPEN = Answer.YES, Answer.NO, Answer.INDETERMINATE
WEB = Source("web", "shop", "spiffe://cluster.local/ns/shop/sa/web")
STRICT = peer("STRICT")


def requests(
    count: float = 1, *, code: int = 200, security: str = "mutual_tls", source: Source = WEB, **more: str
) -> Requests:
    found = {"pod": "api-0", "workload": "api", "service": "api.shop.svc.cluster.local"} | more
    return Requests(**found, source=source, code=code, security=Security.of(security), count=count)


def observed(*found: Requests, scraped: bool | None = True, **more: object) -> Observation:
    """What was seen of one pod, `api-0`; `scraped` None: Prometheus doesn't know it."""
    pods = {} if scraped is None else {"api-0": scraped}
    given = Observation("shop", 300.0, found, pods, frozenset({"api-0"}))
    return replace(given, **more)  # type: ignore[arg-type]


MTLS, PLAIN = requests(8), requests(2, security="none", source=Source())
AWAY = Observation.unseen("shop", 300.0, "no answer")


def test_requests_plaintext_errors_and_sources_are_summed() -> None:
    curious = Source("curl", "lab")
    found = traffic(
        observed(MTLS, PLAIN, requests(3, security="none", source=curious), requests(1, code=503)), ["api-0"]
    )
    assert (found.seen, found.requests, found.plaintext, found.errors) == (YES, 14, 5, 1)
    assert found.share_plaintext == pytest.approx(5 / 14)
    assert found.share_errors == pytest.approx(1 / 14)
    assert [str(one) for one in found.plaintext_sources] == ["lab/curl", "a caller without a sidecar"]


@pytest.mark.parametrize(("code", "failed"), [(200, False), (404, False), (500, True), (0, True)])
def test_a_failure_is_the_servers_or_no_answer(code: int, failed: bool) -> None:
    assert requests(code=code).failed is failed


def test_a_share_is_not_told_where_the_security_of_some_requests_is_unknown() -> None:
    found = traffic(observed(MTLS, requests(1, security="")), ["api-0"])
    assert (found.unknown, found.share_plaintext) == (1, None)


SEEN = [
    ("traffic", observed(MTLS), YES, "8 requests in the last 5 minutes"),
    ("a counter that stands still", observed(requests(0)), NO, "no request in the last 5 minutes"),
    ("scraped without traffic", observed(), NO, "scraped, and no request"),
    ("not scraped", observed(scraped=None), OPEN, "does not scrape the sidecar of api-0"),
    ("scraped in part", observed(scraped=False), OPEN, "could not scrape the sidecar of api-0 all the time"),
    ("Prometheus away", AWAY, OPEN, "no answer"),
    ("an answer in part", observed(problems=("a store is away",)), OPEN, "a store is away"),
]


@pytest.mark.parametrize(
    ("found", "seen", "said"), [case[1:] for case in SEEN], ids=[case[0] for case in SEEN]
)
def test_no_traffic_is_told_apart_from_none_that_can_be_seen(
    found: Observation, seen: Answer, said: str
) -> None:
    whole = traffic(found, ["api-0"])
    assert whole.seen is seen
    assert said in "; ".join(whole.reasons)
    assert golden_signals(found, ["api-0"]).present is seen


def test_traffic_of_no_pod_at_all_can_not_be_told() -> None:
    assert traffic(observed(MTLS), []).seen is OPEN


def test_a_workload_is_all_its_pods() -> None:
    found = workload_traffic(observed(MTLS, requests(2, pod="api-1"), requests(1, pod="x", workload="cart")))
    assert {name: one.requests for name, one in found.items()} == {"api": 10, "cart": 1}


def test_each_golden_signal_is_looked_for() -> None:
    whole = golden_signals(observed(MTLS), ["api-0"])
    assert (whole.rate, whole.errors, whole.duration, whole.reasons) == (YES, YES, YES, ())
    no_codes = golden_signals(observed(requests(code=0)), ["api-0"])
    assert (no_codes.rate, no_codes.errors, no_codes.present) == (YES, NO, NO)
    untimed = observed(MTLS, timed=frozenset())
    assert golden_signals(untimed, ["api-0"]).duration is NO
    assert "istio_request_duration_milliseconds_bucket" in golden_signals(untimed, ["api-0"]).reasons[0]
    partial = replace(untimed, problems=("a store is away",))
    assert golden_signals(partial, ["api-0"]).present is OPEN


def codes(found: Observation, *objects: Raw) -> list[str]:
    mesh = mesh_of(service(), *(objects or (pod(), STRICT)))
    return [finding.code for finding in traffic_findings(mesh, found)]


def test_a_strict_pod_with_mtls_alone_has_no_finding() -> None:
    assert codes(observed(MTLS)) == []


def test_plaintext_at_a_strict_pod_is_found_with_who_sent_it_and_the_rule() -> None:
    mesh = mesh_of(pod(), service(), STRICT)
    [finding] = traffic_findings(mesh, observed(MTLS, PLAIN))
    assert (finding.code, finding.name, finding.ref) == ("ILM012", "PlaintextObserved", "Pod shop/api-0")
    assert finding.text.startswith(
        "2 requests came in plaintext in the last 5 minutes, from a caller without"
    )
    assert "PeerAuthentication shop/peer" in finding.text


@pytest.mark.parametrize(
    "objects",
    [
        (pod(), peer("PERMISSIVE")),
        (pod(), peer("DISABLE")),
        (pod(),),
        # One port takes plaintext, and the metrics don't tell the port.
        (pod(), STRICT, peer("STRICT", name="w", app="api", ports={8080: "PERMISSIVE"})),
        # Those that no Service declares do.
        (pod(), STRICT, peer("STRICT", name="w", app="api", ports={"0": "PERMISSIVE"})),
    ],
)
def test_plaintext_that_the_policies_let_in_is_no_difference(objects: tuple[Raw, ...]) -> None:
    assert codes(observed(MTLS, PLAIN), *objects) == []


def test_plaintext_that_only_an_opaque_port_lets_in_is_a_difference() -> None:
    """Requests are counted on HTTP ports alone."""
    ports = [{"name": "http", "port": 80, "targetPort": 8080}, {"name": "tcp-x", "port": 9090}]
    lax = peer("STRICT", name="w", app="api", ports={9090: "PERMISSIVE"})
    mesh = mesh_of(pod(), service(ports=ports), lax)
    assert [one.code for one in traffic_findings(mesh, observed(PLAIN))] == ["ILM012"]


def test_a_port_that_passes_the_sidecar_by_is_not_in_the_metrics() -> None:
    around = pod(notes={"traffic.sidecar.istio.io/excludeInboundPorts": "9999"})
    around["spec"]["containers"][0] = {
        "name": "app",
        "ports": [{"containerPort": 8080}, {"containerPort": 9999}],
    }
    assert codes(observed(PLAIN), around, STRICT) == ["ILM012"]


def test_no_traffic_is_told_and_blocks_nothing() -> None:
    mesh = mesh_of(pod(), service(), STRICT)
    [finding] = traffic_findings(mesh, observed())
    assert (finding.code, finding.severity) == ("ILM013", "Info")


@pytest.mark.parametrize("found", [(), (MTLS,)])
@pytest.mark.parametrize("scraped", [None, False])
def test_a_pod_that_is_not_scraped_is_an_error_of_its_own(
    found: tuple[Requests, ...], scraped: bool | None
) -> None:
    """With requests too: those that came while nobody looked may have been in the clear."""
    [finding] = traffic_findings(mesh_of(pod(), service(), STRICT), observed(*found, scraped=scraped))
    assert (finding.code, finding.severity, finding.ref) == ("ILM014", "Error", "Pod shop/api-0")


def test_what_holds_for_all_is_said_once_and_hides_no_plaintext() -> None:
    mesh = mesh_of(pod(), pod("api-1"), service(), STRICT)
    [finding] = traffic_findings(mesh, AWAY)
    assert (finding.code, finding.ref) == ("ILM014", "Namespace shop")
    partial = observed(PLAIN, problems=("a store is away",))
    assert [one.code for one in traffic_findings(mesh, partial)] == ["ILM014", "ILM012"]


def test_requests_whose_security_is_unknown_are_no_pass() -> None:
    assert codes(observed(MTLS, requests(2, security="unknown"))) == ["ILM014"]


def test_pods_without_a_sidecar_templates_and_other_namespaces_are_not_judged() -> None:
    assert codes(observed(), pod(sidecar=False), pod("far-0", "far"), STRICT) == []
