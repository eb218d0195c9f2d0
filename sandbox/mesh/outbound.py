"""What a pod calls: one listener, and a cluster for each port of a Service.

The listener takes HTTP by its host, and anything else by CONNECT.

There is no redirection of packets here, so a program sends its calls to its sidecar's port 15001. TLS
follows the DestinationRule and, without one, the server (auto-mTLS): `buildUpstreamTLSSettings` of Istio's
pilot/pkg/networking/core and pilot/pkg/xds/endpoints/mtls_checker.go.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from sandbox.mesh import envoy, telemetry
from sandbox.mesh.destination_rules import (
    cluster_tls,
    endpoint_mode,
    is_mesh_mtls,
    policy_of,
    sends_plaintext,
)
from sandbox.mesh.envoy import Config
from sandbox.mesh.objects import (
    TLS_MODE_LABEL,
    Objects,
    Raw,
    address,
    identity,
    inner_address,
    is_ready,
    labels,
    name,
    namespace,
)
from sandbox.mesh.peer_modes import modes, namespace_mode
from sandbox.mesh.services import ServicePort, full_name, ports, target_port

OUTBOUND_PORT = 15001
ROUTES = "outbound"
_LISTENER = "outbound"
# Istio's default for all HTTP routes.
_RETRIES: Config = {
    "retry_on": "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes",
    "num_retries": 2,
    "retriable_status_codes": [503],
    "retry_host_predicate": [
        envoy.extension(
            "envoy.retry_host_predicates.previous_hosts",
            "extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate",
        )
    ],
    "host_selection_retry_max_attempts": 5,
}
_SOCKETS_FIELD = "envoy.transport_socket_match"


@dataclass(frozen=True)
class _Target:
    """A port of a Service, called as HTTP or as an opaque stream."""

    service: Raw
    port: ServicePort
    speaks: Literal["http", "tcp"]

    @property
    def cluster(self) -> str:
        """The name of its cluster."""
        variant = "tcp" if self.speaks == "tcp" else ""
        return f"outbound|{self.port.number}|{variant}|{full_name(self.service)}"

    @property
    def server_name(self) -> str:
        """The name in the TLS handshake."""
        return f"outbound_.{self.port.number}_._.{full_name(self.service)}"


def _targets(objects: Objects) -> Iterator[_Target]:
    for service in objects.services:
        for port in ports(service):
            if port.protocol != "tcp":
                yield _Target(service, port, "http")
            if port.protocol != "http":
                yield _Target(service, port, "tcp")


def clusters(objects: Objects, pod: Raw) -> dict[str, Config]:
    """A cluster for each port of each Service."""
    return {target.cluster: _cluster(objects, pod, target) for target in _targets(objects)}


def endpoints(objects: Objects, pod: Raw) -> dict[str, Config]:
    """The endpoints of each cluster."""
    found = {}
    for target in _targets(objects):
        members = [_endpoint(*server) for server in _servers(objects, pod, target)]
        groups = [{"locality": {}, "lb_endpoints": members}] if members else []
        found[target.cluster] = {"cluster_name": target.cluster, "endpoints": groups}
    return found


def routes(objects: Objects, pod: Raw) -> dict[str, Config]:
    """Which host leads to which cluster."""
    hosts: dict[tuple[str, int], Config] = {}
    for target in _targets(objects):
        key = (full_name(target.service), target.port.number)
        host = {"name": f"{key[0]}:{key[1]}", "domains": _domains(target, pod), "routes": []}
        hosts.setdefault(key, host)["routes"].insert(0, _route(target))
    headers = telemetry.announced(pod)
    return {ROUTES: {"name": ROUTES, "virtual_hosts": [*hosts.values()], "request_headers_to_add": headers}}


def listeners(pod: Raw) -> dict[str, Config]:
    """The listener for all calls of a pod."""
    manager = envoy.http_manager(
        ROUTES,
        [],
        rds={"config_source": envoy.ADS, "route_config_name": ROUTES},
        upgrade_configs=[{"upgrade_type": "CONNECT"}],
        access_log=[telemetry.outbound(pod)],
    )
    listener = {
        "name": _LISTENER,
        "address": envoy.socket_address(inner_address(address(pod)), OUTBOUND_PORT),
        "traffic_direction": "OUTBOUND",
        "filter_chains": [{"filters": [manager]}],
    }
    return {_LISTENER: listener}


def _cluster(objects: Objects, pod: Raw, target: _Target) -> Config:
    tls = cluster_tls(policy_of(objects, pod, target.service), target.port.number)
    alpns = envoy.MTLS_HTTP_ALPNS[1:2] if target.speaks == "http" else envoy.MTLS_TCP_ALPNS
    identities = sorted({identity(server) for server in objects.endpoints(target.service)})
    mutual = envoy.client_mtls(target.server_name, alpns, identities)
    automatic = namespace_mode(objects.peer_authentications, namespace(target.service)) != "DISABLE"
    # Envoy keeps its open connections when an endpoint changes between mTLS and plaintext, and goes on using
    # them. A cluster that differs is made anew, with new connections.
    kinds = sorted({"mtls" if secure else "plaintext" for _, _, secure in _servers(objects, pod, target)})
    sockets: Config = {}
    if tls is not None:
        if is_mesh_mtls(tls):
            sockets = {"transport_socket": mutual}
        elif not sends_plaintext(tls):
            sockets = {"transport_socket": envoy.client_tls(str(tls.get("sni") or ""))}
    elif automatic:
        sockets = {
            "transport_socket_matches": [
                {"name": "mtls", "match": {"tlsMode": "istio"}, "transport_socket": mutual},
                {"name": "plaintext", "match": {}, "transport_socket": envoy.plaintext()},
            ]
        }
    return {
        "name": target.cluster,
        "type": "EDS",
        "connect_timeout": "2s",
        "eds_cluster_config": {"eds_config": envoy.ADS},
        "upstream_bind_config": {"source_address": {"address": address(pod), "port_value": 0}},
        "metadata": {
            "filter_metadata": {
                "istio": telemetry.cluster_metadata(target.service),
                "sandbox": {"endpoints": ",".join(kinds)},
            }
        },
        **sockets,
    }


def _servers(objects: Objects, pod: Raw, target: _Target) -> Iterator[tuple[Raw, int, bool]]:
    """The pods that are called, the port of each, and whether it is sent mTLS if that is left open."""
    mode = endpoint_mode(policy_of(objects, pod, target.service), target.port.number)
    for server in objects.endpoints(target.service):
        port = target_port(target.port, server)
        if port is None or not is_ready(server):
            continue
        if mode is None:
            accepts = modes(objects.peer_authentications, server).of(port) != "DISABLE"
        else:
            accepts = mode == "ISTIO_MUTUAL"
        yield server, port, accepts and labels(server).get(TLS_MODE_LABEL) == "istio"


def _endpoint(server: Raw, port: int, secure: bool) -> Config:
    metadata: Config = {"istio": telemetry.endpoint_metadata(server)}
    if secure:
        metadata[_SOCKETS_FIELD] = {"tlsMode": "istio"}
    endpoint = {"address": envoy.socket_address(address(server), port)}
    return {"endpoint": endpoint, "metadata": {"filter_metadata": metadata}}


def _domains(target: _Target, pod: Raw) -> list[str]:
    """All names of a Service, as a pod may write them; a port may be left out if it is 80."""
    short, where = name(target.service), namespace(target.service)
    names = [full_name(target.service), f"{short}.{where}.svc", f"{short}.{where}"]
    if where == namespace(pod):
        names.append(short)
    found = [f"{one}:{target.port.number}" for one in names]
    return [*names, *found] if target.port.number == 80 else found


def _route(target: _Target) -> Config:
    if target.speaks == "http":
        route: Config = {"cluster": target.cluster, "timeout": "15s", "retry_policy": _RETRIES}
        return {"match": {"prefix": "/"}, "route": route}
    connect = {"upgrade_type": "CONNECT", "connect_config": {}}
    route = {"cluster": target.cluster, "timeout": "0s", "upgrade_configs": [connect]}
    return {"match": {"connect_matcher": {}}, "route": route}
