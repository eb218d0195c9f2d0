"""Envoy's statistics under Istio's names and labels: istio_requests_total and its duration, on both sides.

A sidecar says in headers who its pod is; the side that it calls takes them out and counts with them. What
Envoy does not know is empty or `-` here and becomes `unknown` when Prometheus relabels it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sandbox.mesh import envoy
from sandbox.mesh.envoy import Config
from sandbox.mesh.objects import (
    Objects,
    Raw,
    canonical_name,
    identity,
    labels,
    name,
    namespace,
    workload_name,
)
from sandbox.mesh.services import full_name

BUCKETS_MILLISECONDS = (
    *(0.5, 1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000, 60000),
    *(300000, 600000, 1800000, 3600000),
)
PEER = "istio.peer"
_HEADER = "x-envoy-peer-metadata-"
_STATS = "type.googleapis.com/envoy.extensions.access_loggers.stats.v3.Config"


@dataclass(frozen=True)
class Inbound:
    """What a server's sidecar counts with.

    Attributes:
        filter: An HTTP filter that takes the caller's headers out.
        log: An access log that counts.
    """

    filter: Config
    log: Config


def about(pod: Raw) -> dict[str, str]:
    """Who a pod is, in Istio's words."""
    return {
        "workload": workload_name(pod),
        "workload_namespace": namespace(pod),
        "app": labels(pod).get("app", ""),
        "version": labels(pod).get("version", ""),
        "canonical_service": canonical_name(pod),
        "canonical_revision": labels(pod).get("service.istio.io/canonical-revision")
        or labels(pod).get("version")
        or "latest",
    }


def announced(pod: Raw) -> list[Config]:
    """The headers by which a client's sidecar says who its pod is."""
    return [
        {
            "header": {"key": _HEADER + key.replace("_", "-"), "value": value},
            "append_action": "OVERWRITE_IF_EXISTS_OR_ADD",
        }
        for key, value in about(pod).items()
        if value
    ]


def endpoint_metadata(pod: Raw) -> dict[str, str]:
    """Who a pod is, for the sidecars that call it."""
    return {**about(pod), "principal": identity(pod)}


def inbound(objects: Objects, pod: Raw) -> Inbound:
    """What the sidecar of a pod counts of its inbound requests."""
    service = next(iter(objects.services_of(pod)), None)
    taken = [
        {
            "header": _HEADER + key.replace("_", "-"),
            "on_header_present": {"metadata_namespace": PEER, "key": key, "type": "STRING"},
            "remove": True,
        }
        for key in about(pod)
    ]
    filter_ = envoy.extension(
        "envoy.filters.http.header_to_metadata",
        "extensions.filters.http.header_to_metadata.v3.Config",
        request_rules=taken,
    )
    known = {f"source_{key}": f"%DYNAMIC_METADATA({PEER}:{key})%" for key in about(pod)}
    own = {f"destination_{key}": value for key, value in about(pod).items()}
    log = _log(
        {
            "reporter": "destination",
            **known,
            **own,
            "source_principal": "%DOWNSTREAM_PEER_URI_SAN%",
            "destination_principal": "%DOWNSTREAM_LOCAL_URI_SAN%",
            **_service(service),
        },
        secure="%DOWNSTREAM_TLS_VERSION%",
    )
    return Inbound(filter_, log)


def outbound(pod: Raw) -> Config:
    """An access log that counts a pod's outbound requests."""
    own = {f"source_{key}": value for key, value in about(pod).items()}
    told = {f"destination_{key}": f"%UPSTREAM_METADATA(istio:{key})%" for key in (*about(pod), "principal")}
    service = {
        f"destination_service{suffix}": f"%CLUSTER_METADATA(istio:service{suffix})%"
        for suffix in ("", "_name", "_namespace")
    }
    log = {"reporter": "source", **own, "source_principal": identity(pod), **told, **service}
    return _log(log, secure="")


def cluster_metadata(service: Raw) -> Config:
    """What a client's sidecar counts with, of the Service that a cluster is for."""
    return {key.removeprefix("destination_"): value for key, value in _service(service).items()}


def _service(service: Raw | None) -> dict[str, str]:
    if service is None:
        return {}
    return {
        "destination_service": full_name(service),
        "destination_service_name": name(service),
        "destination_service_namespace": namespace(service),
    }


def _log(tags: Mapping[str, str], *, secure: str) -> Config:
    """The logger; `secure` tells the version of TLS, which becomes `mutual_tls` when it is relabelled."""
    every = {
        **tags,
        "request_protocol": "http",
        "response_code": "%RESPONSE_CODE%",
        "response_flags": "%RESPONSE_FLAGS%",
        "connection_security_policy": secure,
    }
    listed = [{"name": key, "value_format": value or "unknown"} for key, value in every.items()]
    stats = {
        "counters": [{"stat": {"name": "requests_total", "tags": listed}, "value_fixed": 1}],
        "histograms": [
            {
                "stat": {"name": "request_duration_milliseconds", "tags": listed},
                "unit": "Milliseconds",
                "value_format": "%DURATION%",
            }
        ],
        # All loggers of a sidecar count in one place, which outlives each listener.
        "stats_scope": {"prefix": "istio", "sharing_name": "istio"},
    }
    return {
        "name": "envoy.access_loggers.stats",
        # The generated classes don't know stats_scope yet, so it travels as a plain structure.
        "typed_config": {
            "@type": "type.googleapis.com/xds.type.v3.TypedStruct",
            "type_url": _STATS,
            "value": stats,
        },
    }
