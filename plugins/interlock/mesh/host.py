"""Host names as Istio compares them (pkg/config/host/name.go, pilot/pkg/model/config.go)."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable


def is_wildcard(host: str) -> bool:
    """Whether the name begins with `*`."""
    return host.startswith("*")


def subset_of(host: str, pattern: str) -> bool:
    """Whether a pattern covers a name, which may have a wildcard itself."""
    if not is_wildcard(pattern):
        return host == pattern
    if is_wildcard(host):
        return len(host) >= len(pattern) and host[1:].endswith(pattern[1:])
    return host.endswith(pattern[1:])


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
    rest = host[1:] if is_wildcard(host) else host
    covering = [pattern for pattern in known if is_wildcard(pattern) and rest.endswith(pattern[1:])]
    return max(covering, key=lambda pattern: (len(pattern), pattern), default=None)
