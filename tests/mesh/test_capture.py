from __future__ import annotations

import pytest

from interlock.mesh.inbound import port_verdict
from interlock.mesh.verdict import Answer, Mode
from tests.mesh.mesh_objects import APP, GATEWAY, SIDECAR, Raw, mesh_of, namespace, only, peer, pod, sidecar

STRICT = peer("STRICT", namespace="istio-system")
INCLUDE = "traffic.sidecar.istio.io/includeInboundPorts"
EXCLUDE = "traffic.sidecar.istio.io/excludeInboundPorts"


def init(*args: str) -> list[Raw]:
    return [{"name": "istio-init", "args": ["istio-iptables", *args]}]


BYPASSED = [
    ("no sidecar", pod(sidecar=False), 8080),
    ("hostNetwork", pod(hostNetwork=True), 8080),
    ("an excluded port", pod(notes={EXCLUDE: "9, 8080"}), 8080),
    ("a port that isn't included", pod(notes={INCLUDE: "9,10"}), 8080),
    ("no port is included", pod(notes={INCLUDE: ""}), 8080),
    ("the sidecar's own port", pod(), 15021),
    ("the status port that the pod chose", pod(notes={"status.sidecar.istio.io/port": "15777"}), 15777),
    ("interception NONE", pod(notes={"sidecar.istio.io/interceptionMode": "NONE"}), 8080),
    ("istio-init excludes it", pod(initContainers=init("-b", "*", "-d", "15090,8080")), 8080),
    ("istio-init includes others", pod(initContainers=init("-b", "9", "-d", "15090")), 8080),
    ("istio-init includes none", pod(initContainers=init("-b", "")), 8080),
    (
        "Envoy is switched off",
        pod(containers=[APP, SIDECAR | {"env": [{"name": "DISABLE_ENVOY", "value": "true"}]}]),
        8080,
    ),
]


@pytest.mark.parametrize(("raw", "port"), [case[1:] for case in BYPASSED], ids=[case[0] for case in BYPASSED])
def test_plaintext_is_accepted_whatever_the_policies_say(raw: Raw, port: int) -> None:
    mesh = mesh_of(raw, STRICT)
    verdict = port_verdict(mesh, only(mesh), port)
    assert (verdict.plaintext, verdict.mtls, verdict.bypassed) == (Answer.YES, Answer.NO, True)
    assert verdict.mode is Mode.STRICT
    assert verdict.reasons[-1].ref == "Pod shop/api-0"


CAPTURED = [
    ("by default", pod(), 8080),
    ("exclusions don't count where ports are included", pod(notes={INCLUDE: "8080", EXCLUDE: "8080"}), 8080),
    ("another port is excluded", pod(notes={EXCLUDE: "9"}), 8080),
    (
        "istio-init is believed, not annotations",
        pod(notes={EXCLUDE: "8080"}, initContainers=init("-b", "*", "-d", "")),
        8080,
    ),
    ("a status port that the pod gave up", pod(notes={"status.sidecar.istio.io/port": "0"}), 15020),
    ("a native sidecar", pod(containers=[APP], initContainers=[SIDECAR | {"restartPolicy": "Always"}]), 8080),
]


@pytest.mark.parametrize(("raw", "port"), [case[1:] for case in CAPTURED], ids=[case[0] for case in CAPTURED])
def test_the_policy_holds_on_captured_ports(raw: Raw, port: int) -> None:
    mesh = mesh_of(raw, STRICT)
    verdict = port_verdict(mesh, only(mesh), port)
    assert (verdict.plaintext, verdict.mtls, verdict.bypassed) == (Answer.NO, Answer.YES, False)


OPEN = [
    ("a gateway", pod(containers=[GATEWAY])),
    ("a waypoint", pod(labels={"gateway.istio.io/managed": "istio.io-mesh-controller"})),
    ("redirected by ambient", pod(sidecar=False, notes={"ambient.istio.io/redirection": "enabled"})),
    ("labelled for ambient", pod(sidecar=False, labels={"istio.io/dataplane-mode": "ambient"})),
    ("a port list that can't be read", pod(notes={EXCLUDE: "80-90"})),
    ("image: auto that was never replaced", pod(containers=[APP, SIDECAR | {"image": "auto"}])),
]


@pytest.mark.parametrize("raw", [case[1] for case in OPEN], ids=[case[0] for case in OPEN])
def test_what_can_t_be_judged_is_indeterminate_by_name(raw: Raw) -> None:
    mesh = mesh_of(raw, STRICT)
    verdict = port_verdict(mesh, only(mesh), 8080)
    assert (verdict.plaintext, verdict.mtls) == (Answer.INDETERMINATE, Answer.INDETERMINATE)
    assert verdict.reasons[-1].ref == "Pod shop/api-0"


def test_a_namespace_in_ambient_mode_leaves_out_pods_that_say_none() -> None:
    ambient = namespace()
    ambient["metadata"]["labels"] = {"istio.io/dataplane-mode": "ambient"}
    for labels, expected in (({}, Answer.INDETERMINATE), ({"istio.io/dataplane-mode": "none"}, Answer.YES)):
        mesh = mesh_of(ambient, STRICT, pod(sidecar=False, labels=labels))
        assert port_verdict(mesh, only(mesh), 8080).plaintext is expected


def test_the_defaults_of_the_mesh_hold_without_annotations() -> None:
    mesh = mesh_of(pod(), STRICT, exclude_inbound_ports="8080")
    assert port_verdict(mesh, only(mesh), 8080).bypassed
    mesh = mesh_of(pod(), STRICT, include_inbound_ports="9")
    assert port_verdict(mesh, only(mesh), 8080).bypassed


def test_a_listener_that_a_sidecar_object_binds_needs_no_redirection() -> None:
    uncaptured = pod(notes={"sidecar.istio.io/interceptionMode": "NONE"})
    ingress = [
        {"port": {"number": 9443, "protocol": "HTTP", "name": "http"}, "defaultEndpoint": "127.0.0.1:8080"}
    ]
    mesh = mesh_of(uncaptured, STRICT, sidecar(ingress=ingress))
    assert port_verdict(mesh, only(mesh), 9443).plaintext is Answer.NO
    assert port_verdict(mesh, only(mesh), 8080).bypassed


def test_nothing_is_forwarded_from_the_sidecar_s_inbound_listener() -> None:
    mesh = mesh_of(pod())
    assert port_verdict(mesh, only(mesh), 15006).plaintext is Answer.NO
