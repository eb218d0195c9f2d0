"""What the mesh probe tries, what its Job asks for, and what follows from what it saw."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from interlock import mesh_probe
from interlock.manifest import Manifest
from interlock.mesh.gate import Gate, GateError, Probe
from interlock.mesh.mesh import Mesh
from interlock.mesh.observed import Observed, observed, observed_findings
from interlock.mesh.probe_job import DEADLINE_SECONDS, PROBE_LABEL, job
from interlock.mesh.probe_plan import ProbePlan, plan, running, waiting
from interlock.mesh.probe_result import Certificate, Heard, ProbeResultError, Tried, read_result
from interlock.mesh.verdict import Answer
from tests.mesh.mesh_objects import Raw, mesh_of, peer, pod, service, sidecar

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
OWN = "spiffe://cluster.local/ns/shop/sa/default"
STRICT, PERMISSIVE, DISABLE = (peer(mode) for mode in ("STRICT", "PERMISSIVE", "DISABLE"))
UDP = {"name": "dns", "port": 53, "protocol": "UDP"}


def api(name: str = "api-0", ip: str = "10.0.0.1", **more: Any) -> Raw:
    return pod(name, **more) | {"status": {"podIP": ip, "phase": "Running"}}


def planned(*objects: Raw, limit: int = 20) -> ProbePlan:
    found = [Manifest.of(raw) for raw in objects]
    return plan(mesh_of(*objects), "shop", running(found), limit, late=waiting(found))


def certificate(identity: str = OWN, *, hours: float = 24, left: float = 20) -> Certificate:
    """One that lives for so many hours, and has so many left."""
    until = NOW + timedelta(hours=left)
    return Certificate((identity,) if identity else (), until - timedelta(hours=hours), until)


def tried(plaintext: str = "closed", mtls: str = "answered", **more: Any) -> Tried:
    given = {"certificate": certificate()} if mtls in ("answered", "open", "closed") else {}
    return Tried(Heard(plaintext), Heard(mtls), **{**given, **more})


def codes(found: Tried, *policies: Raw, without_sidecar: bool = False) -> list[str]:
    objects = [api(sidecar=not without_sidecar), service(), *policies]
    of = planned(*objects)
    seen = observed(of, {("10.0.0.1", 8080): found})
    return [one.code for one in observed_findings(seen, of, mesh_of(*objects).settings, NOW)]


# What is tried


def test_declared_ports_of_running_pods_are_tried_and_no_others() -> None:
    ports = [{"name": "http", "port": 80, "targetPort": 8080}, {"name": "tcp-x", "port": 9000}, UDP]
    found = planned(
        api(),
        api("gone-0", "10.0.0.2") | {"status": {"podIP": "10.0.0.2", "phase": "Succeeded"}},
        pod("pending-0") | {"status": {"phase": "Running"}},
        service(ports=ports),
        peer("STRICT", app="api", ports={"7000": "DISABLE"}),
        sidecar(ingress=[{"port": {"number": 6000, "protocol": "TCP", "name": "x"}}]),
    )
    assert [target.where for target in found.targets] == [("10.0.0.1", 8080), ("10.0.0.1", 9000)]
    assert found.left_out == ()


def test_a_target_says_how_it_is_asked_and_by_which_name() -> None:
    ports = [{"name": "http", "port": 80, "targetPort": 8080}, {"name": "tcp-x", "port": 9000}]
    http, opaque = planned(api(), service(ports=ports)).targets
    assert http.to_json() == {
        "address": "10.0.0.1",
        "port": 8080,
        "host": "api.shop.svc.cluster.local",
        "protocol": "HTTP",
    }
    assert opaque.to_json()["protocol"] == "TCP"
    assert planned(api()).targets[0].to_json()["host"] == "10.0.0.1"


def test_pods_that_are_being_deleted_and_other_namespaces_are_left_alone() -> None:
    going, far = api(), pod("far-0", "far") | {"status": {"podIP": "10.0.0.9", "phase": "Running"}}
    going["metadata"]["deletionTimestamp"] = "2026-05-01T12:00:00Z"
    assert planned(going, far).targets == ()


def test_a_workload_of_which_no_pod_runs_yet_is_told_and_does_not_pass() -> None:
    def late(name: str, app: str, phase: str) -> Raw:
        return pod(name, labels={"app": app}) | {"status": {"phase": phase}}

    going = late("going-0", "going", "Pending")
    going["metadata"]["deletionTimestamp"] = "2026-05-01T12:00:00Z"
    found = planned(
        api("api-0", labels={"app": "api"}),
        late("api-1", "api", "Pending"),
        late("web-0", "web", "Pending"),
        late("web-1", "web", "Pending"),
        late("done-0", "done", "Succeeded"),
        late("bare-0", "bare", "Running"),
        going,
    )
    assert [target.workload.name for target in found.targets] == ["api-0"]
    assert [target.workload.name for target in found.waiting] == ["bare-0", "web-0"]
    seen = observed(found, {target.where: tried("answered") for target in found.targets})
    told = observed_findings(seen, found, mesh_of().settings, NOW)
    assert [(one.code, one.ref) for one in told] == [
        ("ILM028", "Pod shop/bare-0"),
        ("ILM028", "Pod shop/web-0"),
    ]
    assert "does not run yet" in told[0].text


def test_each_workload_comes_before_replicas_and_what_is_over_the_limit_is_named() -> None:
    pods = [
        api(f"api-{n}", f"10.0.0.{n}", labels={"statefulset.kubernetes.io/pod-name": f"api-{n}"})
        for n in (1, 2)
    ]
    other = api("web-0", "10.0.0.9", labels={"app": "web"})
    found = planned(*pods, other, limit=2)
    assert [target.workload.name for target in found.targets] == ["api-1", "web-0"]
    assert [target.workload.name for target in found.left_out] == ["api-2"]
    seen = observed(found, {target.where: tried("answered") for target in found.targets})
    [finding] = observed_findings(seen, found, mesh_of().settings, NOW)
    assert (finding.code, finding.ref) == ("ILM028", "Pod shop/api-2")
    assert "at most 2 ports" in finding.text


# The Job


def test_the_job_is_bounded_has_its_own_identity_and_is_uncaptured() -> None:
    made = job(
        Probe(image="registry.internal/interlock:1", service_account="prober"),
        planned(api()),
        namespace="shop",
        name="probe-1",
        owner="run 1",
    )
    assert (made.kind, made.namespace, made.name) == ("Job", "shop", "probe-1")
    assert (made.spec["backoffLimit"], made.spec["activeDeadlineSeconds"]) == (0, DEADLINE_SECONDS)
    assert made.spec["ttlSecondsAfterFinished"] > 0
    template = made.spec["template"]
    notes, spec = template["metadata"]["annotations"], template["spec"]
    assert template["metadata"]["labels"][PROBE_LABEL] == "probe-1"
    assert notes["traffic.sidecar.istio.io/includeOutboundIPRanges"] == ""
    config = json.loads(notes["proxy.istio.io/config"])
    [mount] = json.loads(notes["sidecar.istio.io/userVolumeMount"])
    assert config["proxyMetadata"]["OUTPUT_CERTS"] == mount["mountPath"]
    [container] = spec["containers"]
    assert container["volumeMounts"] == [mount]
    assert spec["volumes"][0]["emptyDir"]["medium"] == "Memory"
    assert (spec["serviceAccountName"], spec["automountServiceAccountToken"]) == ("prober", False)
    assert (spec["restartPolicy"], spec["securityContext"]["runAsNonRoot"]) == ("Never", True)
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    env = {entry["name"]: entry["value"] for entry in container["env"]}
    assert [one["port"] for one in json.loads(env[mesh_probe.TARGETS])] == [8080]
    assert env[mesh_probe.CERTIFICATES] == mount["mountPath"]
    assert container["command"] == ["python3", "-m", mesh_probe.__name__]


@pytest.mark.parametrize("wrong", [{"image": ""}, {"image": "a", "limit": 0}, {"image": "a", "limit": 257}])
def test_a_probe_that_can_not_be_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(GateError, match="probe: "):
        Gate(probe=Probe(**wrong))


def test_a_gate_has_its_probe_again_after_json() -> None:
    assert Gate(probe={"image": "a", "limit": 5}).probe == Probe("a", limit=5)  # type: ignore[arg-type]


# Its result


def _pem(identity: str) -> str:
    key = ec.generate_private_key(ec.SECP256R1())
    names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(identity)])
    builder = x509.CertificateBuilder().subject_name(x509.Name([])).issuer_name(x509.Name([]))
    made = (
        builder.public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(NOW)
        .not_valid_after(NOW + timedelta(hours=1))
        .add_extension(names, critical=True)
        .sign(key, hashes.SHA256())
    )
    return made.public_bytes(serialization.Encoding.PEM).decode()


def log_of(*certificates: str, mtls: Raw | None = None, **more: Any) -> str:
    said = {"result": "answered", "said": "200", "certificate": 0, "untrusted": ""} | (mtls or {})
    one = {"address": "10.0.0.1", "port": 8080, "plaintext": {"result": "closed", "said": ""}, "mtls": said}
    document = {"version": 1, "results": [one], "certificates": list(certificates)} | more
    return "\n".join(["a line before", mesh_probe.BEGIN, json.dumps(document, indent=1), mesh_probe.END, ""])


def test_a_result_is_read_with_the_identity_and_the_life_of_each_certificate() -> None:
    [(where, found)] = read_result(log_of(_pem(OWN))).items()
    assert where == ("10.0.0.1", 8080)
    assert (found.plaintext, found.mtls, found.mtls_said) == ("closed", "answered", "200")
    assert found.certificate == Certificate((OWN,), NOW, NOW + timedelta(hours=1))


def test_a_certificate_that_is_none_names_nobody() -> None:
    [found] = read_result(log_of("-----BEGIN CERTIFICATE-----\nx")).values()
    assert found.certificate is None
    assert Observed(planned(api()).targets[0], found).mtls is Answer.NO


@pytest.mark.parametrize(
    ("log", "said"),
    [
        ("", "its last line: nothing"),
        ("Traceback\nImportError: no module", "ImportError: no module"),
        (log_of(_pem(OWN))[:-40], "no whole result"),
        (log_of(_pem(OWN), version=2), "version 2, expected 1"),
        (log_of(), "can't be read"),
        (log_of(_pem(OWN), mtls={"result": "fine"}), "'fine' is not a valid Heard"),
    ],
)
def test_a_log_without_a_whole_result_says_what_it_holds(log: str, said: str) -> None:
    with pytest.raises(ProbeResultError, match=said):
        read_result(log)


# Declared and observed

CASES = [
    ("ILM020", tried("answered"), STRICT, tried("closed"), STRICT),
    ("ILM020", tried("open"), STRICT, tried("open"), PERMISSIVE),
    ("ILM021", tried("closed"), PERMISSIVE, tried("answered"), PERMISSIVE),
    ("ILM021", tried("rejected"), PERMISSIVE, tried("closed"), STRICT),
    ("ILM022", tried("closed", "rejected"), STRICT, tried("answered", "rejected"), DISABLE),
    (
        "ILM022",
        tried("answered", "closed", certificate=None),
        PERMISSIVE,
        tried("answered", "open"),
        PERMISSIVE,
    ),
    ("ILM022", tried("answered", "silent"), PERMISSIVE, tried("answered", "silent"), DISABLE),
    ("ILM022", tried(certificate=certificate("")), STRICT, tried(), STRICT),
    ("ILM023", tried("answered"), DISABLE, tried("answered", certificate=certificate("")), DISABLE),
    (
        "ILM024",
        tried(certificate=certificate("spiffe://cluster.local/ns/shop/sa/web")),
        STRICT,
        tried(),
        STRICT,
    ),
    ("ILM025", tried(untrusted="unable to get local issuer certificate"), STRICT, tried(), STRICT),
    (
        "ILM026",
        tried(certificate=certificate(left=0)),
        STRICT,
        tried(certificate=certificate(left=0.1)),
        STRICT,
    ),
    (
        "ILM027",
        tried(certificate=certificate(left=5.9)),
        STRICT,
        tried(certificate=certificate(left=6.1)),
        STRICT,
    ),
    ("ILM028", tried("refused", "refused"), STRICT, tried(), STRICT),
    ("ILM028", tried("unreachable", "unreachable"), STRICT, tried("open", "rejected"), DISABLE),
    ("ILM028", tried("untried", "untried"), PERMISSIVE, tried("open", "open"), PERMISSIVE),
    ("ILM028", tried("closed", "closed"), STRICT, tried("closed", "open"), STRICT),
    ("ILM028", tried("closed", "closed"), PERMISSIVE, tried("open", "closed"), PERMISSIVE),
    ("ILM028", tried("closed", "silent"), STRICT, tried("closed", "answered"), STRICT),
]


@pytest.mark.parametrize(("code", "bad", "under", "good", "under_too"), CASES)
def test_each_difference_has_its_code_and_agreement_none(
    code: str, bad: Tried, under: Raw, good: Tried, under_too: Raw
) -> None:
    assert code in codes(bad, under)
    assert code not in codes(good, under_too)


def test_what_agrees_is_no_finding_in_any_mode() -> None:
    assert codes(tried("closed", "answered"), STRICT) == []
    assert codes(tried("answered", "answered"), PERMISSIVE) == []
    assert codes(tried("answered", "rejected"), DISABLE) == []
    assert codes(tried("answered", "rejected"), STRICT, without_sidecar=True) == []


def test_without_a_sidecar_a_connection_that_is_ended_proves_nothing() -> None:
    assert codes(tried("closed", "rejected"), STRICT, without_sidecar=True) == ["ILM028"]


def test_a_port_of_which_the_probe_says_nothing_does_not_pass() -> None:
    of = planned(api(), STRICT)
    [finding] = observed_findings(observed(of, {}), of, mesh_of().settings, NOW)
    assert (finding.code, "the probe says nothing of it" in finding.text) == ("ILM028", True)


def test_a_workload_that_the_objects_do_not_judge_does_not_pass() -> None:
    ambient = api(sidecar=False, labels={"istio.io/dataplane-mode": "ambient"})
    of = plan(Mesh.of([ambient]), "shop", frozenset({"Pod shop/api-0"}), 5)
    seen = observed(of, {("10.0.0.1", 8080): tried("answered", "rejected")})
    [finding] = observed_findings(seen, of, mesh_of().settings, NOW)
    assert (finding.code, "don't decide" in finding.text) == ("ILM028", True)


def test_a_finding_names_the_rule_that_says_otherwise_and_what_was_heard() -> None:
    of = planned(api(), peer("STRICT", name="rule"))
    seen = observed(of, {("10.0.0.1", 8080): tried("answered", plaintext_said="200")})
    [finding] = observed_findings(seen, of, mesh_of().settings, NOW)
    assert finding.text.startswith("Port 8080 took plaintext, and should not: answered (200), though")
    assert "PeerAuthentication shop/rule" in finding.text


def test_an_alias_of_the_trust_domain_is_the_mesh_itself() -> None:
    of = planned(api(), STRICT)
    shown = tried(certificate=certificate(OWN.replace("cluster.local", "old.domain")))
    seen = observed(of, {("10.0.0.1", 8080): shown})
    settings = mesh_of().settings
    assert [one.code for one in observed_findings(seen, of, settings, NOW)] == ["ILM024"]
    aliased = replace(settings, trust_domain_aliases=("old.domain",))
    assert observed_findings(seen, of, aliased, NOW) == ()


def test_evidence_shows_each_port_as_declared_and_as_seen() -> None:
    [one] = observed(planned(api(), STRICT), {("10.0.0.1", 8080): tried("closed", mtls_said="403")})
    shown = one.to_json()
    assert (shown["mode"], shown["declared_plaintext"], shown["plaintext"]) == ("STRICT", "no", "no")
    assert (shown["identity"], shown["mtls"]) == (OWN, "yes")
    assert shown["said"] == "plaintext closed; mTLS answered (403)"


# The program, where it can't work


@pytest.mark.parametrize(
    ("given", "said"),
    [([], "INTERLOCK_PROBE_TARGETS"), ([{}] * 257, "257 targets"), ([{"port": 1}], "address")],
)
def test_a_program_that_can_not_work_says_why_and_ends_its_sidecar(given: list[Raw], said: str) -> None:
    output, ended = io.StringIO(), []
    targets = [one or _TARGET for one in given]
    environ = {mesh_probe.TARGETS: json.dumps(targets)} if given else {}
    assert mesh_probe.main(environ, output, lambda: ended.append(1)) == 2
    assert (said in output.getvalue(), ended) == (True, [1])


_TARGET = {"address": "127.0.0.1", "port": 1, "host": "a", "protocol": "TCP"}
