"""Who may call what: the identities of a mesh against a workload's port, whatever they ask for."""

from __future__ import annotations

from dataclasses import dataclass

from interlock.mesh.authorize import authorize
from interlock.mesh.inbound import port_verdict
from interlock.mesh.injection import injection
from interlock.mesh.mesh import Mesh
from interlock.mesh.request import Identity, Request
from interlock.mesh.service import Protocol
from interlock.mesh.verdict import Answer, Outcome, Reason
from interlock.mesh.workload import Workload


@dataclass(frozen=True, slots=True)
class Caller:
    """One identity against a port.

    Attributes:
        principal: The identity; empty for callers without one.
        workloads: Who has it.
        outcome: ALLOW: all its requests; DENY: none; INDETERMINATE: that depends on the request, or can't be
        told. reasons: Why.
    """

    principal: str
    workloads: tuple[str, ...]
    outcome: Outcome
    reasons: tuple[Reason, ...]


@dataclass(frozen=True, slots=True)
class Callers:
    """Who may call a port.

    Attributes:
        workload: Whose port it is.
        port: The container's port.
        open_to_all: Whether everybody may send everything, without an identity.
        open_to_mesh: Whether every identity of the mesh may send everything.
        callers: Each identity of the mesh, and the callers without one.
    """

    workload: str
    port: int
    open_to_all: Answer
    open_to_mesh: Answer
    callers: tuple[Caller, ...]


def callers(mesh: Mesh, workload: Workload, port: int) -> Callers:
    """Who may call a port of a workload."""
    names: dict[str, list[str]] = {"": []}
    for other in mesh.workloads:
        has_sidecar = injection(mesh, other).sidecar is not Answer.NO
        principal = (
            other.principal(mesh.settings.trust_domain) if has_sidecar and not other.host_network else ""
        )
        names.setdefault(principal, []).append(other.ref)
    found = tuple(
        Caller(principal, tuple(names[principal]), *_always(mesh, workload, port, principal))
        for principal in sorted(names)
    )
    members, _ = _always(mesh, workload, port, Identity.ANY)
    return Callers(workload.ref, port, open_to_all(mesh, workload, port), _answer(members), found)


def _identities(mesh: Mesh) -> dict[str, list[str]]:
    """Who has which identity; those without a sidecar have none."""
    names: dict[str, list[str]] = {"": []}
    for workload in mesh.workloads:
        identified = injection(mesh, workload).sidecar is not Answer.NO and not workload.host_network
        principal = workload.principal(mesh.settings.trust_domain) if identified else ""
        names.setdefault(principal, []).append(workload.ref)
    return names


def open_to_all(mesh: Mesh, workload: Workload, port: int) -> Answer:
    """Whether everybody may send everything to a port, without an identity."""
    return _answer(_always(mesh, workload, port, "")[0])


def _always(
    mesh: Mesh, workload: Workload, port: int, principal: str | Identity
) -> tuple[Outcome, tuple[Reason, ...]]:
    """What becomes of all requests of an identity: of none that is not known anything is told."""
    protocol = port_verdict(mesh, workload, port).protocol
    kinds = (True, False) if protocol is Protocol.AUTO else (protocol is Protocol.HTTP,)
    decisions = [
        authorize(mesh, workload, Request(port, principal=principal, http=http, headers=None, claims=None))
        for http in kinds
    ]
    outcomes = {decision.outcome for decision in decisions}
    outcome = outcomes.pop() if len(outcomes) == 1 else Outcome.INDETERMINATE
    return outcome, tuple(dict.fromkeys(reason for decision in decisions for reason in decision.reasons))


def _answer(outcome: Outcome) -> Answer:
    return {Outcome.ALLOW: Answer.YES, Outcome.DENY: Answer.NO}.get(outcome, Answer.INDETERMINATE)
