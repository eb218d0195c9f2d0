"""Findings about Services and DestinationRules (service/ and destinationrule/ of Istio's analyzers)."""

from __future__ import annotations

from collections.abc import Iterator

from interlock.mesh.destination_rule import DestinationRule
from interlock.mesh.host import subset_of
from interlock.mesh.injection import IGNORED_NAMESPACES
from interlock.mesh.mesh import Mesh
from interlock.mesh.messages import message
from interlock.mesh.reading import selects
from interlock.mesh.service import Protocol, Service
from interlock.mesh.traffic_policy import ClientTls, TlsMode
from interlock.mesh.verdict import Finding

_PLACE = {
    "topology.kubernetes.io/region",
    "topology.kubernetes.io/zone",
    "topology.istio.io/subzone",
    "topology.istio.io/cluster",
    "topology.istio.io/network",
    "kubernetes.io/hostname",
}


def client_findings(mesh: Mesh) -> Iterator[Finding]:
    """What is wrong with what clients go by."""
    for group in mesh.services.values():
        for service in filter(_of_users, group):
            for port in service.ports:
                if service.external_name and (port.protocol is Protocol.AUTO or port.name == "tcp"):
                    yield message("IST0150", service.ref)
                elif port.protocol is Protocol.AUTO:
                    yield message("IST0118", service.ref, port.name, port.number, port.target)
    for rule in mesh.destination_rules:
        yield from _certificates(rule)
        yield from _hosts(mesh, rule)


def _of_users(service: Service) -> bool:
    """Whether a user made it: not Istio's own, not of a system namespace, not made for a Gateway."""
    own = "istio" in service.labels or service.labels.get("release") == "istio"
    system = service.namespace in ("istio-system", *IGNORED_NAMESPACES)
    return not (own or system or "gateway.istio.io/managed" in service.labels)


def _certificates(rule: DestinationRule) -> Iterator[Finding]:
    if rule.policy is None:
        return
    name = f"{rule.namespace}/{rule.name}"
    if _unverified(rule.policy.tls, rule):
        mode = rule.policy.tls.mode if rule.policy.tls else ""
        yield message("IST0128", rule.ref, name, rule.namespace, mode, rule.host)
    for port in rule.policy.ports:
        if _unverified(port.tls, rule):
            mode = port.tls.mode if port.tls else ""
            yield message("IST0129", rule.ref, name, rule.namespace, mode, rule.host, port.number)


def _unverified(tls: ClientTls | None, rule: DestinationRule) -> bool:
    if tls is None or tls.mode not in (TlsMode.SIMPLE, TlsMode.MUTUAL):
        return False
    return not tls.ca_certificates and not (tls.credential and rule.selector is not None)


def _hosts(mesh: Mesh, rule: DestinationRule) -> Iterator[Finding]:
    known = [service for service in mesh.service_by_host.values() if subset_of(service.host, rule.host)]
    inside = rule.host.endswith(f".svc.{mesh.settings.cluster_domain}")
    if not known:
        # A host outside may be a ServiceEntry's, which may not have been given.
        if inside:
            yield message("IST0174", rule.ref, rule.host)
        return
    for subset in rule.subsets:
        if _PLACE & subset.labels.keys():
            continue  # Istio adds these labels from the pod's node, which isn't read here.
        pods = (pod for service in known for pod in mesh.endpoints(service))
        if not any(selects(subset.labels, pod.labels) for pod in pods):
            yield message("IST0173", rule.ref, subset.name)
