"""Is a workload secured: injected, STRICT on each port, and reachable over mTLS."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from interlock.mesh.callers import callers
from interlock.mesh.client_plan import Sends
from interlock.mesh.inbound import PortVerdict, ports
from interlock.mesh.injection import injection
from interlock.mesh.mesh import Mesh
from interlock.mesh.outbound import outbound
from interlock.mesh.service import Protocol
from interlock.mesh.verdict import Answer, Outcome, Reason
from interlock.mesh.workload import Workload


def missing(mesh: Mesh, pods: Collection[str], clients: Collection[str] | None = None) -> tuple[str, ...]:
    """What keeps a workload from being secured, a line each; empty if it is.

    What can't be told is missing too.

    Args:
        mesh: The objects of its namespace and of the root namespace.
        pods: The workload's pods, as `Workload.ref` says it: `Pod payments/api-0`.
        clients: The pods of one that has to reach it, through its Services; None: it is enough that each
            port accepts mTLS.
    """
    if not pods:
        return ("it has no pods",)
    servers = [workload for workload in mesh.workloads if workload.ref in pods]
    lines = [line for server in servers for line in _server(mesh, server)]
    if clients is not None:
        callers_of = [workload for workload in mesh.workloads if workload.ref in clients]
        if not callers_of:
            lines.append("its client has no pods")
        for client in callers_of:
            for server in servers:
                lines += _reached(mesh, client, server)
    return tuple(dict.fromkeys(lines))


def _server(mesh: Mesh, server: Workload) -> Iterator[str]:
    found = injection(mesh, server)
    if found.sidecar is not Answer.YES:
        yield f"{server.ref}: has a sidecar: {found.sidecar}{_why(found.reasons)}"
    verdicts = ports(mesh, server)
    if not verdicts:
        yield f"{server.ref}: declares no port, so none can be judged"
    for verdict in verdicts:
        yield from _port(server, verdict)


def _port(server: Workload, verdict: PortVerdict) -> Iterator[str]:
    if verdict.plaintext is not Answer.NO:
        yield (
            f"{server.ref}: port {verdict.port} accepts plaintext: {verdict.plaintext}{_why(verdict.reasons)}"
        )
    if verdict.mtls is not Answer.YES:
        yield f"{server.ref}: port {verdict.port} accepts mTLS: {verdict.mtls}{_why(verdict.reasons)}"


def _reached(mesh: Mesh, client: Workload, server: Workload) -> Iterator[str]:
    leading = [
        (service, port)
        for service in mesh.services_of(server)
        for port in service.ports
        if port.protocol is not Protocol.UDP
    ]
    if not leading:
        yield f"{server.ref}: no port of a Service leads to it"
    for service, port in leading:
        call = outbound(mesh, client, service.host, port.number)
        ends = [end for end in call.endpoints if end.workload == server.ref]
        if not ends:
            yield f"{server.ref}: {service.ref}, port {port.number} does not lead to it{_why(call.reasons)}"
        for end in ends:
            way = f"{client.ref} to {service.ref}, port {port.number}"
            if end.sends is not Sends.MTLS or end.works is not Answer.YES:
                yield f"{way}: sends {end.sends}, works: {end.works}{_why(end.reasons)}"
            for caller in callers(mesh, server, end.port).callers:
                if client.ref in caller.workloads and caller.outcome is Outcome.DENY:
                    yield f"{way}: is not allowed{_why(caller.reasons)}"


def _why(reasons: tuple[Reason, ...]) -> str:
    return f" ({'; '.join(map(str, reasons))})" if reasons else ""
