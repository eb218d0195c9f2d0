"""What each port of a workload accepts: the mode of its policies, and whether plaintext gets through."""

from __future__ import annotations

from dataclasses import dataclass, field

from interlock.mesh.capture import Capture
from interlock.mesh.injection import Injection, injection
from interlock.mesh.mesh import Mesh
from interlock.mesh.peer_authentication import EffectiveMtls, compose
from interlock.mesh.service import Protocol, target_number
from interlock.mesh.sidecar import Sidecar
from interlock.mesh.verdict import Answer, Mode, Reason
from interlock.mesh.workload import Proxy, Workload

_INBOUND_LISTENER = 15006


@dataclass(frozen=True, slots=True)
class PortVerdict:
    """One port of a workload.

    Attributes:
        port: The container's port.
        protocol: What Istio takes it for; AUTO for a port that no Service declares.
        mode: What the policies ask for; None if it can't be told, or no policy counts here.
        plaintext: Whether plaintext is accepted.
        mtls: Whether the mesh's mTLS is accepted.
        bypassed: Whether connections don't pass a sidecar, whatever the policies say.
        reasons: The chain that led there, naming the objects.
        declared_by: What makes it a port of the workload: containers, Services, Sidecars, policies.
    """

    port: int
    protocol: Protocol
    mode: Mode | None
    plaintext: Answer
    mtls: Answer
    bypassed: bool
    reasons: tuple[Reason, ...]
    declared_by: tuple[str, ...] = ()

    @property
    def undecided(self) -> bool:
        """Whether not even the kind of proxy in front of it can be told."""
        return (
            self.plaintext is Answer.INDETERMINATE and self.mtls is Answer.INDETERMINATE and self.mode is None
        )


@dataclass(frozen=True, slots=True)
class _Inbound:
    """What is the same for all ports of a workload."""

    workload: Workload
    injection: Injection
    effective: EffectiveMtls
    capture: Capture
    sidecar: Sidecar | None
    protocols: dict[int, Protocol]
    declared: dict[int, list[str]]
    judged: dict[int, PortVerdict] = field(default_factory=dict)


def ports(mesh: Mesh, workload: Workload) -> tuple[PortVerdict, ...]:
    """The verdicts of all ports that containers, Services, Sidecars and policies declare, by number."""
    inbound = _inbound(mesh, workload)
    return tuple(_verdict(inbound, port) for port in sorted(inbound.declared))


def port_verdict(mesh: Mesh, workload: Workload, port: int) -> PortVerdict:
    """The verdict of one port, declared or not."""
    return _verdict(_inbound(mesh, workload), port)


def effective_mtls(mesh: Mesh, workload: Workload) -> EffectiveMtls:
    """What the PeerAuthentications of a workload's namespace and of the root namespace ask for."""
    root = mesh.settings.root_namespace
    local = mesh.peer_authentications.get(workload.namespace, ())
    wide = mesh.peer_authentications.get(root, ()) if workload.namespace != root else ()
    return compose((*local, *wide), root, workload.labels)


def _inbound(mesh: Mesh, workload: Workload) -> _Inbound:
    known = mesh.memo["inbound"].get(id(workload))
    if isinstance(known, _Inbound) and known.workload is workload:
        return known
    effective, sidecar = effective_mtls(mesh, workload), mesh.sidecar_object(workload)
    declared: dict[int, list[str]] = {}
    protocols: dict[int, Protocol] = {}
    for container in workload.application_containers:
        for declared_port in container.ports:
            if declared_port.protocol == "TCP":
                declared.setdefault(declared_port.number, []).append(f"container {container.name}")
    for service in mesh.services_of(workload):
        for service_port in service.ports:
            target = target_number(service_port, workload)
            if target is not None and service_port.protocol is Protocol.UDP:
                # Istio builds the chain of a UDP port too, and takes what TCP comes there as opaque.
                protocols.setdefault(target, Protocol.TCP)
            elif target is not None:
                declared.setdefault(target, []).append(service.ref)
                protocols.setdefault(target, service_port.protocol)
    if sidecar is not None and sidecar.ingress:
        # With ingress listeners Services' ports don't count; what isn't listed passes through undeclared.
        protocols = {}
        for ingress in sidecar.ingress:
            declared.setdefault(ingress.port, []).append(sidecar.ref)
            protocols.setdefault(ingress.port, ingress.protocol)
    for port in effective.ports:
        if port:
            declared.setdefault(port, []).append(effective.port_reasons[port].ref)
    found = _Inbound(
        workload=workload,
        injection=injection(mesh, workload),
        effective=effective,
        capture=Capture.of(workload, mesh.settings),
        sidecar=sidecar,
        protocols=protocols,
        declared=declared,
    )
    mesh.memo["inbound"][id(workload)] = found
    return found


def _verdict(inbound: _Inbound, port: int) -> PortVerdict:
    if port not in inbound.judged:
        inbound.judged[port] = _judged(inbound, port)
    return inbound.judged[port]


def _judged(inbound: _Inbound, port: int) -> PortVerdict:
    protocol = inbound.protocols.get(port, Protocol.AUTO)
    declared = tuple(dict.fromkeys(inbound.declared.get(port, ())))
    mode, why = inbound.effective.of_port(port), inbound.effective.why(port)
    if port not in inbound.protocols and 0 in inbound.effective.ports and port not in inbound.effective.ports:
        # Istio builds the chain of undeclared ports for port 0, so an entry for port 0 is theirs.
        mode, why = inbound.effective.ports[0], inbound.effective.why(0)

    def verdict(
        mode: Mode | None,
        plaintext: Answer,
        mtls: Answer,
        reasons: tuple[Reason, ...],
        bypassed: bool = False,
    ) -> PortVerdict:
        return PortVerdict(port, protocol, mode, plaintext, mtls, bypassed, reasons, declared)

    open_ = Answer.INDETERMINATE
    state = inbound.injection
    if state.proxy in (Proxy.GATEWAY, Proxy.WAYPOINT) or state.sidecar is Answer.INDETERMINATE:
        return verdict(None, open_, open_, state.reasons)
    if state.sidecar is Answer.NO:
        said = Reason(
            "there is no sidecar, so plaintext is accepted whatever the policies say", inbound.workload.ref
        )
        return verdict(mode, Answer.YES, Answer.NO, (*why, *state.reasons, said), bypassed=True)
    if inbound.workload.host_network:
        said = Reason("hostNetwork: connections are not redirected to the sidecar", inbound.workload.ref)
        return verdict(mode, Answer.YES, Answer.NO, (*why, said), bypassed=True)
    bound = _bound(inbound.sidecar, port, inbound.capture.mode == "NONE")
    reason = None if bound else inbound.capture.bypass(port)
    if inbound.capture.problems:
        wrong = tuple(Reason(str(problem), inbound.workload.ref) for problem in inbound.capture.problems)
        return verdict(mode, open_, open_, (*why, *wrong))
    if reason is not None:
        said = Reason(f"{reason.text}; plaintext is accepted whatever the policies say", inbound.workload.ref)
        return verdict(mode, Answer.YES, Answer.NO, (*why, said), bypassed=True)
    if port == _INBOUND_LISTENER:
        said = Reason("this is where the sidecar listens itself; it forwards nothing that is sent here")
        return verdict(mode, Answer.NO, Answer.NO, (said,))
    if mode is None:
        return verdict(None, open_, open_, why)
    return verdict(mode, Answer.of(mode is not Mode.STRICT), Answer.of(mode is not Mode.DISABLE), why)


def _bound(sidecar: Sidecar | None, port: int, uncaptured: bool) -> bool:
    """Whether a Sidecar makes the proxy bind to the port itself, which needs no redirection."""
    ingress = sidecar.ingress if sidecar else ()
    return any(entry.port == port and (entry.binds or uncaptured) for entry in ingress)
