"""What a wait for a workload has to know."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from interlock.manifest import ObjectRef
from interlock.trains.kinds import WORKLOAD_API


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
    """

    kubernetes_conn_id: str
    namespace: str
    kind: str
    name: str
    journal: str | None = None
    journal_namespace: str | None = None

    @property
    def arguments(self) -> dict[str, Any]:
        """As keyword arguments."""
        return asdict(self)

    @property
    def ref(self) -> ObjectRef:
        """The workload."""
        return ObjectRef(WORKLOAD_API, self.kind, self.namespace, self.name)

    @property
    def title(self) -> str:
        """The workload as a person would name it."""
        return f"{self.kind} {self.namespace}/{self.name}"
