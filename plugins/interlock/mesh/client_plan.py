"""What a client's sidecar is told about a port of a service, for all of its endpoints or for each.

Follows `buildUpstreamTLSSettings` and `buildUpstreamClusterTLSContext` of pilot/pkg/networking/core, and
`BestEffortInferServiceMTLSMode` of pilot/pkg/model/push_context.go.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from interlock.mesh.destination_rule import DestinationRule
from interlock.mesh.injection import injection
from interlock.mesh.mesh import Mesh
from interlock.mesh.service import Service
from interlock.mesh.service_entry import Resolution, ServiceEntry
from interlock.mesh.traffic_policy import ClientTls, Subset, TlsMode, cluster_direct, cluster_tls
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
class Plan:
    """What the client's cluster is told; `sends` None leaves it to each endpoint (auto-mTLS)."""

    sends: Sends | None
    reasons: tuple[Reason, ...]


def plan(
    mesh: Mesh, client: Workload, service: Service | ServiceEntry, host: str, port: int, subset: str
) -> tuple[DestinationRule | None, Plan]:
    """The DestinationRule that counts, if any does, and what the client's sidecar is told of a host."""
    state = injection(mesh, client)
    if state.proxy in (Proxy.GATEWAY, Proxy.WAYPOINT):
        rule = mesh.rules_of_clients.of_client(client, client.namespace, host, service.namespace)
        return rule, _told(mesh, client, service, host, port, subset, rule)
    if state.sidecar is Answer.NO or client.host_network:
        said = Reason(
            "the client has no sidecar, so it sends what the application sends: plaintext to the mesh"
        )
        return None, Plan(Sends.PLAINTEXT, (*state.reasons, said))
    if state.sidecar is Answer.INDETERMINATE:
        return None, Plan(Sends.INDETERMINATE, state.reasons)
    if not service.visible_to(client.namespace):
        return None, _unknown(mesh, client, Reason(f"is not exported to {client.namespace}", service.ref))
    scope = mesh.sidecar_object(client)
    if scope is not None and not scope.imports(host, service.namespace, client.namespace):
        return None, _unknown(mesh, client, Reason(f"its egress hosts don't include {host}", scope.ref))
    rule = mesh.rules_of_clients.of_client(client, client.namespace, host, service.namespace)
    return rule, _told(mesh, client, service, host, port, subset, rule)


def _unknown(mesh: Mesh, client: Workload, reason: Reason) -> Plan:
    """A service that the client's sidecar doesn't know: passed through as it is, or dropped."""
    scope = mesh.sidecar_object(client)
    only = (
        scope.registry_only
        if scope is not None and scope.registry_only is not None
        else mesh.settings.registry_only
    )
    if only:
        said = Reason("the outbound traffic policy is REGISTRY_ONLY, so the client's sidecar drops the call")
        return Plan(Sends.NOTHING, (reason, said))
    said = Reason("the client's sidecar passes the call through as it is: without mTLS")
    return Plan(Sends.PLAINTEXT, (reason, said))


def _told(
    mesh: Mesh,
    client: Workload,
    service: Service | ServiceEntry,
    host: str,
    port: int,
    subset: str,
    rule: DestinationRule | None,
) -> Plan:
    if rule is not None and not rule.readable:
        return Plan(Sends.INDETERMINATE, (Reason("Istio can't read it, so what holds is open", rule.ref),))
    chosen = subset_of(rule, subset)
    if subset and chosen is None:
        said = Reason(f"no DestinationRule gives {host} the subset {subset}, so calls fail with 503")
        return Plan(Sends.NOTHING, (said,))
    tls = cluster_tls(rule.policy, chosen, port) if rule is not None else None
    ref = rule.ref if rule is not None else ""
    if tls is not None:
        return _explicit(tls, ref, rule is not None and rule.selector is not None, client)
    none = Reason("sets no TLS for this port", ref) if ref else Reason("no DestinationRule holds")
    if isinstance(service, ServiceEntry) and service.external:
        said = Reason("is MESH_EXTERNAL: what the application sends goes as it is, without mTLS", service.ref)
        return Plan(Sends.PLAINTEXT, (none, said))
    if not mesh.settings.auto_mtls:
        return Plan(Sends.PLAINTEXT, (none, Reason("auto-mTLS is off in the mesh, so plaintext is sent")))
    if isinstance(service, ServiceEntry):
        return _of_entry(mesh, service, cluster_direct(rule.policy if rule else None, chosen, port), none)
    reason = _not_automatic(mesh, service, rule, chosen)
    if reason is not None:
        return Plan(Sends.PLAINTEXT, (none, reason))
    if service.headless or cluster_direct(rule.policy if rule else None, chosen, port):
        said = Reason(
            "headless or PASSTHROUGH: all endpoints take mTLS by their labels, so mTLS is sent to each"
        )
        return Plan(Sends.MTLS, (none, said))
    return Plan(None, (none, Reason("auto-mTLS decides for each endpoint")))


def _explicit(tls: ClientTls, ref: str, with_selector: bool, client: Workload) -> Plan:
    """What a DestinationRule's TLS makes a client send, also where Istio quietly gives it up."""
    if tls.mode is TlsMode.DISABLE:
        return Plan(Sends.PLAINTEXT, (Reason("TLS mode DISABLE: plaintext is sent", ref),))
    if tls.mode is TlsMode.ISTIO_MUTUAL:
        return Plan(Sends.MTLS, (Reason("TLS mode ISTIO_MUTUAL: mTLS is sent to every endpoint", ref),))
    config_map = tls.credential.startswith("configmap://")
    if tls.credential and not config_map and not with_selector and client.proxy is not Proxy.GATEWAY:
        text = (
            f"TLS mode {tls.mode} with credentialName, no workloadSelector: sidecars send plaintext instead"
        )
        return Plan(Sends.PLAINTEXT, (Reason(text, ref),))
    if tls.mode is TlsMode.MUTUAL and not tls.credential and not tls.certificates:
        text = "TLS mode MUTUAL without client certificate and key: Istio drops it, and plaintext is sent"
        return Plan(Sends.PLAINTEXT, (Reason(text, ref),))
    return Plan(
        Sends.TLS, (Reason(f"TLS mode {tls.mode}: TLS with certificates that aren't the mesh's", ref),)
    )


def _of_entry(mesh: Mesh, entry: ServiceEntry, direct: bool, none: Reason) -> Plan:
    """What auto-mTLS makes of a host in the mesh that a ServiceEntry declares: by its endpoints' labels."""
    mode, ref = _namespace_mode(mesh, entry.namespace)
    if mode is Mode.DISABLE:
        said = Reason(f"the mode of the namespace {entry.namespace} is DISABLE: plaintext is sent", ref)
        return Plan(Sends.PLAINTEXT, (none, said))
    if entry.selecting or (entry.resolution is Resolution.STATIC and not entry.tls_modes):
        said = Reason("lists no endpoints; which it selects is not looked up here", entry.ref)
        return Plan(Sends.INDETERMINATE, (none, said))
    one_for_all = direct or entry.resolution is Resolution.NONE
    if "istio" not in entry.tls_modes:
        said = Reason(f"none of its endpoints has the label {TLS_MODE}=istio: plaintext is sent", entry.ref)
        return Plan(Sends.PLAINTEXT, (none, said))
    if one_for_all and "disabled" in entry.tls_modes:
        said = Reason(f"one of its endpoints lacks the label {TLS_MODE}: plaintext is sent to all", entry.ref)
        return Plan(Sends.PLAINTEXT, (none, said))
    said = Reason("has endpoints that take mTLS; which of them is sent it is not worked out here", entry.ref)
    return Plan(Sends.INDETERMINATE, (none, said))


def _not_automatic(
    mesh: Mesh, service: Service, rule: DestinationRule | None, subset: Subset | None
) -> Reason | None:
    """Why auto-mTLS does not even try; None if it does."""
    policy = subset.policy if subset is not None else rule.policy if rule is not None else None
    if service.headless or (policy is not None and policy.passthrough):
        endpoints = mesh.endpoints(service)
        if not endpoints:
            return Reason("headless or PASSTHROUGH without endpoints: plaintext is sent", service.ref)
        for workload in endpoints:
            if tls_label(mesh, workload) == "disabled":
                return Reason(
                    f"headless or PASSTHROUGH, and {workload.ref} has no sidecar: plaintext is sent to all",
                    service.ref,
                )
    mode, ref = _namespace_mode(mesh, service.namespace)
    if mode is Mode.DISABLE:
        return Reason(f"the mode of the namespace {service.namespace} is DISABLE: plaintext is sent", ref)
    return None


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


def tls_label(mesh: Mesh, workload: Workload) -> str:
    """What an endpoint's labels say; the injector adds the label, so a template does not have it yet."""
    given = workload.labels.get(TLS_MODE)
    if given is None and not workload.live and injection(mesh, workload).sidecar is Answer.YES:
        return "istio"
    return given if given is not None else "disabled"


def subset_of(rule: DestinationRule | None, name: str) -> Subset | None:
    """The subset of a name; None if the rule has none of that name."""
    if rule is None or not name:
        return None
    return next((subset for subset in rule.subsets if subset.name == name), None)
