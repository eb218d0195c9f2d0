"""The mesh as the evaluator sees it, or would see it, and what it says of each item."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

from interlock.environment.check import Unseen
from interlock.manifest import Manifest
from interlock.mesh.authorization_policy import Action
from interlock.mesh.authorize import Decision, authorize, policies_for
from interlock.mesh.callers import callers, open_to_all
from interlock.mesh.inbound import PortVerdict
from interlock.mesh.inbound import ports as port_verdicts
from interlock.mesh.injection import injection
from interlock.mesh.label_selector import LabelSelector
from interlock.mesh.mesh import Mesh
from interlock.mesh.monitoring import monitoring
from interlock.mesh.outbound import outbound
from interlock.mesh.request import Request
from interlock.mesh.service import Protocol
from interlock.mesh.traffic import Requests
from interlock.mesh.verdict import Answer, Outcome, Reason
from interlock.mesh.workload import Workload
from interlock.onboarding.applying import applied
from interlock.onboarding.facts import Facts, MeshFacts
from interlock.onboarding.found import Absent, CannotSee


@dataclass(frozen=True, slots=True)
class Look:
    """What the evaluator says of one item."""

    answer: Answer
    said: str


@dataclass(frozen=True)
class World:
    """The mesh as it is, or as it would be once some manifests were applied.

    Attributes:
        facts: What was seen.
        mesh: The evaluator's view.
        runs: What runs the service: its pods, or without any its workload.
    """

    facts: Facts
    mesh: Mesh
    runs: tuple[Workload, ...]

    @classmethod
    def of(cls, facts: Facts, patches: Sequence[Manifest] = ()) -> World:
        """The world once the patches are applied; a changed workload's pods are made anew from its template.

        Raises:
            CannotSee: The mesh could not be looked at.
            Absent: Nothing runs the service.
        """
        seen, workload = mesh_facts(facts), facts.workload()
        objects = applied(seen.objects, patches, facts.at.isoformat())
        if any(patch.ref == workload.ref for patch in patches):
            objects = [one for one in objects if not (one.kind == "Pod" and _of(workload, one))]
        mesh = Mesh.of(objects, seen.settings)
        refs = {f"Pod {one.namespace}/{one.name}" for one in objects if _of(workload, one)}
        own = f"{workload.kind} {workload.namespace}/{workload.name}"
        pods = tuple(one for one in mesh.workloads if one.live and one.ref in refs)
        runs = pods or tuple(one for one in mesh.workloads if one.ref == own)
        if not runs:
            raise Absent(f"{own} is not among the mesh's workloads")
        return cls(facts, mesh, runs)

    @cached_property
    def ports(self) -> tuple[tuple[Workload, PortVerdict], ...]:
        """The verdict of each port of what runs the service."""
        return tuple((one, port) for one in self.runs for port in port_verdicts(self.mesh, one))

    @property
    def principals(self) -> dict[str, str]:
        """The identities that may call it, each with the name in the service's file."""
        found = {}
        for name in self.facts.file.callers:
            namespace, _, account = name.rpartition("/")
            where = namespace or self.facts.namespace
            found[f"{self.mesh.settings.trust_domain}/ns/{where}/sa/{account}"] = name
        return found


def injected(world: World) -> Look:
    """Whether each pod has a sidecar, or will have one."""
    for one in world.runs:
        state = injection(world.mesh, one)
        if state.sidecar is not Answer.YES:
            return Look(state.sidecar, _texts(state.reasons))
    return Look(Answer.YES, "each pod has a sidecar")


def strict(world: World) -> Look:
    """Whether no port takes plaintext, and each takes the mesh's mTLS."""
    unsure = None
    for one, port in world.ports:
        where = f"port {port.port} of {one.ref}"
        why = "; ".join(map(str, port.reasons[-2:]))
        if port.plaintext is Answer.YES:
            return Look(Answer.NO, f"{where} accepts plaintext: {why}")
        if port.mtls is Answer.NO:
            return Look(Answer.NO, f"{where} does not accept the mesh's mTLS: {why}")
        if Answer.INDETERMINATE in (port.plaintext, port.mtls):
            unsure = Look(Answer.INDETERMINATE, f"{where}: {why}")
    numbers = sorted({port.port for _, port in world.ports})
    said = f"ports {', '.join(map(str, numbers))} take mTLS alone" if numbers else "it has no ports"
    return unsure or Look(Answer.YES, said)


def authorized(world: World) -> Look:
    """Whether those whom the service's file names may call it, and nobody else."""
    mesh, wanted, unsure = world.mesh, world.principals, None
    for one, port in world.ports:
        if port.protocol is Protocol.UDP:
            continue
        where = f"port {port.port} of {one.ref}"
        if open_to_all(mesh, one, port.port) is Answer.YES:
            return Look(Answer.NO, f"everybody may call {where}")
        for principal, name in wanted.items():
            decision = _called(mesh, one, port, principal)
            if decision.outcome is Outcome.DENY:
                return Look(Answer.NO, f"{name}, which the service's file names, may not call {where}")
            # Allowed on some conditions is named all the same; an outside authorizer may deny all.
            outside = any(policy.action is Action.CUSTOM for policy in policies_for(mesh, one))
            if decision.outcome is Outcome.INDETERMINATE and outside:
                why = _texts(decision.reasons)
                unsure = Look(Answer.INDETERMINATE, f"whether {name} may call {where} can't be told: {why}")
        found = callers(mesh, one, port.port)
        if found.open_to_mesh is Answer.YES:
            return Look(Answer.NO, f"every identity of the mesh may call {where}")
        for caller in found.callers:
            if caller.principal in wanted or caller.outcome is Outcome.DENY:
                continue
            who = caller.principal or "who has no identity"
            if caller.outcome is Outcome.ALLOW:
                return Look(Answer.NO, f"{who} may call {where}, and the service's file doesn't name it")
            unsure = Look(Answer.INDETERMINATE, f"{who} may perhaps call {where}: {_texts(caller.reasons)}")
        if unsure is None and found.open_to_mesh is Answer.INDETERMINATE and not policies_for(mesh, one):
            unsure = Look(Answer.INDETERMINATE, f"who may call {where} can't be told")
    names = ", ".join(wanted.values())
    return unsure or Look(Answer.YES, f"{names} may call it, nobody else" if names else "nobody may call it")


def refused(world: World) -> list[str]:
    """Which of the identities that may call it by its file are refused at one of its ports."""
    ports = [(one, port) for one, port in world.ports if port.protocol is not Protocol.UDP]
    return [
        who
        for who in world.principals
        if any(_called(world.mesh, *at, who).outcome is Outcome.DENY for at in ports)
    ]


def ruled(world: World) -> Look:
    """Whether a DestinationRule is for its host, and its clients' calls are sent by mTLS and accepted."""
    mesh = world.mesh
    services = {service.host: service for one in world.runs for service in mesh.services_of(one)}
    if not services:
        return Look(Answer.NO, "no Service leads to it, so there is no host that a rule could be for")
    known = world.principals
    domain = mesh.settings.trust_domain
    clients = [one for one in mesh.workloads if one.principal(domain) in known] or list(world.runs[:1])
    for host, service in services.items():
        if not any(rule.host == host for rule in mesh.destination_rules):
            return Look(Answer.NO, f"no DestinationRule is for {host}")
        for client in clients:
            for port in service.ports:
                if port.protocol is Protocol.UDP:
                    continue
                for end in outbound(mesh, client, host, port.number).endpoints:
                    if end.sends == "mtls" and end.works is Answer.YES:
                        continue
                    said = f"{client.ref} sends {end.sends} to {host}:{port.number}"
                    accepted = "" if end.works is Answer.YES else f", accepted: {end.works}"
                    no = end.works is Answer.NO or end.sends in ("plaintext", "tls", "nothing")
                    answer = Answer.NO if no else Answer.INDETERMINATE
                    return Look(answer, f"{said}{accepted}; {_texts(end.reasons)}")
    return Look(Answer.YES, f"{', '.join(services)}: calls are sent by mTLS")


def scraped(world: World) -> Look:
    """Whether Prometheus is asked to scrape the sidecar's metrics of each pod."""
    for one in world.runs:
        state = monitoring(world.mesh, one)
        if state.scraped is not Answer.YES:
            return Look(state.scraped, f"{one.ref}: {state.reasons[-1].text}")
    return Look(Answer.YES, "the annotations of each pod point Prometheus at its sidecar")


def calling(world: World) -> tuple[Requests, ...]:
    """The requests that were let in lately, as far as they were seen."""
    if isinstance(world.facts.observed, Unseen):
        return ()
    names = {one.name for one in world.runs}
    found = world.facts.observed.requests
    return tuple(one for one in found if one.pod in names and one.count > 0 and one.code != 403)


def mesh_facts(facts: Facts) -> MeshFacts:
    """The mesh's objects.

    Raises:
        CannotSee: They could not be read.
    """
    if isinstance(facts.mesh, Unseen):
        raise CannotSee(facts.mesh.why)
    return facts.mesh


def _called(mesh: Mesh, one: Workload, port: PortVerdict, principal: str) -> Decision:
    return authorize(mesh, one, Request(port.port, principal=principal, headers=None, claims=None))


def _of(workload: Manifest, pod: Manifest) -> bool:
    chosen = LabelSelector.of(workload.spec.get("selector"))
    return (
        pod.kind == "Pod"
        and pod.namespace == workload.namespace
        and bool(chosen.requirements)
        and chosen.matches(pod.labels)
        and pod.status.get("phase") not in ("Succeeded", "Failed")
    )


def _texts(reasons: Iterable[Reason]) -> str:
    return "; ".join(str(reason) for reason in reasons)
