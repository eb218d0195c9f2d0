"""The parts of the sandbox, in the order in which they start; a file each.

A part is added here. What belongs to a pod, such as an Envoy sidecar, belongs to the node agent
(`sandbox/node/`), which starts a pod's processes.
"""

from __future__ import annotations

from sandbox.parts.airflow import Airflow
from sandbox.parts.etcd import Etcd
from sandbox.parts.kubernetes import Kubernetes
from sandbox.parts.mesh import Mesh
from sandbox.parts.node import Node
from sandbox.parts.openbao import OpenBao
from sandbox.parts.part import Part
from sandbox.parts.postgres import Postgres
from sandbox.parts.prometheus import Prometheus
from sandbox.parts.seaweedfs import SeaweedFS


def all_parts() -> tuple[Part, ...]:
    """Every part, each after those that it needs."""
    return (
        Postgres(),
        OpenBao(),
        SeaweedFS(),
        Etcd(),
        Kubernetes(),
        Mesh(),
        Node(),
        Prometheus(),
        Airflow(),
    )
