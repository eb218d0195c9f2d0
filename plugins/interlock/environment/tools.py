"""Judges a worker's command-line tools: are they there, as pinned, and near enough to their servers.

How far a tool may be from its server: kubectl one minor version (Kubernetes' version skew policy); istioctl
the same minor version as the control plane, as Istio recommends; the CLI of Vault or OpenBao the same minor
version as its server, since neither states how far is too far.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from interlock.environment.check import At, Check, Severity, Unseen
from interlock.environment.expectations import TOOLS, Expectations, ToolEntry, ToolName
from interlock.environment.versions import Version

SERVERS: Final[Mapping[ToolName, str]] = {
    "kubectl": "the Kubernetes API",
    "istioctl": "Istio's control plane",
    "vault": "Vault",
    "bao": "Vault",
}
_MINORS_APART: Final[Mapping[ToolName, int]] = {"kubectl": 1, "istioctl": 0, "vault": 0, "bao": 0}
_STANDS_IN: Final[Mapping[ToolName, ToolName]] = {"vault": "bao", "bao": "vault"}


@dataclass(frozen=True, slots=True)
class ToolFacts:
    """What was seen of the tools.

    Attributes:
        host: the machine that was looked at.
        tools: by name, the version; Unseen of kind `missing` where it isn't installed.
        servers: by tool, the version of what it talks to, for those that talk to one.
    """

    host: str
    tools: Mapping[ToolName, Version | Unseen]
    servers: Mapping[ToolName, Version | Unseen]


def judge_tools(facts: ToolFacts, wanted: Expectations) -> Iterator[Check]:
    """The checks of each tool. Only one that the file requires keeps an environment from passing."""
    at = At(facts.host)
    for name in TOOLS:
        entry, found = wanted.tool(name), facts.tools[name]
        if isinstance(found, Unseen):
            yield _absent(at, name, entry, found, facts)
            continue
        severity: Severity = "error" if entry.required else "warning"
        yield at.ok("tools.found", name, f"{found} is installed")
        if entry.version is not None:
            yield at.either(
                found == entry.version,
                "tools.pinned",
                name,
                f"it is the pinned {entry.version}",
                wrong=f"it is {found}; {entry.version} is pinned",
                fix=f"Install {entry.version}, or change `tools.{name}.version` in the file",
                severity=severity,
            )
        if name in SERVERS:
            yield _skew(at, name, found, facts.servers[name], severity)


def _absent(at: At, name: ToolName, entry: ToolEntry, found: Unseen, facts: ToolFacts) -> Check:
    code = "tools.found"
    if found.kind != "missing":
        severity: Severity = "error" if entry.required else "warning"
        return at.unseen(code, name, found, f"Run `{name} version` there, and mend it", severity=severity)
    other = _STANDS_IN.get(name)
    instead = f"; {other} is" if other and isinstance(facts.tools[other], Version) else ""
    said = f"it is not installed{instead}"
    if entry.required:
        hint = f", or require {other}" if instead else ""
        return at.finding(code, name, said, f"Install it{hint}, or set `tools.{name}.required` to false")
    return at.unseen(code, name, Unseen(said), "Nothing, unless it is needed", severity="note")


def _skew(at: At, name: ToolName, found: Version, server: Version | Unseen, severity: Severity) -> Check:
    code, whose = "tools.skew", SERVERS[name]
    if isinstance(server, Unseen):
        fix = f"Let the check see the version of {whose}"
        # What isn't there has no version that could be too far away.
        return at.unseen(code, name, server, fix, severity="note" if server.kind == "missing" else severity)
    apart, most = found.minors_apart(server), _MINORS_APART[name]
    said = f"it is {found}, {whose} is {server}"
    near = "the same minor version" if most == 0 else f"at most {most} minor version apart"
    return at.either(
        apart is not None and apart <= most,
        code,
        name,
        said,
        wrong=f"{said}; expected {near}",
        fix=f"Install v{server.major}.{server.minor}",
        severity=severity,
    )
