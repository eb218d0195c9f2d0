"""The mesh gate: whether services may move, by what the mesh's objects say of them and of what they need."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from interlock.mesh.findings import findings, ordered
from interlock.mesh.mesh import Mesh
from interlock.mesh.messages import MESSAGES
from interlock.mesh.verdict import Finding, Severity
from interlock.mesh_probe import MAX_TARGETS

SEVERITIES: Final = tuple(map(str, (Severity.ERROR, Severity.WARNING, Severity.INFO)))
"""The worst first."""
LEAST_WINDOW: Final = 10.0
"""Seconds of traffic to look at, at the least: two scrapes."""


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a gate says of a namespace.

    Attributes:
        gate: What was asked.
        namespace: Whose objects were looked at.
        findings: All findings, the worst first.
    """

    gate: Gate
    namespace: str
    findings: tuple[Finding, ...]

    @property
    def blocking(self) -> tuple[Finding, ...]:
        """Those that the gate does not accept."""
        return tuple(finding for finding in self.findings if self.gate.refuses(finding))

    @property
    def summary(self) -> str:
        """One line."""
        verdict = "NOT PASSED" if self.blocking else "PASSED"
        found, refused = len(self.findings), len(self.blocking)
        return f"mesh of {self.namespace}: {verdict}: {found} findings, {refused} refused"

    def fields(self) -> dict[str, object]:
        """What a statement of type `mesh-check` says."""
        counts = Counter(str(finding.severity) for finding in self.findings)
        return {
            "namespace": self.namespace,
            "verdict": "not-passed" if self.blocking else "passed",
            "fail_on": self.gate.fail_on,
            "allow": list(self.gate.allow),
            "counts": {severity: counts[severity] for severity in SEVERITIES},
            "blocking": sorted({finding.code for finding in self.blocking}),
        }

    def evidence(self) -> dict[str, object]:
        """What goes beside the statement: each finding."""
        return {
            "namespace": self.namespace,
            "findings": [
                {
                    "code": finding.code,
                    "name": finding.name,
                    "severity": str(finding.severity),
                    "ref": finding.ref,
                    "text": finding.text,
                    "blocks": self.gate.refuses(finding),
                }
                for finding in self.findings
            ],
        }


class GateError(ValueError):
    """The gate asks for something that there isn't."""


@dataclass(frozen=True, slots=True)
class Probe:
    """How an environment has its services' ports tried.

    Attributes:
        image: What the probe's pod runs: Interlock's image.
        service_account: The probe's own identity, in the services' namespace.
        limit: How many ports are tried at most.
    """

    image: str
    service_account: str = "interlock-probe"
    limit: int = 128

    def __post_init__(self) -> None:
        """Refuse a probe without an image, or with a limit that there isn't."""
        if not self.image:
            raise GateError("probe: it needs an image, Interlock's own")
        if not 1 <= self.limit <= MAX_TARGETS:
            raise GateError(f"probe: limit {self.limit}: expected 1 to {MAX_TARGETS}")


@dataclass(frozen=True, slots=True)
class Traffic:
    """Whose metrics an environment has compared with its policies, and over how long a time.

    Attributes:
        prometheus: Airflow connection of the Prometheus that scrapes the sidecars.
        window: Seconds that are looked at, up to now.
    """

    prometheus: str = "interlock_prometheus"
    window: float = 300.0

    def __post_init__(self) -> None:
        """Refuse a window that holds no two scrapes."""
        if self.window < LEAST_WINDOW:
            raise GateError(f"traffic: window {self.window:g}s: expected at least {LEAST_WINDOW:g}s")


@dataclass(frozen=True, slots=True)
class Gate:
    """What an environment asks of the mesh security of its services.

    Attributes:
        root_namespace: The mesh's root namespace.
        fail_on: The least severity that refuses: `Error`, `Warning` or `Info`.
        allow: Codes of findings that are accepted (docs/mesh.md lists them).
        probe: How ports are tried; None: the environment doesn't opt in.
        traffic: Whose metrics are read; None: the environment doesn't opt in.
    """

    root_namespace: str = "istio-system"
    fail_on: str = "Warning"
    allow: tuple[str, ...] = ()
    probe: Probe | None = None
    traffic: Traffic | None = None

    def __post_init__(self) -> None:
        """Refuse an unknown severity or code; what JSON makes of the rest becomes what it was."""
        object.__setattr__(self, "allow", tuple(self.allow))
        if isinstance(self.probe, Mapping):
            object.__setattr__(self, "probe", Probe(**self.probe))
        if isinstance(self.traffic, Mapping):
            object.__setattr__(self, "traffic", Traffic(**self.traffic))
        if self.fail_on not in SEVERITIES:
            raise GateError(f"fail_on {self.fail_on!r}: expected one of {', '.join(SEVERITIES)}")
        if unknown := [code for code in self.allow if code not in MESSAGES]:
            raise GateError(f"allow: there is no finding {', '.join(unknown)}; docs/mesh.md lists them")

    def refuses(self, finding: Finding) -> bool:
        """Whether nothing may move with this finding."""
        worst = SEVERITIES[: SEVERITIES.index(self.fail_on) + 1]
        return finding.severity in worst and finding.code not in self.allow

    def judge(self, mesh: Mesh, namespace: str, observed: Iterable[Finding] = ()) -> Judgement:
        """All findings about the objects of a namespace and of the mesh's root namespace.

        Args:
            mesh: The objects.
            namespace: The namespace.
            observed: Findings about what was seen beside the objects, such as traffic.
        """
        return Judgement(self, namespace, ordered((*findings(mesh), *observed)))

    def refusals(self, mesh: Mesh, services: Mapping[str, Collection[str]]) -> list[str]:
        """Why these services may not move, a line each; empty if they may.

        Args:
            mesh: The objects of their namespace and of the root namespace.
            services: By name what runs each, as `Workload.ref` says it: `Pod payments/api-0`.
        """
        missing = [name for name, refs in services.items() if not refs]
        lines = self.refused(findings(mesh), services)
        return [*lines, *(f"{name}: nothing runs it in the mesh's namespace" for name in missing)]

    def refused(self, found: Iterable[Finding], services: Mapping[str, Collection[str]]) -> list[str]:
        """What of these findings is about what runs these services, and refuses; a line each, said once."""
        refusing = [finding for finding in found if self.refuses(finding)]
        lines = [
            f"{service}: {finding.text} [{finding.code} {finding.name}]"
            for service, refs in services.items()
            for finding in refusing
            if finding.ref in refs
        ]
        return list(dict.fromkeys(lines))
