"""Services: which ports they give a workload, and what protocol Istio takes each for.

Follows `ConvertProtocol` of pkg/config/kube/conversion.go and the sorting of service targets in
pilot/pkg/model/context.go (the oldest Service decides about a port).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from interlock.mesh.reading import items, labels, mapping, number, selects, text, texts, timestamp
from interlock.mesh.workload import Workload

EXPORT_TO = "networking.istio.io/exportTo"
_WELL_KNOWN_TCP = frozenset({25, 53, 3306, 27017})


class Protocol(StrEnum):
    """How a sidecar treats a port: as HTTP, as opaque bytes, or by looking at each connection."""

    HTTP = "HTTP"
    TCP = "TCP"
    AUTO = "AUTO"
    UDP = "UDP"


_HTTP = frozenset({"http", "http2", "http_proxy", "grpc", "grpc-web"})
_TCP = frozenset({"tcp", "https", "tls", "mongo", "redis", "mysql"})


@dataclass(frozen=True, slots=True)
class ServicePort:
    """One port of a Service; `target` is a number, or the name of a container's port."""

    number: int
    name: str
    target: int | str
    transport: str
    protocol: Protocol


@dataclass(frozen=True, slots=True)
class Service:
    """What of a Service the mesh uses. Build it with `of`.

    Attributes:
        namespace: Its namespace.
        name: Its name.
        created: When it was created, UTC.
        host: Its full name.
        selector: The labels of its pods; empty selects none.
        ports: Its ports.
        headless: Whether it has no address of its own.
        external_name: Whether it is an alias for a name outside.
        export_to: The namespaces that see it; empty is all.
        labels: Its labels.
    """

    namespace: str
    name: str
    created: datetime
    host: str
    selector: Mapping[str, str]
    ports: tuple[ServicePort, ...]
    headless: bool
    external_name: bool
    export_to: tuple[str, ...]
    labels: Mapping[str, str]

    @classmethod
    def of(cls, raw: Mapping[str, object], cluster_domain: str) -> Service:
        """The Service of its JSON."""
        metadata, spec = mapping(raw.get("metadata")), mapping(raw.get("spec"))
        namespace, name = text(metadata.get("namespace")) or "default", text(metadata.get("name"))
        exported = labels(metadata.get("annotations")).get(EXPORT_TO, "")
        return cls(
            namespace=namespace,
            name=name,
            created=timestamp(metadata.get("creationTimestamp")),
            host=f"{name}.{namespace}.svc.{cluster_domain}",
            selector=labels(spec.get("selector")),
            ports=tuple(filter(None, (_port(mapping(entry)) for entry in items(spec.get("ports"))))),
            headless=spec.get("clusterIP") == "None" or "None" in texts(spec.get("clusterIPs")),
            external_name=spec.get("type") == "ExternalName",
            export_to=tuple(part.strip() for part in exported.split(",") if part.strip()),
            labels=labels(metadata.get("labels")),
        )

    @property
    def ref(self) -> str:
        """`Service payments/api`."""
        return f"Service {self.namespace}/{self.name}"

    def selects(self, workload: Workload) -> bool:
        """Whether the workload's pods are among its endpoints."""
        return (
            bool(self.selector)
            and not self.external_name
            and self.namespace == workload.namespace
            and selects(self.selector, workload.labels)
        )

    def visible_to(self, namespace: str) -> bool:
        """Whether clients of the namespace know it."""
        return visible(self.export_to, self.namespace, namespace)


def visible(export_to: Collection[str], namespace: str, viewer: str) -> bool:
    """Whether `exportTo` of an object in a namespace lets another namespace see it; empty is all."""
    if not export_to or "*" in export_to or viewer in export_to:
        return "~" not in export_to
    return "." in export_to and viewer == namespace


def target_number(port: ServicePort, workload: Workload) -> int | None:
    """The container's port that a Service's port leads to; None if the pod has no port of that name."""
    if isinstance(port.target, int):
        return port.target
    native_sidecars = (container for container in workload.init_containers if container.restarts_always)
    for container in (*workload.containers, *native_sidecars):
        for declared in container.ports:
            if declared.name == port.target and declared.protocol == port.transport:
                return declared.number
    return None


def protocol_of(number_: int, name: str, transport: str, app_protocol: str | None) -> Protocol:
    """What Istio takes a Service's port for: `appProtocol`, else the name up to its first hyphen."""
    if transport == "UDP":
        return Protocol.UDP
    if app_protocol is not None:
        name = app_protocol
        if name in ("kubernetes.io/h2c", "kubernetes.io/ws"):
            return Protocol.HTTP
        if name == "kubernetes.io/wss":
            return Protocol.TCP
    if name.lower().startswith("grpc-web"):
        return Protocol.HTTP
    prefix = name.partition("-")[0].lower()
    if prefix in _HTTP:
        return Protocol.HTTP
    if prefix in _TCP:
        return Protocol.TCP
    if prefix == "udp":
        return Protocol.UDP
    return Protocol.TCP if number_ in _WELL_KNOWN_TCP else Protocol.AUTO


def _port(raw: Mapping[str, object]) -> ServicePort | None:
    value = number(raw.get("port"))
    if value is None:
        return None
    given = raw.get("targetPort")
    target = given if isinstance(given, str) and given else number(given) or value
    app_protocol = raw.get("appProtocol")
    name, transport = text(raw.get("name")), text(raw.get("protocol")) or "TCP"
    protocol = protocol_of(value, name, transport, app_protocol if isinstance(app_protocol, str) else None)
    return ServicePort(value, name, target, transport, protocol)
