"""Which of a pod's annotations the injector refuses (pkg/kube/inject/validate.go)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping

from interlock.mesh import matchers
from interlock.mesh.capture import EXCLUDE, INCLUDE, INTERCEPTION, STATUS_PORT
from interlock.mesh.reading import Problem, digits

_UINT32 = 2**32


def annotation_problems(annotations: Mapping[str, str]) -> Iterator[Problem]:
    """The annotations whose values the injector refuses; it then creates no pod."""
    for name, check in sorted(_CHECKS.items()):
        if name in annotations and not check(annotations[name]):
            yield Problem(name, f"found {annotations[name]!r}, expected {_EXPECTED[check]}")


def _mode(value: str) -> bool:
    return value in ("REDIRECT", "TPROXY", "NONE")


def _number(value: str) -> bool:
    found = digits(value)
    return found is not None and found < _UINT32


def _port(value: str) -> bool:
    found = digits(value.strip())
    return found is not None and found <= 65535


def _ports(value: str) -> bool:
    return not value.strip() or all(map(_port, value.split(",")))


def _all_or_ports(value: str) -> bool:
    return value == "*" or _ports(value)


def _ranges(value: str) -> bool:
    try:
        return not value or all("/" in part and matchers.network(part) for part in value.split(","))
    except matchers.DroppedError:
        return False


def _all_or_ranges(value: str) -> bool:
    return value == "*" or _ranges(value)


def _bool(value: str) -> bool:
    return re.fullmatch(r"[01tTfF]|true|TRUE|True|false|FALSE|False", value) is not None


_CHECKS: dict[str, Callable[[str], bool]] = {
    INTERCEPTION: _mode,
    STATUS_PORT: _port,
    "readiness.status.sidecar.istio.io/initialDelaySeconds": _number,
    "readiness.status.sidecar.istio.io/periodSeconds": _number,
    "readiness.status.sidecar.istio.io/failureThreshold": _number,
    "traffic.sidecar.istio.io/includeOutboundIPRanges": _all_or_ranges,
    "traffic.sidecar.istio.io/excludeOutboundIPRanges": _ranges,
    INCLUDE: _all_or_ports,
    EXCLUDE: _ports,
    "traffic.sidecar.istio.io/excludeOutboundPorts": _ports,
    "prometheus.istio.io/merge-metrics": _bool,
}
_EXPECTED: dict[Callable[[str], bool], str] = {
    _mode: "REDIRECT, TPROXY or NONE",
    _number: "a whole number",
    _port: "a port",
    _ports: "ports, separated by commas",
    _all_or_ports: "* or ports, separated by commas",
    _ranges: "CIDR ranges, separated by commas",
    _all_or_ranges: "* or CIDR ranges, separated by commas",
    _bool: "true or false",
}
