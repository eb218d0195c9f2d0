"""What reaches a pod: a listener for each port, whose chains follow the port's mTLS mode and protocol.

The chains are those of Istio's pilot/pkg/networking/core/filterchain_options.go, with one difference: the
chain of the mesh's own mTLS is the same in every mode that has one, so that requests in flight survive a
change of the mode.
"""

from __future__ import annotations

from collections.abc import Sequence

from sandbox.mesh import envoy, rbac, telemetry
from sandbox.mesh.capture import is_captured
from sandbox.mesh.envoy import Config
from sandbox.mesh.objects import (
    PROXY_CONTAINER,
    TRUST_DOMAIN,
    Objects,
    Raw,
    address,
    inner_address,
)
from sandbox.mesh.peer_modes import Mode, modes
from sandbox.mesh.services import Protocol, ports, target_port

HTTP_POLICIES: dict[str, rbac.Action] = {"rbac-deny": "DENY", "rbac-allow": "ALLOW"}
_RBAC = "extensions.filters.http.rbac.v3.RBAC"
# Where the sidecar's own connections to the program come from, as with Istio.
_LOCAL_SOURCE = "127.0.0.6"
# A client that waits for the server to speak first shows nothing to inspect.
_INSPECTION = "0.5s"


def port_protocols(objects: Objects, pod: Raw) -> dict[int, Protocol]:
    """The TCP ports of a pod that Services declare, and their protocols; the oldest Service counts."""
    found: dict[int, Protocol] = {}
    for service in objects.services_of(pod):
        for port in ports(service):
            target = target_port(port, pod)
            if target is not None:
                found.setdefault(target, port.protocol)
    return found


def listened_ports(objects: Objects, pod: Raw) -> list[int]:
    """The ports of a pod that its containers or Services declare."""
    own = {
        int(port["containerPort"])
        for container in pod["spec"]["containers"]
        if container["name"] != PROXY_CONTAINER
        for port in container.get("ports") or ()
        if port.get("protocol", "TCP") == "TCP"
    }
    return sorted(own | port_protocols(objects, pod).keys())


def policy_filters(objects: Objects, pod: Raw) -> dict[str, Config]:
    """The HTTP filters that follow AuthorizationPolicies, by the names that a sidecar asks for."""
    return {
        name: {
            "name": name,
            "typed_config": envoy.any_of(_RBAC, **rbac.rules(objects, pod, action, tcp=False)),
        }
        for name, action in HTTP_POLICIES.items()
    }


def clusters(objects: Objects, pod: Raw) -> dict[str, Config]:
    """The way from the sidecar to each port of the program."""
    found = {}
    for port in listened_ports(objects, pod):
        program = envoy.socket_address(inner_address(address(pod)), port)
        source = {"source_address": {"address": _LOCAL_SOURCE, "port_value": 0}}
        found[_cluster(port)] = envoy.static_cluster(_cluster(port), program, upstream_bind_config=source)
    return found


def listeners(objects: Objects, pod: Raw) -> dict[str, Config]:
    """A listener for each port."""
    effective, protocols = modes(objects.peer_authentications, pod), port_protocols(objects, pod)
    found = {}
    for port in listened_ports(objects, pod):
        if not is_captured(pod, port):
            found[f"inbound_{port}"] = _passed_on(pod, port)
            continue
        mode = effective.of(port, declared=port in protocols)
        name = f"inbound_{port}"
        found[name] = {
            "name": name,
            "address": envoy.socket_address(address(pod), port),
            "traffic_direction": "INBOUND",
            "listener_filters": _inspectors(mode, protocols.get(port, "auto")),
            "listener_filters_timeout": _INSPECTION,
            "continue_on_listener_filters_timeout": True,
            "filter_chains": _Chains(objects, pod, port).of(mode, protocols.get(port, "auto")),
        }
    return found


def _passed_on(pod: Raw, port: int) -> Config:
    """A listener that does nothing with what it is sent: there is no redirection of packets to leave out."""
    name = f"inbound_{port}"
    return {
        "name": name,
        "address": envoy.socket_address(address(pod), port),
        "filter_chains": [{"filters": [envoy.tcp_proxy(name, _cluster(port))]}],
    }


def _cluster(port: int) -> str:
    return f"inbound|{port}||"


def _inspectors(mode: Mode, protocol: Protocol) -> list[Config]:
    found = []
    if mode != "DISABLE":
        found.append(
            envoy.extension(
                "envoy.filters.listener.tls_inspector",
                "extensions.filters.listener.tls_inspector.v3.TlsInspector",
            )
        )
    if protocol == "auto":
        found.append(
            envoy.extension(
                "envoy.filters.listener.http_inspector",
                "extensions.filters.listener.http_inspector.v3.HttpInspector",
            )
        )
    return found


class _Chains:
    """The filter chains of one port."""

    def __init__(self, objects: Objects, pod: Raw, port: int) -> None:
        self._pod, self._port = pod, port
        self._tcp_rules = [rbac.rules(objects, pod, action, tcp=True) for action in HTTP_POLICIES.values()]
        self._telemetry = telemetry.inbound(objects, pod)

    def of(self, mode: Mode, protocol: Protocol) -> list[Config]:
        """The chains, in the order in which a reader would look for them; Envoy takes the best match."""
        found = [] if mode == "DISABLE" else self._mutual(protocol)
        if mode == "STRICT" and protocol != "auto":
            # Any TLS has to be the mesh's, whatever it says it carries.
            found.append(self._chain("mtls-other", protocol, _match("tls"), secure=True))
        elif mode == "STRICT":
            found.append(self._chain("mtls-other", "tcp", _match("tls"), secure=True))
        if mode == "PERMISSIVE" and protocol != "http":
            found.append(self._chain("tls-passed-through", "tcp", _match("tls")))
        if mode != "STRICT":
            found += self._plain(protocol)
        return found

    def _mutual(self, protocol: Protocol) -> list[Config]:
        if protocol == "auto":
            http, tcp = _match("tls", envoy.MTLS_HTTP_ALPNS), _match("tls", envoy.MTLS_TCP_ALPNS)
            return [
                self._chain("mtls-http", "http", http, secure=True),
                self._chain("mtls-tcp", "tcp", tcp, secure=True),
            ]
        every = [*envoy.MTLS_HTTP_ALPNS, *envoy.MTLS_TCP_ALPNS]
        return [self._chain(f"mtls-{protocol}", protocol, _match("tls", every), secure=True)]

    def _plain(self, protocol: Protocol) -> list[Config]:
        if protocol == "auto":
            return [
                self._chain("plain-http", "http", _match("raw_buffer", ["http/1.1", "h2c"])),
                self._chain("plain-tcp", "tcp", _match("raw_buffer")),
            ]
        return [self._chain(f"plain-{protocol}", protocol, _match("raw_buffer"))]

    def _chain(self, name: str, protocol: Protocol, match: Config, *, secure: bool = False) -> Config:
        socket = {"transport_socket": envoy.server_tls(TRUST_DOMAIN)} if secure else {}
        filters = self._http() if protocol == "http" else self._tcp()
        return {"name": name, "filter_chain_match": match, "filters": filters, **socket}

    def _http(self) -> list[Config]:
        policies = [
            {
                "name": name,
                "config_discovery": {
                    "config_source": envoy.ADS,
                    "type_urls": [envoy.any_of(_RBAC)["@type"]],
                },
            }
            for name in HTTP_POLICIES
        ]
        route = {"match": {"prefix": "/"}, "route": {"cluster": _cluster(self._port), "timeout": "0s"}}
        host = {"name": "inbound", "domains": ["*"], "routes": [route]}
        manager = envoy.http_manager(
            f"inbound_{self._port}",
            [self._telemetry.filter, *policies],
            route_config={"name": f"inbound_{self._port}", "virtual_hosts": [host]},
            access_log=[self._telemetry.log],
            forward_client_cert_details="APPEND_FORWARD",
            set_current_client_cert_details={"subject": True, "dns": True, "uri": True},
        )
        return [manager]

    def _tcp(self) -> list[Config]:
        policies = [
            envoy.extension(
                "envoy.filters.network.rbac",
                "extensions.filters.network.rbac.v3.RBAC",
                stat_prefix="tcp.",
                **rules,
            )
            for rules in self._tcp_rules
            if rules
        ]
        return [*policies, envoy.tcp_proxy(f"inbound_{self._port}", _cluster(self._port))]


def _match(transport: str, protocols: Sequence[str] = ()) -> Config:
    more = {"application_protocols": list(protocols)} if protocols else {}
    return {"transport_protocol": transport, **more}
