"""The sandbox's sidecars: each pod of an injected namespace has one, and it does what the policies say."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import ssl
import tempfile
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from running_sandbox import RunningSandbox

from sandbox.mesh.authority import Authority
from sandbox.mesh.objects import inner_address

pytestmark = pytest.mark.sandbox

SPACE = "mesh-lab"
POLICY_SECONDS = 2.0  # within which behaviour follows a change
LIVES_SHORTLY = "proxyMetadata: {SECRET_TTL: 6s}"
PODS: Mapping[str, tuple[dict[str, str], dict[str, str]]] = {
    "server": ({}, {}),
    "client": ({}, {}),
    "brief": ({}, {"proxy.istio.io/config": LIVES_SHORTLY}),
    "open": ({}, {"traffic.sidecar.istio.io/excludeInboundPorts": "8080"}),
    "bare": ({"sidecar.istio.io/inject": "false"}, {}),
}


def _objects() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = [
        {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": SPACE, "labels": {"istio-injection": "enabled"}},
        }
    ]
    for name, (labels, notes) in PODS.items():
        container = {
            "name": "app",
            "image": "registry.internal/service-a:1.0.0",
            "ports": [{"name": "http", "containerPort": 8080}],
            "readinessProbe": {"httpGet": {"path": "/readyz", "port": "http"}, "periodSeconds": 1},
        }
        metadata = {"name": name, "namespace": SPACE}
        spec = {
            "serviceAccountName": name,
            "terminationGracePeriodSeconds": 1,
            "containers": [container],
        }
        found += [
            {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": metadata},
            {
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": metadata,
                "spec": {
                    "selector": {"app": name},
                    "ports": [{"name": "http", "port": 80, "targetPort": "http"}],
                },
            },
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {**metadata, "labels": {"app": name, **labels}, "annotations": notes},
                "spec": spec,
            },
        ]
    return found


class Lab:
    """The pods of the namespace, and calls to them."""

    def __init__(self, sandbox: RunningSandbox) -> None:
        self.sandbox = sandbox
        self.addresses = {name: str(self.pod(name)["status"]["podIP"]) for name in PODS}

    def pod(self, name: str) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(
            self.sandbox.kubectl_run("-n", SPACE, "get", "pod", name, "-o", "json")
        )
        return found

    def apply(self, kind: str, name: str, spec: Mapping[str, object]) -> None:
        body = {
            "apiVersion": "security.istio.io/v1",
            "kind": kind,
            "metadata": {"name": name, "namespace": SPACE},
            "spec": spec,
        }
        self.sandbox.kubectl_run("apply", "-f", "-", given=json.dumps(body))

    def delete(self, kind: str, name: str) -> None:
        self.sandbox.kubectl_run("-n", SPACE, "delete", kind, name, "--ignore-not-found")

    def in_plaintext(self, name: str) -> int:
        """The status that a plaintext request to a pod gets; 0 if the connection is refused."""
        return _status(self.addresses[name], 8080, "/version")

    def through_the_mesh(self, name: str) -> int:
        """The status that a request gets which the client's program sends through its sidecar."""
        proxy = inner_address(self.addresses["client"])
        return _status(proxy, 15001, f"http://{name}.{SPACE}.svc.cluster.local/version")

    def certificate(self, name: str) -> x509.Certificate:
        """The certificate that a pod shows to a client of the mesh."""
        root = self.sandbox.root / "data" / "mesh" / "authority.pem"
        now = datetime.now(UTC)
        own = Authority(root, now).issue(f"spiffe://cluster.local/ns/{SPACE}/sa/client", now)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.load_verify_locations(cadata=Authority(root, now).trusted)
        context.set_alpn_protocols(["istio-http/1.1"])
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder) / "own.pem"
            file.write_text(own.key + own.chain)
            context.load_cert_chain(file)
        with (
            socket.create_connection((self.addresses[name], 8080), timeout=5) as plain,
            context.wrap_socket(plain) as secure,
        ):
            shown = secure.getpeercert(binary_form=True)
        assert shown is not None
        return x509.load_der_x509_certificate(shown)

    def is_valid(self, name: str) -> bool:
        """Whether a new connection to a pod can be made: those that are open outlive a certificate."""
        try:
            self.certificate(name)
        except ssl.SSLCertVerificationError:
            return False
        return True


def _status(host: str, port: int, target: str) -> int:
    connection = http.client.HTTPConnection(host, port, timeout=5)
    with contextlib.closing(connection):
        try:
            connection.request("GET", target)
            return connection.getresponse().status
        except (OSError, http.client.HTTPException):
            return 0


@pytest.fixture(scope="module")
def lab(sandbox: RunningSandbox) -> Iterator[Lab]:
    for one in _objects():
        sandbox.kubectl_run("apply", "-f", "-", given=json.dumps(one))
    try:
        sandbox.kubectl_run("-n", SPACE, "wait", "--for=condition=Ready", "pod", "--all", "--timeout=50s")
        yield Lab(sandbox)
    finally:
        sandbox.kubectl_run("delete", "namespace", SPACE, "--wait=false")


def test_strict_refuses_plaintext_and_takes_the_mesh_s_own_mtls(lab: Lab) -> None:
    assert lab.in_plaintext("server") == 0
    assert lab.through_the_mesh("server") == 200
    names = lab.certificate("server").extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == [
        f"spiffe://cluster.local/ns/{SPACE}/sa/server"
    ]


def test_behaviour_follows_a_change_of_the_mtls_mode_and_back(lab: Lab) -> None:
    try:
        for _ in range(2):
            lab.apply("PeerAuthentication", "default", {"mtls": {"mode": "PERMISSIVE"}})
            seconds = [
                lab.sandbox.until(
                    lambda: lab.in_plaintext("server") == 200,
                    POLICY_SECONDS,
                    "plaintext to be taken",
                    poll=0.02,
                )
            ]
            assert lab.through_the_mesh("server") == 200
            lab.apply("PeerAuthentication", "default", {"mtls": {"mode": "STRICT"}})
            seconds.append(
                lab.sandbox.until(
                    lambda: lab.in_plaintext("server") == 0,
                    POLICY_SECONDS,
                    "plaintext to be refused",
                    poll=0.02,
                )
            )
            print(f"followed after {seconds} s")
    finally:
        lab.delete("peerauthentication", "default")


def test_a_denied_call_is_answered_with_403_as_soon_as_the_policy_is_there(lab: Lab) -> None:
    client = {"source": {"principals": [f"cluster.local/ns/{SPACE}/sa/client"]}}
    spec = {
        "action": "DENY",
        "selector": {"matchLabels": {"app": "server"}},
        "rules": [{"from": [client]}],
    }
    try:
        lab.apply("AuthorizationPolicy", "deny", spec)
        lab.sandbox.until(lambda: lab.through_the_mesh("server") == 403, POLICY_SECONDS, "403", poll=0.02)
        assert lab.through_the_mesh("brief") == 200
    finally:
        lab.delete("authorizationpolicy", "deny")
    lab.sandbox.until(lambda: lab.through_the_mesh("server") == 200, POLICY_SECONDS, "200", poll=0.02)


def test_a_pod_that_opts_out_has_no_sidecar_and_an_excluded_port_passes_by_it(lab: Lab) -> None:
    assert [one["name"] for one in lab.pod("bare")["spec"]["containers"]] == ["app"]
    assert lab.in_plaintext("bare") == 200
    assert lab.through_the_mesh("bare") == 200
    assert [one["name"] for one in lab.pod("open")["spec"]["containers"]] == ["app", "istio-proxy"]
    assert lab.in_plaintext("open") == 200


def test_certificates_are_renewed_long_before_they_expire(lab: Lab) -> None:
    first = lab.certificate("brief")
    lab.sandbox.until(
        lambda: lab.certificate("brief").serial_number != first.serial_number,
        6,
        "a new certificate",
        poll=0.2,
    )
    assert first.not_valid_after_utc > datetime.now(UTC)


def test_a_sidecar_that_is_killed_is_started_again_and_its_pod_is_not_ready_meanwhile(lab: Lab) -> None:
    pod = lab.pod("server")
    record = lab.sandbox.root / "data" / "node" / "running" / f"{pod['metadata']['uid']}.istio-proxy.json"
    os.kill(json.loads(record.read_text())["pid"], signal.SIGKILL)

    def proxy() -> dict[str, Any]:
        statuses = lab.pod("server")["status"]["containerStatuses"]
        return next(one for one in statuses if one["name"] == "istio-proxy")

    lab.sandbox.until(lambda: not proxy()["ready"], 5, "the pod to be unready", poll=0.02)
    lab.sandbox.until(lambda: proxy()["ready"], 10, "the sidecar to be back", poll=0.1)
    assert proxy()["restartCount"] == 1
    assert proxy()["lastState"]["terminated"]["exitCode"] == 137
    lab.sandbox.until(lambda: lab.through_the_mesh("server") == 200, 5, "the server to answer", poll=0.1)


def test_while_the_mesh_is_away_no_pod_is_made_without_a_sidecar_and_certificates_expire(lab: Lab) -> None:
    image = "registry.internal/service-a:1.0.0"
    lab.sandbox.stop_program("mesh")
    try:
        with pytest.raises(AssertionError, match="sidecar-injector"):
            lab.sandbox.kubectl_run("-n", SPACE, "run", "late", f"--image={image}")
        assert lab.through_the_mesh("server") == 200
        lab.sandbox.until(lambda: not lab.is_valid("brief"), 10, "the certificate to expire", poll=0.2)
    finally:
        lab.sandbox.start_program("mesh")
    lab.sandbox.until(lambda: lab.is_valid("brief"), 15, "connections to be made again", poll=0.2)
    lab.sandbox.kubectl_run("-n", SPACE, "run", "late", f"--image={image}")
    assert [one["name"] for one in lab.pod("late")["spec"]["containers"]] == ["late", "istio-proxy"]
