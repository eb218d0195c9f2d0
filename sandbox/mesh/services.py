"""Services as sidecars see them: names, ports, protocols, and which port of a pod is meant."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from sandbox.mesh.objects import CLUSTER_DOMAIN, Raw, name, namespace

Protocol = Literal["http", "tcp", "auto"]

# pkg/config/protocol/instance.go and pilot/pkg/serviceregistry/kube/conversion.go of Istio.
_HTTP = {"http", "http2", "grpc", "grpc-web"}
_TCP = {"tcp", "https", "tls", "mongo", "redis", "mysql"}
_SERVER_FIRST = {25, 3306, 27017}


@dataclass(frozen=True)
class ServicePort:
    """One TCP port of a Service."""

    number: int
    protocol: Protocol
    target: int | str


def full_name(service: Raw) -> str:
    """The name by which the whole cluster knows a Service."""
    return f"{name(service)}.{namespace(service)}.svc.{CLUSTER_DOMAIN}"


def ports(service: Raw) -> list[ServicePort]:
    """The TCP ports of a Service."""
    return [
        ServicePort(port["port"], _protocol(port), port.get("targetPort") or port["port"])
        for port in service["spec"].get("ports") or ()
        if port.get("protocol", "TCP") == "TCP"
    ]


def target_port(port: ServicePort, pod: Raw) -> int | None:
    """The port of a pod that a Service's port leads to; None if the pod has none of that name."""
    if isinstance(port.target, int):
        return port.target
    for container in pod["spec"]["containers"]:
        for declared in container.get("ports") or ():
            if declared.get("name") == port.target and declared.get("protocol", "TCP") == "TCP":
                return int(declared["containerPort"])
    return None


def _protocol(port: Raw) -> Protocol:
    given: Any = port.get("appProtocol")
    known = {"kubernetes.io/h2c": "http", "kubernetes.io/ws": "http", "kubernetes.io/wss": "tcp"}
    text = known.get(str(given), str(given)) if given is not None else str(port.get("name") or "")
    prefix = "grpc-web" if text.lower().startswith("grpc-web") else text.partition("-")[0].lower()
    if prefix in _HTTP:
        return "http"
    return "tcp" if prefix in _TCP or port["port"] in _SERVER_FIRST else "auto"
