"""The mesh gate all through a wait of a train: it is asked again whenever the mesh's objects change.

What was lost stays lost for the wait, also if it came back a moment later. A service without any pod at one
moment is passed over then: the gate asks about it at the end of the soak.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from interlock.runs.wait import Guarded, Wait

if TYPE_CHECKING:
    from interlock.clients.mesh_watch import MeshSeen, MeshWatch


class Guard:
    """What a wait knows of the mesh of the services on board."""

    def __init__(self, asked: Guarded | None = None, watch: MeshWatch | None = None) -> None:
        self._asked = asked
        self._watch = watch
        self._lost = ""

    @property
    def lost(self) -> str:
        """What the gate has found against a service since the wait began; empty if nothing.

        Raises:
            ViewEnded: the mesh is no longer watched.
        """
        if self._lost:
            return self._lost
        if self._watch is not None:
            self._watch.check()
        return ""

    def look(self, seen: MeshSeen) -> None:
        """Ask the gate about the pods of all services."""
        from interlock.clients.kubernetes_api import workload_of

        if self._asked is None or self._lost:
            return
        if seen.unseen:
            self._lost = f"the mesh could not be looked at: {'; '.join(seen.unseen)}"
            return
        pods: dict[str, list[str]] = {}
        for pod in seen.pods:
            pods.setdefault(workload_of(pod), []).append(f"Pod {pod.namespace}/{pod.name}")
        running = {name: pods.get(workload, []) for name, workload in self._asked.services.items()}
        self._lost = "; ".join(self._asked.gate.refused(seen.findings, running))


@asynccontextmanager
async def guarded(about: Wait, changed: asyncio.Event) -> AsyncIterator[Guard]:
    """The guard of a wait, which sets `changed` when it has looked; one that finds nothing without a mesh.

    Args:
        about: what the wait watches.
        changed: of the wait.
    """
    if about.mesh is None:
        yield Guard()
        return
    from interlock.clients.mesh_watch import MeshScope, watched_mesh
    from interlock.hooks.kubernetes import InterlockKubernetesHook

    connect = InterlockKubernetesHook(about.kubernetes_conn_id).get_conn_async
    scope = MeshScope(about.kubernetes_conn_id, (about.namespace,), about.mesh.gate.root_namespace)
    async with watched_mesh(scope, connect) as watch:
        guard = Guard(about.mesh, watch)
        with watch.showing(guard.look, changed):
            yield guard
