"""Who may call what: the identities of a mesh against a workload's port, whatever they ask for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from interlock.mesh.authorize import Decision, authorize
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
    names = _identities(mesh)
    # Identities that are refused alike share their reasons, so that these are put together once. What is told
    # apart by `id` is kept.
    reasons: dict[tuple[int, ...], tuple[Reason, ...]] = {}
    kept, found = [], []
    for principal in sorted(names):
        decisions = _decisions(mesh, workload, port, principal)
        kept.append(decisions)
        key = tuple(id(decision.reasons) for decision in decisions)
        if key not in reasons:
            reasons[key] = tuple(dict.fromkeys(reason for d in decisions for reason in d.reasons))
        found.append(Caller(principal, names[principal], _always(decisions), reasons[key]))
    members = _answer(_always(_decisions(mesh, workload, port, Identity.ANY)))
    return Callers(workload.ref, port, open_to_all(mesh, workload, port), members, tuple(found))


def open_to_all(mesh: Mesh, workload: Workload, port: int) -> Answer:
    """Whether everybody may send everything to a port, without an identity."""
    return _answer(_always(_decisions(mesh, workload, port, "")))


def _identities(mesh: Mesh) -> Mapping[str, tuple[str, ...]]:
    """Who has which identity; those without a sidecar have none."""
    known = mesh.memo["identities"]
    if not known:
        names: dict[str, list[str]] = {"": []}
        for workload in mesh.workloads:
            has_sidecar = injection(mesh, workload).sidecar is not Answer.NO and not workload.host_network
            principal = workload.principal(mesh.settings.trust_domain) if has_sidecar else ""
            names.setdefault(principal, []).append(workload.ref)
        known.update((principal, tuple(refs)) for principal, refs in names.items())
    return cast(Mapping[str, tuple[str, ...]], known)


def _decisions(mesh: Mesh, workload: Workload, port: int, principal: str | Identity) -> list[Decision]:
    """What becomes of an identity's requests, of which nothing else is known, and its connections."""
    protocol = port_verdict(mesh, workload, port).protocol
    kinds = (True, False) if protocol is Protocol.AUTO else (protocol is Protocol.HTTP,)
    return [
        authorize(mesh, workload, Request(port, principal=principal, http=http, headers=None, claims=None))
        for http in kinds
    ]


def _always(decisions: Sequence[Decision]) -> Outcome:
    """What becomes of all of them."""
    outcomes = {decision.outcome for decision in decisions}
    return outcomes.pop() if len(outcomes) == 1 else Outcome.INDETERMINATE


def _answer(outcome: Outcome) -> Answer:
    return {Outcome.ALLOW: Answer.YES, Outcome.DENY: Answer.NO}.get(outcome, Answer.INDETERMINATE)
