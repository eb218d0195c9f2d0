"""Which ports the mesh probe tries: those that the pods' containers and Services declare, a stated number.

A sidecar is not asked about ports that nobody declares: to scan for them is an attack, not a check.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from interlock.manifest import Manifest
from interlock.mesh.inbound import PortVerdict, ports
from interlock.mesh.mesh import Mesh
from interlock.mesh.service import Protocol, target_number
from interlock.mesh.workload import Workload

_OF_ONE_POD = frozenset({"statefulset.kubernetes.io/pod-name", "apps.kubernetes.io/pod-index"})


@dataclass(frozen=True, slots=True)
class Target:
    """One port of a pod that is to be tried.

    Attributes:
        workload: The pod.
        declared: What the mesh's objects say of the port.
        host: The name that a client would call it by; the pod's address where no Service has the port.
    """

    workload: Workload
    declared: PortVerdict
    host: str

    @property
    def where(self) -> tuple[str, int]:
        """Address and port."""
        return self.workload.pod_ip, self.declared.port

    def to_json(self) -> dict[str, str | int]:
        """The target as the probe reads it."""
        address, port = self.where
        return {"address": address, "port": port, "host": self.host, "protocol": str(self.declared.protocol)}


@dataclass(frozen=True, slots=True)
class ProbePlan:
    """What a probe tries.

    Attributes:
        targets: The ports, of different workloads first.
        left_out: Ports that are declared too, but are more than may be tried.
        waiting: Ports of pods that don't run yet, where none that is like them does.
    """

    targets: tuple[Target, ...]
    left_out: tuple[Target, ...] = ()
    waiting: tuple[Target, ...] = ()


def running(pods: Iterable[Manifest]) -> frozenset[str]:
    """The pods that run and are not being deleted, as `Workload.ref` names them."""
    return frozenset(
        f"Pod {pod.namespace}/{pod.name}"
        for pod in pods
        if pod.kind == "Pod"
        and pod.status.get("phase") == "Running"
        and not pod.metadata.get("deletionTimestamp")
    )


def waiting(pods: Iterable[Manifest]) -> frozenset[str]:
    """The pods that neither run nor have ended nor are being deleted, as `Workload.ref` names them."""
    return frozenset(
        f"Pod {pod.namespace}/{pod.name}"
        for pod in pods
        if pod.kind == "Pod"
        and pod.status.get("phase") not in ("Running", "Succeeded", "Failed")
        and not pod.metadata.get("deletionTimestamp")
    )


def plan(
    mesh: Mesh, namespace: str, pods: frozenset[str], limit: int, *, late: frozenset[str] = frozenset()
) -> ProbePlan:
    """The declared ports of a namespace's pods; one pod of each workload comes before its replicas.

    Args:
        mesh: The objects of the namespace and of the root namespace.
        namespace: Whose pods are tried.
        pods: Those that run, from `running`.
        limit: How many ports at most.
        late: Those that are to run, from `waiting`.
    """
    alike: dict[object, int] = defaultdict(int)
    found: list[tuple[int, str, Target]] = []
    unready: dict[object, tuple[Target, ...]] = {}
    for workload in sorted(mesh.workloads_of_namespace.get(namespace, ()), key=lambda one: one.name):
        labels = frozenset(item for item in workload.labels.items() if item[0] not in _OF_ONE_POD)
        key = (workload.service_account, labels)
        if workload.ref not in pods or not workload.pod_ip:
            if workload.ref in pods | late:
                unready.setdefault(key, tuple(_targets(mesh, workload)))
            continue
        found += [(alike[key], workload.name, target) for target in _targets(mesh, workload)]
        alike[key] += 1
    found.sort(key=lambda one: (one[0], one[1], one[2].declared.port))
    targets = tuple(target for _, _, target in found)
    nobody = tuple(target for key, of in unready.items() if key not in alike for target in of)
    return ProbePlan(targets[:limit], targets[limit:], nobody)


def _targets(mesh: Mesh, workload: Workload) -> Iterator[Target]:
    hosts: dict[int, str] = {}
    for service in mesh.services_of(workload):
        for port in service.ports:
            number = target_number(port, workload)
            if number is not None and port.protocol is not Protocol.UDP:
                hosts.setdefault(number, service.host)
    for verdict in ports(mesh, workload):
        # A Sidecar or a policy that names a port does not say that there is one.
        declared = any(by.startswith(("container ", "Service ")) for by in verdict.declared_by)
        if declared and 0 < verdict.port < 65536:
            yield Target(workload, verdict, hosts.get(verdict.port, workload.pod_ip))
