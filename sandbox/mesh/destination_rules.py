"""Which DestinationRule a client follows for a Service, and which TLS its rule asks for.

Follows pilot/pkg/model/push_context.go of Istio for the rule: the client's namespace, then the Service's,
then the root namespace; there the most specific host. Of several rules for one host in one namespace the
oldest that has a traffic policy counts. Subsets are not routed to.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from sandbox.mesh.objects import CLUSTER_DOMAIN, ROOT_NAMESPACE, Objects, Raw, labels, namespace, selects
from sandbox.mesh.services import full_name


def policy_of(objects: Objects, client: Raw, service: Raw) -> Raw:
    """The traffic policy that a client's sidecar follows for a Service; empty if there is none."""
    host = full_name(service)
    for where in dict.fromkeys((namespace(client), namespace(service), ROOT_NAMESPACE)):
        rules = [
            rule
            for rule in objects.destination_rules
            if namespace(rule) == where and _covers(rule, host) and _visible(rule, client)
        ]
        if rules:
            best = max((_host(rule) for rule in rules), key=_precision)
            return _chosen([rule for rule in rules if _host(rule) == best], client)
    return {}


def cluster_tls(policy: Raw, port: int) -> Raw | None:
    """The TLS that a cluster is told; a port's settings replace the wider ones, also if they say none."""
    for settings in policy.get("portLevelSettings") or ():
        if (settings.get("port") or {}).get("number") == port:
            return _tls(settings)
    return _tls(policy)


def endpoint_mode(policy: Raw, port: int) -> str | None:
    """The TLS mode that endpoints are told; here a port's settings without TLS hide no wider ones."""
    for settings in policy.get("portLevelSettings") or ():
        tls = _tls(settings)
        if (settings.get("port") or {}).get("number") == port and tls is not None:
            return _mode(tls)
    tls = _tls(policy)
    return None if tls is None else _mode(tls)


def sends_plaintext(tls: Raw) -> bool:
    """Whether a client with these settings sends plaintext, also where istiod gives up what was asked for."""
    mode = _mode(tls)
    lacking = mode == "MUTUAL" and not (tls.get("clientCertificate") and tls.get("privateKey"))
    return mode == "DISABLE" or lacking or bool(mode != "ISTIO_MUTUAL" and tls.get("credentialName"))


def is_mesh_mtls(tls: Raw) -> bool:
    """Whether the mesh's own certificates are asked for."""
    return _mode(tls) == "ISTIO_MUTUAL"


def _tls(settings: Raw) -> Raw | None:
    return cast("Raw | None", settings.get("tls"))


def _mode(tls: Raw) -> str:
    return str(tls.get("mode") or "DISABLE")


def _host(rule: Raw) -> str:
    given = str(rule["spec"].get("host") or "")
    if "." in given or given.startswith("*"):
        return given
    return f"{given}.{namespace(rule)}.svc.{CLUSTER_DOMAIN}"


def _covers(rule: Raw, host: str) -> bool:
    given = _host(rule)
    return host.endswith(given[1:]) if given.startswith("*") else host == given


def _precision(host: str) -> tuple[bool, int]:
    return (not host.startswith("*"), len(host))


def _visible(rule: Raw, client: Raw) -> bool:
    """Whether a rule reaches the client's namespace."""
    if namespace(rule) == namespace(client):
        return True
    exported = rule["spec"].get("exportTo") or ["*"]
    return "*" in exported or namespace(client) in exported


def _chosen(rules: Sequence[Raw], client: Raw) -> Raw:
    """The policy of the rule that selects the client, else of one for all."""
    wide: Raw | None = None
    for rule in rules:
        spec = rule["spec"]
        selector = (spec.get("workloadSelector") or {}).get("matchLabels")
        if selector is None:
            wide = wide or spec.get("trafficPolicy")
        elif namespace(rule) == namespace(client) and selects(selector, labels(client)):
            return spec.get("trafficPolicy") or {}
    return wide or {}
