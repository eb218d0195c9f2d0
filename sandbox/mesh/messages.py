"""Envoy's messages, as generated classes of the package xds-protos.

A config inside another travels as an `Any`, which JSON can only be turned into if the class of what is inside
was imported: hence the modules that are named for nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping

from envoy.config.cluster.v3.cluster_pb2 import Cluster
from envoy.config.core.v3.extension_pb2 import TypedExtensionConfig
from envoy.config.endpoint.v3.endpoint_pb2 import ClusterLoadAssignment
from envoy.config.listener.v3.listener_pb2 import Listener
from envoy.config.route.v3.route_pb2 import RouteConfiguration
from envoy.extensions.access_loggers.stats.v3 import stats_pb2
from envoy.extensions.filters.http.header_to_metadata.v3 import header_to_metadata_pb2
from envoy.extensions.filters.http.rbac.v3 import rbac_pb2 as http_rbac_pb2
from envoy.extensions.filters.http.router.v3 import router_pb2
from envoy.extensions.filters.listener.http_inspector.v3 import http_inspector_pb2
from envoy.extensions.filters.listener.tls_inspector.v3 import tls_inspector_pb2
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2
from envoy.extensions.filters.network.rbac.v3 import rbac_pb2 as network_rbac_pb2
from envoy.extensions.filters.network.tcp_proxy.v3 import tcp_proxy_pb2
from envoy.extensions.path.match.uri_template.v3 import uri_template_match_pb2
from envoy.extensions.retry.host.previous_hosts.v3 import previous_hosts_pb2
from envoy.extensions.transport_sockets.raw_buffer.v3 import raw_buffer_pb2
from envoy.extensions.transport_sockets.tls.v3.secret_pb2 import Secret
from envoy.extensions.transport_sockets.tls.v3.tls_pb2 import DownstreamTlsContext, UpstreamTlsContext
from envoy.service.discovery.v3.discovery_pb2 import DiscoveryRequest, DiscoveryResponse
from google.protobuf.message import Message
from xds.type.v3 import typed_struct_pb2

MESSAGES: Mapping[str, type[Message]] = {
    f"type.googleapis.com/{message.DESCRIPTOR.full_name}": message
    for message in (
        Cluster,
        ClusterLoadAssignment,
        Listener,
        RouteConfiguration,
        Secret,
        TypedExtensionConfig,
    )
}
"""The messages that a sidecar asks for, by the URL of their type."""

INNER = (
    DownstreamTlsContext,
    UpstreamTlsContext,
    header_to_metadata_pb2,
    http_connection_manager_pb2,
    http_inspector_pb2,
    http_rbac_pb2,
    network_rbac_pb2,
    previous_hosts_pb2,
    raw_buffer_pb2,
    router_pb2,
    stats_pb2,
    tcp_proxy_pb2,
    tls_inspector_pb2,
    typed_struct_pb2,
    uri_template_match_pb2,
)
"""What comes inside them."""

__all__ = ["INNER", "MESSAGES", "DiscoveryRequest", "DiscoveryResponse"]
