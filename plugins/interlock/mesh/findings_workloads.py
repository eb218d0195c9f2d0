"""Findings about what workloads accept, and about their sidecars."""

from __future__ import annotations

from collections.abc import Iterator

from interlock.mesh.callers import open_to_all
from interlock.mesh.inbound import ports
from interlock.mesh.injection import injection
from interlock.mesh.mesh import Mesh
from interlock.mesh.messages import message
from interlock.mesh.monitoring import monitoring
from interlock.mesh.outbound import outbound
from interlock.mesh.proxy_version import skew
from interlock.mesh.verdict import Answer, Finding
from interlock.mesh.workload import Proxy, Workload


def workload_findings(mesh: Mesh, control_plane: str) -> Iterator[Finding]:
    """What is wrong with single workloads; a workload that can't be judged is named."""
    for workload in mesh.workloads:
        state = injection(mesh, workload)
        if state.sidecar is Answer.INDETERMINATE:
            yield message("ILM003", workload.ref, "; ".join(reason.text for reason in state.reasons))
            continue
        yield from _ports(mesh, workload)
        if workload.proxy is not Proxy.SIDECAR:
            continue
        if control_plane:
            found = skew(workload, control_plane)
            if found.supported is not Answer.YES:
                yield message("ILM010", workload.ref, found.reason.text)
        scraped = monitoring(mesh, workload)
        if scraped.scraped is not Answer.YES:
            yield message("ILM011", workload.ref, scraped.reasons[-1].text)


def _ports(mesh: Mesh, workload: Workload) -> Iterator[Finding]:
    in_mesh = injection(mesh, workload).sidecar is Answer.YES
    for verdict in ports(mesh, workload):
        why = "; ".join(map(str, verdict.reasons[-2:]))
        if verdict.bypassed and in_mesh:
            yield message("ILM002", workload.ref, verdict.port, why)
        elif verdict.plaintext is Answer.YES:
            yield message("ILM001", workload.ref, verdict.port, why)
        elif verdict.plaintext is Answer.INDETERMINATE:
            yield message("ILM003", workload.ref, f"port {verdict.port}: {why}")
        if in_mesh and open_to_all(mesh, workload, verdict.port) is Answer.YES:
            yield message("ILM009", workload.ref, verdict.port)


def calls(mesh: Mesh, client: Workload, host: str, port: int, subset: str = "") -> Iterator[Finding]:
    """What is wrong with the calls of a client to a port of a service.

    Which workload calls which service no object says; whoever knows it asks here.
    """
    for endpoint in outbound(mesh, client, host, port, subset).endpoints:
        where, why = f"{host}:{port} ({endpoint.workload})", "; ".join(map(str, endpoint.reasons))
        if endpoint.works is Answer.NO:
            yield message("ILM006", client.ref, where, why)
        elif endpoint.silently_plaintext:
            yield message("ILM005", client.ref, where, why)
