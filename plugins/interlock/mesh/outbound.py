"""How a client connects to a service, and whether that works: DestinationRule TLS and auto-mTLS.

Follows pilot/pkg/xds/endpoints/mtls_checker.go for each endpoint; client_plan.py has what is the same for
all.
"""

from __future__ import annotations

from dataclasses import dataclass

from interlock.mesh.client_plan import TLS_MODE, Plan, Sends, plan, subset_of, tls_label
from interlock.mesh.destination_rule import DestinationRule
from interlock.mesh.host import resolved
from interlock.mesh.host import subset_of as subset_host
from interlock.mesh.inbound import PortVerdict, effective_mtls, port_verdict
from interlock.mesh.mesh import Mesh
from interlock.mesh.service import Protocol, ServicePort, target_number
from interlock.mesh.service_entry import Resolution
from interlock.mesh.traffic_policy import Subset, TlsMode, endpoint_tls
from interlock.mesh.verdict import Answer, Mode, Reason
from interlock.mesh.workload import Workload


@dataclass(frozen=True, slots=True)
class EndpointVerdict:
    """One endpoint of the service.

    Attributes:
        workload: The endpoint's workload, `Pod payments/api-0`.
        port: The port of its container.
        sends: What the client sends there.
        works: Whether the endpoint accepts that.
        reasons: Why, from the client's rule to the server's policy.
    """

    workload: str
    port: int
    sends: Sends
    works: Answer
    reasons: tuple[Reason, ...]

    @property
    def silently_plaintext(self) -> bool:
        """Whether it works, and nothing of it is encrypted."""
        return self.sends is Sends.PLAINTEXT and self.works is Answer.YES


@dataclass(frozen=True, slots=True)
class Outbound:
    """How a client connects to a port of a service.

    Attributes:
        host: The service's full name.
        port: The port of the Service.
        sends: What is sent; INDETERMINATE also if endpoints differ.
        rule: The DestinationRule that counts; empty if none does.
        reasons: How `sends` came about, as far as it is the same for all endpoints.
        endpoints: The endpoints; none are told of a host that a ServiceEntry declares.
    """

    host: str
    port: int
    sends: Sends
    rule: str
    reasons: tuple[Reason, ...]
    endpoints: tuple[EndpointVerdict, ...]


def outbound(mesh: Mesh, client: Workload, host: str, port: int, subset: str = "") -> Outbound:
    """How a client's calls to a port of a service leave, and whether its endpoints accept them.

    Args:
        mesh: The mesh's objects.
        client: Who calls.
        host: The service, by its full name or as the client's namespace calls it.
        port: The port of the Service.
        subset: The subset that a VirtualService routes to; empty for none.
    """
    full = resolved(host, client.namespace, mesh.settings.cluster_domain)
    service = mesh.service_by_host.get(full)
    if service is None:
        return _declared(mesh, client, full, port, subset)
    service_port = next((found for found in service.ports if found.number == port), None)
    if service_port is None:
        return Outbound(full, port, Sends.NOTHING, "", (Reason(f"has no port {port}", service.ref),), ())
    rule, told = plan(mesh, client, service, full, port, subset)
    chosen = subset_of(rule, subset)
    found = [
        _endpoint(mesh, told, rule, chosen, workload, service_port)
        for workload in mesh.endpoints(service)
        if chosen is None or all(workload.labels.get(k) == v for k, v in chosen.labels.items())
    ]
    endpoints = tuple(verdict for verdict in found if verdict is not None)
    kinds = {verdict.sends for verdict in endpoints}
    sends = told.sends or (kinds.pop() if len(kinds) == 1 else Sends.INDETERMINATE)
    return Outbound(full, port, sends, rule.ref if rule else "", told.reasons, endpoints)


def _declared(mesh: Mesh, client: Workload, host: str, port: int, subset: str) -> Outbound:
    """The same for a host that a ServiceEntry declares; what is there accepts can't be told."""
    seen = [entry for entry in mesh.service_entries if any(subset_host(host, name) for name in entry.hosts)]

    def unclear(text: str, *refs: str) -> Outbound:
        return Outbound(host, port, Sends.INDETERMINATE, "", tuple(Reason(text, ref) for ref in refs), ())

    if not seen:
        return unclear(f"{host} is no Service and no ServiceEntry that was given", client.ref)
    refs = [entry.ref for entry in seen]
    if len(seen) > 1:
        return unclear(f"is one of several that declare {host}; which one counts can't be told", *refs)
    (entry,) = seen
    if entry.problems:
        return unclear("Istio can't read it, so what holds is open", *refs)
    if host not in entry.hosts:
        return unclear(f"declares {host} by a wildcard, and calls to such are not judged", *refs)
    if port not in entry.ports:
        return unclear(f"declares no port {port}", *refs)
    rule, told = plan(mesh, client, entry, host, port, subset)
    chosen = subset_of(rule, subset)
    if chosen is not None and chosen.labels and entry.resolution not in (Resolution.STATIC, Resolution.NONE):
        # Without an endpoint of these labels Istio builds no cluster, and calls fail.
        return unclear(f"whether an endpoint has the labels of the subset {subset} is not looked up", *refs)
    sends = told.sends or Sends.INDETERMINATE
    return Outbound(host, port, sends, rule.ref if rule else "", told.reasons, ())


def _endpoint(
    mesh: Mesh,
    told: Plan,
    rule: DestinationRule | None,
    subset: Subset | None,
    workload: Workload,
    service_port: ServicePort,
) -> EndpointVerdict | None:
    target = target_number(service_port, workload)
    if target is None:
        return None
    sends, why = told.sends, tuple[Reason, ...]()
    if sends is None:
        sends, why = _automatic(mesh, rule, subset, workload, service_port.number, target)
    server = port_verdict(mesh, workload, target)
    works, said = _accepted(sends, server)
    return EndpointVerdict(workload.ref, target, sends, works, (*told.reasons, *why, *server.reasons, said))


def _automatic(
    mesh: Mesh,
    rule: DestinationRule | None,
    subset: Subset | None,
    workload: Workload,
    port: int,
    target: int,
) -> tuple[Sends, tuple[Reason, ...]]:
    tls = endpoint_tls(rule.policy, subset, port) if rule is not None else None
    label = tls_label(mesh, workload)
    if tls is not None and rule is not None and tls.mode is not TlsMode.ISTIO_MUTUAL:
        text = f"endpoints still follow the TLS mode {tls.mode} of the wider scope: plaintext is sent"
        return Sends.PLAINTEXT, (Reason(text, rule.ref),)
    if label != "istio":
        return Sends.PLAINTEXT, (Reason(f"its label {TLS_MODE} is {label}: plaintext is sent", workload.ref),)
    if tls is not None and rule is not None:
        text = "endpoints still follow the TLS mode ISTIO_MUTUAL of the wider scope: mTLS is sent"
        return Sends.MTLS, (Reason(text, rule.ref),)
    mode = effective_mtls(mesh, workload).of_port(target)
    if mode is None:
        return Sends.INDETERMINATE, (Reason("its mode can't be told", workload.ref),)
    if mode is Mode.DISABLE:
        return Sends.PLAINTEXT, (Reason("its mode is DISABLE: plaintext is sent", workload.ref),)
    return Sends.MTLS, (Reason("it has a sidecar: mTLS is sent", workload.ref),)


def _accepted(sends: Sends, server: PortVerdict) -> tuple[Answer, Reason]:
    if sends is Sends.INDETERMINATE:
        return Answer.INDETERMINATE, Reason("what is sent can't be told")
    if sends is Sends.NOTHING:
        return Answer.NO, Reason("nothing is sent")
    if sends is Sends.PLAINTEXT:
        return server.plaintext, Reason(f"does the port accept plaintext: {server.plaintext}")
    if sends is Sends.MTLS:
        return server.mtls, Reason(f"does the port accept mTLS: {server.mtls}")
    if server.bypassed or server.mode is Mode.DISABLE:
        return Answer.INDETERMINATE, Reason("the TLS goes to the application, which may speak it or not")
    if server.mode is Mode.PERMISSIVE and server.protocol is Protocol.HTTP:
        return Answer.NO, Reason(
            "a PERMISSIVE port that is declared HTTP takes mTLS and plaintext, not other TLS"
        )
    if server.mode is Mode.PERMISSIVE:
        return Answer.INDETERMINATE, Reason("the TLS is passed to the application, which may speak it or not")
    return Answer.INDETERMINATE, Reason("whether the port accepts these certificates is not known")
