"""Findings about Istio's annotations: those that it doesn't know, or not on this kind of object.

Follows pkg/config/analysis/analyzers/annotations/annotations.go; the names are those of
annotation/annotations.gen.go of istio.io/api.
"""

from __future__ import annotations

from collections.abc import Iterator

from interlock.mesh.mesh import Mesh
from interlock.mesh.messages import message
from interlock.mesh.verdict import Finding

# What an annotation can be applied to → the annotations, by their domains.
_KNOWN: dict[tuple[str, ...], dict[str, str]] = {
    ("Pod",): {
        "ambient.istio.io": "bypass-inbound-capture dns-capture redirection",
        "inject.istio.io": "templates",
        "istio.io": "reroute-virtual-interfaces rev",
        "prometheus.istio.io": "merge-metrics",
        "proxy.istio.io": "config overrides",
        "readiness.status.sidecar.istio.io": (
            "applicationPorts failureThreshold initialDelaySeconds periodSeconds"
        ),
        "sidecar.istio.io": (
            "agentLogLevel bootstrapOverride componentLogLevel discoveryAddress extraStatTags inject "
            "interceptionMode logLevel nativeSidecar proxyCPU proxyCPULimit proxyImage proxyImageType "
            "proxyMemory proxyMemoryLimit rewriteAppHTTPProbers statsCompression statsEvictionInterval "
            "statsFlushInterval statsHistogramBins statsHistogramBuckets statsInclusionPrefixes "
            "statsInclusionRegexps statsInclusionSuffixes status userVolume userVolumeMount"
        ),
        "status.sidecar.istio.io": "port",
        "traffic.sidecar.istio.io": (
            "excludeInboundPorts excludeInterfaces excludeOutboundIPRanges excludeOutboundPorts "
            "includeInboundPorts includeOutboundIPRanges includeOutboundPorts kubevirtInterfaces"
        ),
    },
    ("Service",): {
        "alpha.istio.io": "canonical-serviceaccounts kubernetes-serviceaccounts",
        "networking.istio.io": "exportTo",
        "traffic.istio.io": "nodeSelector",
    },
    ("GatewayClass", "Gateway"): {"ambient.istio.io": "waypoint-inbound-binding"},
    ("Any",): {"galley.istio.io": "analyze-suppress", "gateway.istio.io": "controller-version"},
    ("Gateway",): {
        "gateway.istio.io": "name-override service-account",
        "networking.istio.io": "service-type",
    },
    ("WorkloadEntry",): {
        "istio.io": "autoRegistrationGroup connectedAt disconnectedAt workloadController",
    },
    ("AuthorizationPolicy",): {"istio.io": "dry-run"},
    ("Service", "ServiceEntry", "Namespace"): {"istio.io": "use-waypoint-canary-weight"},
    ("Ingress",): {"kubernetes.io": "ingress.class"},
    ("Namespace", "Service", "ServiceEntry"): {"networking.istio.io": "traffic-distribution"},
    ("Namespace",): {"topology.istio.io": "controlPlaneClusters"},
}
_PLACES = {
    f"{domain}/{name}": places
    for places, domains in _KNOWN.items()
    for domain, names in domains.items()
    for name in names.split()
}
# Istio itself sets these, also where they don't belong.
_IGNORED = {"sidecar.istio.io/status", "gateway.istio.io/controller-version", "istio.io/rev"}
_INGRESS_CLASS = "kubernetes.io/ingress.class"


def annotation_findings(mesh: Mesh) -> Iterator[Finding]:
    """What is wrong with the annotations of namespaces, Services, pods and Deployments."""
    for kind, ref, given in mesh.annotations:
        for name in given:
            if (
                not (name.partition("/")[0].endswith("istio.io") or name == _INGRESS_CLASS)
                or name in _IGNORED
            ):
                continue
            places = _PLACES.get(name)
            if places is None:
                yield message("IST0108", ref, name)
            elif kind not in places and "Any" not in places:
                yield message("IST0107", ref, name, ", ".join(places))
