"""Host names as Istio compares them (pkg/config/host/name.go, pilot/pkg/model/config.go)."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable


def subset_of(host: str, pattern: str) -> bool:
    """Whether a pattern, a name or one that begins with `*`, covers a name."""
    return host.endswith(pattern[1:]) if pattern.startswith("*") else host == pattern


def resolved(host: str, namespace: str, cluster_domain: str) -> str:
    """The full name of a Service's short name; a name with a dot, `*` and an address stay as they are."""
    if not host or host == "*" or "." in host:
        return host
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return f"{host}.{namespace}.svc.{cluster_domain}"
    return host


def most_specific(host: str, patterns: Iterable[str]) -> str | None:
    """The pattern that Istio takes for a name: the same name, else the longest wildcard that covers it."""
    known = set(patterns)
    if host in known:
        return host
    covering = [pattern for pattern in known if pattern.startswith("*") and subset_of(host, pattern)]
    return max(covering, key=lambda pattern: (len(pattern), pattern), default=None)
