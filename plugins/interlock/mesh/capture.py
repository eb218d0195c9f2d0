"""Which connections to a pod its sidecar sees at all.

Istio's rules: tools/istio-iptables/pkg/capture/run.go (`handleInboundPortsInclude`), the injection template
(`istio-init`'s arguments) and, with the CNI plugin, cni/pkg/plugin/sidecar_redirect.go (annotations).
"""

from __future__ import annotations

from dataclasses import dataclass

from interlock.mesh.reading import Problem, digits
from interlock.mesh.settings import MeshSettings
from interlock.mesh.verdict import Reason
from interlock.mesh.workload import Container, Workload

INCLUDE = "traffic.sidecar.istio.io/includeInboundPorts"
EXCLUDE = "traffic.sidecar.istio.io/excludeInboundPorts"
INTERCEPTION = "sidecar.istio.io/interceptionMode"
STATUS_PORT = "status.sidecar.istio.io/port"
OWN_PORTS = frozenset({15020, 15021, 15090})
"""Ports of the sidecar itself, which are never captured by default."""


@dataclass(frozen=True, slots=True)
class Capture:
    """The ports that a pod's traffic redirection takes to the sidecar. Build it with `of`.

    Attributes:
        mode: `REDIRECT`, `TPROXY` or `NONE`; with NONE nothing is captured.
        include: The captured ports; None is all of them.
        exclude: Ports that are not; they count only where all are captured.
        source: Where this is said, for people.
        problems: Port lists that can't be read.
    """

    mode: str
    include: frozenset[int] | None
    exclude: frozenset[int]
    source: str
    problems: tuple[Problem, ...] = ()

    @classmethod
    def of(cls, workload: Workload, settings: MeshSettings) -> Capture:
        """The capture of a workload that has, or will have, a sidecar."""
        problems: list[Problem] = []
        for container in workload.init_containers:
            if container.name == "istio-init":
                return cls._of_arguments(workload, container, problems)
        notes = workload.annotations
        include = notes.get(INCLUDE, settings.include_inbound_ports)
        excluded = notes.get(EXCLUDE, settings.exclude_inbound_ports)
        own = set(OWN_PORTS - {15020})
        status = notes.get(STATUS_PORT, str(settings.status_port))
        if port := digits(status):
            own.add(port)
        return cls(
            mode=_interception(workload),
            include=None if include.strip() == "*" else _ports(include, f"annotation {INCLUDE}", problems),
            exclude=_ports(excluded, f"annotation {EXCLUDE}", problems) | own,
            source="annotations"
            if notes.keys() & {INCLUDE, EXCLUDE, INTERCEPTION}
            else "the mesh's defaults",
            problems=tuple(problems),
        )

    @classmethod
    def _of_arguments(cls, workload: Workload, init: Container, problems: list[Problem]) -> Capture:
        """What a pod's istio-init really set up; annotations that were changed later don't matter to it."""
        values = dict(zip(init.args, init.args[1:], strict=False))
        include = values.get("-b", "")
        return cls(
            mode=values.get("-m") or _interception(workload),
            include=None if include == "*" else _ports(include, "argument -b of istio-init", problems),
            exclude=_ports(values.get("-d", ""), "argument -d of istio-init", problems),
            source="istio-init's arguments",
            problems=tuple(problems),
        )

    def bypass(self, port: int) -> Reason | None:
        """Why connections to this port don't pass the sidecar; None if they do."""
        if self.mode == "NONE":
            return Reason(f"the interception mode is NONE ({self.source}): no connection is redirected")
        if self.include is None:
            if port in OWN_PORTS and port in self.exclude:
                return Reason(f"port {port} is the sidecar's own and is never captured")
            if port in self.exclude:
                return Reason(f"port {port} is excluded from capture ({self.source})")
            return None
        if port in self.include:
            return None
        listed = ", ".join(map(str, sorted(self.include))) or "none"
        return Reason(f"port {port} is not among the captured ports: {listed} ({self.source})")


def _interception(workload: Workload) -> str:
    container = workload.proxy_container
    env = container.env.get("ISTIO_META_INTERCEPTION_MODE", "") if container else ""
    return workload.annotations.get(INTERCEPTION) or env or "REDIRECT"


def _ports(value: str, field: str, problems: list[Problem]) -> frozenset[int]:
    found = set()
    for part in value.split(","):
        entry = part.strip()
        port = digits(entry)
        if port is not None and port <= 65535:
            found.add(port)
        elif entry:
            problems.append(Problem(field, f"found {entry!r}, expected ports from 0 to 65535"))
    return frozenset(found)
