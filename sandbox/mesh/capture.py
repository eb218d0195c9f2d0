"""Which ports of a pod its sidecar stands in front of: the annotations that Istio's istio-init heeds."""

from __future__ import annotations

import re

from sandbox.mesh.objects import Raw

INCLUDE = "traffic.sidecar.istio.io/includeInboundPorts"
EXCLUDE = "traffic.sidecar.istio.io/excludeInboundPorts"
_PORTS = re.compile(r"\s*(\d+(\s*,\s*\d+)*)?\s*")


def is_captured(pod: Raw, port: int) -> bool:
    """Whether connections to a port go through the sidecar; exclusions count only where all are included."""
    notes = pod["metadata"].get("annotations") or {}
    include = str(notes.get(INCLUDE, "*")).strip()
    if include != "*":
        return port in _ports(include)
    return port not in _ports(str(notes.get(EXCLUDE, "")))


def unreadable(pod: Raw) -> str:
    """What of a pod's annotations is no list of ports, in one line; empty if all are."""
    notes = pod["metadata"].get("annotations") or {}
    for key in (INCLUDE, EXCLUDE):
        value = str(notes.get(key, ""))
        if not (_PORTS.fullmatch(value) or (key == INCLUDE and value == "*")):
            return f"annotation {key}: expected ports, separated by commas, found {value!r}"
    return ""


def _ports(text: str) -> set[int]:
    return {int(part) for part in text.split(",") if part.strip().isdigit()}
