from __future__ import annotations

import pytest

from interlock.mesh.callers import callers
from interlock.mesh.monitoring import monitoring
from interlock.mesh.proxy_version import Version, skew, version_of
from interlock.mesh.verdict import Answer, Outcome
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
    service,
    source,
)

YES, NO, OPEN = Answer.YES, Answer.NO, Answer.INDETERMINATE
WEB = pod("web-0", "front", labels={"app": "web"}, serviceAccountName="web")
OLD = pod("old-0", "front", sidecar=False)
IDENTITY = "cluster.local/ns/front/sa/web"

CASES: list[tuple[str, list[Raw], Answer, Answer, Outcome]] = [
    ("nothing restricts", [], YES, YES, Outcome.ALLOW),
    ("STRICT keeps out those without identity", [peer("STRICT")], NO, YES, Outcome.ALLOW),
    ("an ALLOW for one", [policy("ALLOW", source(principals=[IDENTITY]))], NO, OPEN, Outcome.ALLOW),
    ("an ALLOW for another", [policy("ALLOW", source(namespaces=["x"]))], NO, OPEN, Outcome.DENY),
    ("any identity", [policy("ALLOW", source(principals=["*"]))], NO, YES, Outcome.ALLOW),
    ("only some requests", [policy("ALLOW", operation(methods=["GET"]))], OPEN, OPEN, Outcome.INDETERMINATE),
    ("denied for one", [policy("DENY", source(principals=[IDENTITY]))], YES, OPEN, Outcome.DENY),
    ("nobody", [policy("ALLOW")], NO, NO, Outcome.DENY),
]


@pytest.mark.parametrize(
    ("objects", "everybody", "members", "web"), [c[1:] for c in CASES], ids=[c[0] for c in CASES]
)
def test_who_may_call(objects: list[Raw], everybody: Answer, members: Answer, web: Outcome) -> None:
    mesh = mesh_of(pod(), WEB, OLD, service(), *objects)
    found = callers(mesh, only(mesh, "api-0"), 8080)
    assert (found.open_to_all, found.open_to_mesh) == (everybody, members)
    by_name = {caller.principal: caller for caller in found.callers}
    assert by_name[IDENTITY].outcome is web
    assert by_name[IDENTITY].workloads == ("Pod front/web-0",)
    assert by_name[""].workloads == ("Pod front/old-0",)


def test_a_port_without_a_sidecar_is_open_to_all() -> None:
    mesh = mesh_of(pod(sidecar=False), policy("DENY", {}))
    assert callers(mesh, only(mesh), 8080).open_to_all is YES


def test_a_port_that_no_service_declares_may_be_http_or_not() -> None:
    mesh = mesh_of(pod(), policy("DENY", operation(methods=["PUT"])))
    found = callers(mesh, only(mesh), 8080)
    assert found.open_to_all is OPEN  # as TCP it is denied, as HTTP it depends on the method


@pytest.mark.parametrize(
    ("image", "version"),
    [
        ("docker.io/istio/proxyv2:1.27.1", Version(1, 27)),
        ("proxyv2:1.20.0-distroless", Version(1, 20)),
        ("localhost:5000/proxyv2:v1.9", Version(1, 9)),
        ("x/proxyv2:1.27.1@sha256:ab", Version(1, 27)),
        ("1.28.0", Version(1, 28)),
        ("x/proxyv2@sha256:ab", None),
        ("x/proxyv2:latest", None),
        ("auto", None),
        ("localhost:5000/proxyv2", None),
    ],
)
def test_the_version_of_an_image(image: str, version: Version | None) -> None:
    assert version_of(image) == version


@pytest.mark.parametrize(
    ("control_plane", "supported"),
    [("1.27.0", YES), ("1.29.3", YES), ("1.30.0", NO), ("1.26.9", NO), ("2.27.0", NO), ("", OPEN)],
)
def test_the_skew_of_a_sidecar(control_plane: str, supported: Answer) -> None:
    mesh = mesh_of(pod())
    assert skew(only(mesh), control_plane).supported is supported


SCRAPE = {
    "prometheus.io/scrape": "true",
    "prometheus.io/port": "15020",
    "prometheus.io/path": "/stats/prometheus",
}


@pytest.mark.parametrize(
    ("raw", "scraped"),
    [
        (pod(notes=SCRAPE), YES),
        (pod(), NO),
        (pod(notes=SCRAPE | {"prometheus.io/scrape": "false"}), NO),
        (pod(notes=SCRAPE | {"prometheus.io/path": "/metrics"}), NO),
        (pod(notes=SCRAPE, sidecar=False), NO),
        (pod(notes=SCRAPE, labels={"gateway.istio.io/managed": "istio.io-mesh-controller"}), OPEN),
        (deployment(spec={"containers": [APP, SIDECAR]}), YES),
        (
            deployment(
                metadata={"annotations": {"prometheus.istio.io/merge-metrics": "false"}},
                spec={"containers": [APP, SIDECAR]},
            ),
            NO,
        ),
    ],
)
def test_whether_a_workload_is_scraped(raw: Raw, scraped: Answer) -> None:
    mesh = mesh_of(raw)
    assert monitoring(mesh, only(mesh)).scraped is scraped


@pytest.mark.parametrize(("requests", "traffic"), [(None, OPEN), (0.0, NO), (3.0, YES)])
def test_whether_traffic_was_seen(requests: float | None, traffic: Answer) -> None:
    mesh = mesh_of(pod(notes=SCRAPE))
    assert monitoring(mesh, only(mesh), requests).traffic is traffic
