"""All that one sidecar is told, by type and name; and the file that it starts with."""

from __future__ import annotations

from pathlib import Path

from sandbox.mesh import envoy, inbound, outbound, telemetry
from sandbox.mesh.authority import Certificate
from sandbox.mesh.envoy import Config
from sandbox.mesh.objects import Objects, Raw, address, canonical_name, namespace

HEALTH_PORT, STATS_PORT = 15021, 15090
STATUS_PORT = 15020
"""Where Prometheus is pointed at: in Istio pilot-agent's, which adds the program's own metrics."""

_TYPES = "type.googleapis.com/envoy."
CLUSTERS = f"{_TYPES}config.cluster.v3.Cluster"
ENDPOINTS = f"{_TYPES}config.endpoint.v3.ClusterLoadAssignment"
LISTENERS = f"{_TYPES}config.listener.v3.Listener"
ROUTES = f"{_TYPES}config.route.v3.RouteConfiguration"
FILTERS = f"{_TYPES}config.core.v3.TypedExtensionConfig"
SECRETS = f"{_TYPES}extensions.transport_sockets.tls.v3.Secret"

Snapshot = dict[str, dict[str, Config]]
"""Configs by the URL of their type, then by name."""


def policies(objects: Objects, pod: Raw) -> Snapshot:
    """What follows from the live objects for a pod's sidecar.

    Args:
        objects: The live objects, the pod among them.
        pod: The pod.
    """
    return {
        CLUSTERS: {**inbound.clusters(objects, pod), **outbound.clusters(objects, pod)},
        ENDPOINTS: outbound.endpoints(objects, pod),
        LISTENERS: {**inbound.listeners(objects, pod), **outbound.listeners(pod)},
        ROUTES: outbound.routes(objects, pod),
        FILTERS: inbound.policy_filters(objects, pod),
    }


def secrets(own: Certificate, authorities: str) -> Snapshot:
    """The certificate of a sidecar and those that it trusts, all in PEM."""
    certificate = {
        "certificate_chain": {"inline_string": own.chain},
        "private_key": {"inline_string": own.key},
    }
    trusted = {"trusted_ca": {"inline_string": authorities}}
    return {
        SECRETS: {
            envoy.OWN_CERTIFICATE: {"name": envoy.OWN_CERTIFICATE, "tls_certificate": certificate},
            envoy.AUTHORITIES: {"name": envoy.AUTHORITIES, "validation_context": trusted},
        }
    }


def bootstrap(pod: Raw, control_plane: Path, admin: Path) -> Config:
    """What Envoy starts with: where to ask, and where its health and its statistics are read.

    Args:
        pod: The pod, with its address.
        control_plane: The unix socket of the control plane.
        admin: The unix socket of Envoy's own administration.
    """
    back_off = {"retry_back_off": {"base_interval": "0.2s", "max_interval": "1s"}}
    service = {"envoy_grpc": {"cluster_name": "xds", "retry_policy": back_off}}
    ads = {"api_type": "GRPC", "transport_api_version": "V3", "grpc_services": [service]}
    http2 = envoy.any_of(
        "extensions.upstreams.http.v3.HttpProtocolOptions",
        explicit_http_config={"http2_protocol_options": {}},
    )
    options = {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": http2}
    pipe = {"pipe": {"path": str(control_plane)}}
    buckets = {"match": {"prefix": "istio"}, "buckets": list(telemetry.BUCKETS_MILLISECONDS)}
    return {
        "node": {
            "id": pod["metadata"]["uid"],
            "cluster": f"{canonical_name(pod)}.{namespace(pod)}",
        },
        "admin": {"address": {"pipe": {"path": str(admin), "mode": 0o600}}},
        "dynamic_resources": {"ads_config": ads, "cds_config": envoy.ADS, "lds_config": envoy.ADS},
        "static_resources": {
            "clusters": [
                envoy.static_cluster("xds", pipe, typed_extension_protocol_options=options),
                envoy.static_cluster("admin", {"pipe": {"path": str(admin)}}),
            ],
            "listeners": [
                _window(pod, HEALTH_PORT, "/healthz/ready", "/ready"),
                *(
                    _window(pod, port, "/stats/prometheus", "/stats/prometheus?filter=^istio")
                    for port in (STATS_PORT, STATUS_PORT)
                ),
            ],
        },
        "stats_config": {"histogram_bucket_settings": [buckets]},
    }


def _window(pod: Raw, port: int, path: str, inner: str) -> Config:
    """A listener that shows one page of the administration and no other."""
    name = f"window_{port}"
    route = {"match": {"path": path}, "route": {"cluster": "admin", "prefix_rewrite": inner}}
    hosts = [{"name": name, "domains": ["*"], "routes": [route]}]
    manager = envoy.http_manager(name, [], route_config={"name": name, "virtual_hosts": hosts})
    listens = envoy.socket_address(address(pod), port)
    return {"name": name, "address": listens, "filter_chains": [{"filters": [manager]}]}
