"""What a wait for a workload has to know."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from interlock.manifest import ObjectRef
from interlock.mesh.gate import Gate
from interlock.trains.kinds import WORKLOAD_API


@dataclass(frozen=True)
class Guarded:
    """What the mesh gate asks of the services on board, all through a wait.

    Attributes:
        gate: what is asked.
        services: the name of each service's workload.
    """

    gate: Gate
    services: Mapping[str, str]

    @classmethod
    def of_json(cls, found: Mapping[str, Any]) -> Guarded:
        """What `dataclasses.asdict` gave."""
        return cls(Gate(**found["gate"]), found["services"])


@dataclass(frozen=True)
class Wait:
    """What a wait for a workload watches; the arguments that triggers have in common.

    Attributes:
        kubernetes_conn_id: the connection.
        namespace: of the workload.
        kind: Deployment, StatefulSet or DaemonSet.
        name: of the workload.
        journal: name of the run's journal, whose stop flag ends the wait; None outside a train.
        journal_namespace: where that journal is.
        mesh: what the mesh gate asks meanwhile; None where it isn't asked. A mapping becomes one.
    """

    kubernetes_conn_id: str
    namespace: str
    kind: str
    name: str
    journal: str | None = None
    journal_namespace: str | None = None
    mesh: Guarded | None = None

    def __post_init__(self) -> None:
        """Take what was serialized."""
        if isinstance(self.mesh, Mapping):
            object.__setattr__(self, "mesh", Guarded.of_json(self.mesh))

    @property
    def arguments(self) -> dict[str, Any]:
        """As keyword arguments, in plain JSON."""
        found = asdict(self)
        if self.mesh is not None:
            found["mesh"]["gate"]["allow"] = list(self.mesh.gate.allow)
        return found

    @property
    def ref(self) -> ObjectRef:
        """The workload."""
        return ObjectRef(WORKLOAD_API, self.kind, self.namespace, self.name)

    @property
    def title(self) -> str:
        """The workload as a person would name it."""
        return f"{self.kind} {self.namespace}/{self.name}"
