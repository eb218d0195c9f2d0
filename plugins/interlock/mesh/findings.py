"""All findings about a mesh's objects, with Istio's message codes where `istioctl analyze` has one."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from interlock.mesh.findings_annotations import annotation_findings
from interlock.mesh.findings_clients import client_findings
from interlock.mesh.findings_injection import injection_findings
from interlock.mesh.findings_policies import policy_findings
from interlock.mesh.findings_workloads import workload_findings
from interlock.mesh.mesh import Mesh
from interlock.mesh.messages import message
from interlock.mesh.policy_problems import policy_problems
from interlock.mesh.reading import Problem
from interlock.mesh.verdict import Finding


def findings(mesh: Mesh, control_plane: str = "") -> tuple[Finding, ...]:
    """What a person should look at, the worst first.

    Args:
        mesh: The mesh's objects.
        control_plane: The control plane's version or image, to tell the skew of sidecars; empty if not known.
    """
    found = [
        *_wrong_objects(mesh),
        *injection_findings(mesh),
        *annotation_findings(mesh),
        *policy_findings(mesh),
        *client_findings(mesh),
        *workload_findings(mesh, control_plane),
    ]
    return ordered(found)


def ordered(found: Iterable[Finding]) -> tuple[Finding, ...]:
    """Findings, each once, the worst first."""
    order = ("Error", "Warning", "Info")
    return tuple(sorted(dict.fromkeys(found), key=lambda f: (order.index(f.severity), f.code, f.ref, f.text)))


def _wrong_objects(mesh: Mesh) -> Iterator[Finding]:
    for kind, problem in mesh.unread:
        yield message("IST0106", kind, str(problem))
    for group in mesh.peer_authentications.values():
        for peer in group:
            yield from _problems(peer.ref, peer.problems)
    for policies in mesh.authorization_policies.values():
        for policy in policies:
            yield from _problems(policy.ref, policy_problems(policy))
    for authentications in mesh.request_authentications.values():
        for authentication in authentications:
            yield from _problems(authentication.ref, authentication.selection.problems)
    for sidecars in mesh.sidecars.values():
        for sidecar in sidecars:
            yield from _problems(sidecar.ref, sidecar.problems)
    for rule in mesh.destination_rules:
        yield from _problems(rule.ref, rule.problems)
    for entry in mesh.service_entries:
        yield from _problems(entry.ref, entry.problems)


def _problems(ref: str, problems: tuple[Problem, ...]) -> Iterator[Finding]:
    for problem in problems:
        yield message("IST0133" if problem.warning else "IST0106", ref, str(problem))
