"""How a client connects to a service, and whether that works: DestinationRule TLS and auto-mTLS.

Follows pilot/pkg/networking/core/cluster_tls.go (`buildUpstreamTLSSettings`,
`buildUpstreamClusterTLSContext`), `BestEffortInferServiceMTLSMode` of pilot/pkg/model/push_context.go and
pilot/pkg/xds/endpoints/mtls_checker.go.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from interlock.mesh.destination_rule import DestinationRule
from interlock.mesh.host import resolved
from interlock.mesh.inbound import PortVerdict, effective_mtls, port_verdict
from interlock.mesh.injection import injection
from interlock.mesh.mesh import Mesh
from interlock.mesh.service import Protocol, Service, ServicePort, target_number
from interlock.mesh.traffic_policy import ClientTls, Subset, TlsMode, cluster_tls, endpoint_tls
from interlock.mesh.verdict import Answer, Mode, Reason
from interlock.mesh.workload import Proxy, Workload

TLS_MODE = "security.istio.io/tlsMode"


class Sends(StrEnum):
    """What a client sends to an endpoint."""

    MTLS = "mtls"
    PLAINTEXT = "plaintext"
    TLS = "tls"
    NOTHING = "nothing"
    INDETERMINATE = "indeterminate"


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
        endpoints: The endpoints.
    """

    host: str
    port: int
    sends: Sends
    rule: str
    reasons: tuple[Reason, ...]
    endpoints: tuple[EndpointVerdict, ...]


@dataclass(frozen=True, slots=True)
class _Plan:
    """What the client's cluster is told; `sends` None leaves it to each endpoint (auto-mTLS)."""

    sends: Sends | None
    reasons: tuple[Reason, ...]


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
        said = Reason(f"{full} is no Service that was given", client.ref)
        return Outbound(full, port, Sends.INDETERMINATE, "", (said,), ())
    service_port = next((found for found in service.ports if found.number == port), None)
    if service_port is None:
        return Outbound(full, port, Sends.NOTHING, "", (Reason(f"has no port {port}", service.ref),), ())
    rule, plan = _plan(mesh, client, service, port, subset)
    chosen = _subset(rule, subset)
    found = [
        _endpoint(mesh, plan, rule, chosen, workload, service_port)
        for workload in mesh.endpoints(service)
        if chosen is None or all(workload.labels.get(k) == v for k, v in chosen.labels.items())
    ]
    endpoints = tuple(verdict for verdict in found if verdict is not None)
    kinds = {verdict.sends for verdict in endpoints}
    sends = plan.sends or (kinds.pop() if len(kinds) == 1 else Sends.INDETERMINATE)
    return Outbound(full, port, sends, rule.ref if rule else "", plan.reasons, endpoints)


def _plan(
    mesh: Mesh, client: Workload, service: Service, port: int, subset: str
) -> tuple[DestinationRule | None, _Plan]:
    state = injection(mesh, client)
    if state.proxy in (Proxy.GATEWAY, Proxy.WAYPOINT):
        rule = mesh.rules_of_clients.of_client(client, client.namespace, service.host, service.namespace)
        return rule, _told(mesh, client, service, port, subset, rule)
    if state.sidecar is Answer.NO or client.host_network:
        said = Reason(
            "the client has no sidecar, so it sends what the application sends: plaintext to the mesh"
        )
        return None, _Plan(Sends.PLAINTEXT, (*state.reasons, said))
    if state.sidecar is Answer.INDETERMINATE:
        return None, _Plan(Sends.INDETERMINATE, state.reasons)
    if not service.visible_to(client.namespace):
        return None, _unknown(mesh, client, Reason(f"is not exported to {client.namespace}", service.ref))
    scope = mesh.sidecar_object(client)
    if scope is not None and not scope.imports(service.host, service.namespace, client.namespace):
        return None, _unknown(
            mesh, client, Reason(f"its egress hosts don't include {service.host}", scope.ref)
        )
    rule = mesh.rules_of_clients.of_client(client, client.namespace, service.host, service.namespace)
    return rule, _told(mesh, client, service, port, subset, rule)


def _unknown(mesh: Mesh, client: Workload, reason: Reason) -> _Plan:
    """A service that the client's sidecar doesn't know: passed through as it is, or dropped."""
    scope = mesh.sidecar_object(client)
    only = (
        scope.registry_only
        if scope is not None and scope.registry_only is not None
        else mesh.settings.registry_only
    )
    if only:
        said = Reason("the outbound traffic policy is REGISTRY_ONLY, so the client's sidecar drops the call")
        return _Plan(Sends.NOTHING, (reason, said))
    said = Reason("the client's sidecar passes the call through as it is: without mTLS")
    return _Plan(Sends.PLAINTEXT, (reason, said))


def _told(
    mesh: Mesh, client: Workload, service: Service, port: int, subset: str, rule: DestinationRule | None
) -> _Plan:
    if rule is not None and not rule.readable:
        return _Plan(Sends.INDETERMINATE, (Reason("Istio can't read it, so what holds is open", rule.ref),))
    chosen = _subset(rule, subset)
    if subset and chosen is None:
        said = Reason(f"no DestinationRule gives {service.host} the subset {subset}, so calls fail with 503")
        return _Plan(Sends.NOTHING, (said,))
    tls = cluster_tls(rule.policy, chosen, port) if rule is not None else None
    ref = rule.ref if rule is not None else ""
    if tls is not None:
        return _explicit(tls, ref, rule is not None and rule.selector is not None, client)
    none = Reason("sets no TLS for this port", ref) if ref else Reason("no DestinationRule holds")
    if not mesh.settings.auto_mtls:
        return _Plan(Sends.PLAINTEXT, (none, Reason("auto-mTLS is off in the mesh, so plaintext is sent")))
    reason = _not_automatic(mesh, service, rule, chosen, port)
    if reason is not None:
        return _Plan(Sends.PLAINTEXT, (none, reason))
    if _passthrough(service, rule, chosen, port):
        said = Reason(
            "headless or PASSTHROUGH: all endpoints take mTLS by their labels, so mTLS is sent to each"
        )
        return _Plan(Sends.MTLS, (none, said))
    return _Plan(None, (none, Reason("auto-mTLS decides for each endpoint")))


def _explicit(tls: ClientTls, ref: str, with_selector: bool, client: Workload) -> _Plan:
    """What a DestinationRule's TLS makes a client send, also where Istio quietly gives it up."""
    if tls.mode is TlsMode.DISABLE:
        return _Plan(Sends.PLAINTEXT, (Reason("TLS mode DISABLE: plaintext is sent", ref),))
    if tls.mode is TlsMode.ISTIO_MUTUAL:
        return _Plan(Sends.MTLS, (Reason("TLS mode ISTIO_MUTUAL: mTLS is sent to every endpoint", ref),))
    config_map = tls.credential.startswith("configmap://")
    if tls.credential and not config_map and not with_selector and client.proxy is not Proxy.GATEWAY:
        text = (
            f"TLS mode {tls.mode} with credentialName, no workloadSelector: sidecars send plaintext instead"
        )
        return _Plan(Sends.PLAINTEXT, (Reason(text, ref),))
    if tls.mode is TlsMode.MUTUAL and not tls.credential and not tls.certificates:
        text = "TLS mode MUTUAL without client certificate and key: Istio drops it, and plaintext is sent"
        return _Plan(Sends.PLAINTEXT, (Reason(text, ref),))
    return _Plan(
        Sends.TLS, (Reason(f"TLS mode {tls.mode}: TLS with certificates that aren't the mesh's", ref),)
    )


def _not_automatic(
    mesh: Mesh, service: Service, rule: DestinationRule | None, subset: Subset | None, port: int
) -> Reason | None:
    """Why auto-mTLS does not even try; None if it does."""
    if _passthrough(service, rule, subset, port):
        endpoints = mesh.endpoints(service)
        if not endpoints:
            return Reason("headless or PASSTHROUGH without endpoints: plaintext is sent", service.ref)
        for workload in endpoints:
            if _tls_label(mesh, workload) == "disabled":
                return Reason(
                    f"headless or PASSTHROUGH, and {workload.ref} has no sidecar: plaintext is sent to all",
                    service.ref,
                )
    mode, ref = _namespace_mode(mesh, service.namespace)
    if mode is Mode.DISABLE:
        return Reason(f"the mode of the namespace {service.namespace} is DISABLE: plaintext is sent", ref)
    return None


def _passthrough(service: Service, rule: DestinationRule | None, subset: Subset | None, port: int) -> bool:
    policy = subset.policy if subset is not None else rule.policy if rule is not None else None
    return service.headless or (policy is not None and policy.passthrough)


def _namespace_mode(mesh: Mesh, namespace: str) -> tuple[Mode | None, str]:
    """As `GetNamespaceMutualTLSMode`: from the policies without selector alone."""
    root = mesh.settings.root_namespace
    mode: Mode | None = Mode.PERMISSIVE
    ref = ""
    for scope in dict.fromkeys((root, namespace)):
        for policy in mesh.peer_authentications.get(scope, ()):
            if policy.selector:
                continue
            if policy.setting != "UNSET":
                mode = None if policy.setting == "INVALID" else Mode(policy.setting)
                ref = policy.ref
            break
    return mode, ref


def _tls_label(mesh: Mesh, workload: Workload) -> str:
    """What an endpoint's labels say; the injector adds the label, so a template does not have it yet."""
    given = workload.labels.get(TLS_MODE)
    if given is None and not workload.live and injection(mesh, workload).sidecar is Answer.YES:
        return "istio"
    return given if given is not None else "disabled"


def _endpoint(
    mesh: Mesh,
    plan: _Plan,
    rule: DestinationRule | None,
    subset: Subset | None,
    workload: Workload,
    service_port: ServicePort,
) -> EndpointVerdict | None:
    target = target_number(service_port, workload)
    if target is None:
        return None
    sends, why = plan.sends, tuple[Reason, ...]()
    if sends is None:
        sends, why = _automatic(mesh, rule, subset, workload, service_port.number, target)
    server = port_verdict(mesh, workload, target)
    works, said = _accepted(sends, server)
    return EndpointVerdict(workload.ref, target, sends, works, (*plan.reasons, *why, *server.reasons, said))


def _automatic(
    mesh: Mesh,
    rule: DestinationRule | None,
    subset: Subset | None,
    workload: Workload,
    port: int,
    target: int,
) -> tuple[Sends, tuple[Reason, ...]]:
    tls = endpoint_tls(rule.policy, subset, port) if rule is not None else None
    if tls is not None and rule is not None:
        sends = Sends.MTLS if tls.mode is TlsMode.ISTIO_MUTUAL else Sends.PLAINTEXT
        text = f"endpoints still follow the TLS mode {tls.mode} of the wider scope: {sends} is sent"
        return sends, (Reason(text, rule.ref),)
    label = _tls_label(mesh, workload)
    if label != "istio":
        return Sends.PLAINTEXT, (Reason(f"its label {TLS_MODE} is {label}: plaintext is sent", workload.ref),)
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


def _subset(rule: DestinationRule | None, name: str) -> Subset | None:
    if rule is None or not name:
        return None
    return next((subset for subset in rule.subsets if subset.name == name), None)
