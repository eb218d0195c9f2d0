"""The wait for a workload to be secured by its mesh: it watches, and ends the task in the triggerer."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger, TaskFailedEvent, TaskSuccessEvent, TriggerEvent

if TYPE_CHECKING:
    from interlock.clients.mesh_watch import MeshSeen

AGAIN_SECONDS = 1.0
"""Between two direct looks, while the API server is away."""


class MeshSecuredTrigger(BaseTrigger):
    """Waits until a workload is secured; ends the task.

    It says so only by what it has read directly, never by the watch alone.

    :param kubernetes_conn_id: the connection.
    :param namespace: of the workload.
    :param name: of the workload.
    :param client: name of a workload of the namespace that has to reach it; None for none.
    :param root_namespace: the mesh's root namespace.
    :param deadline: when to give up, as RFC 3339.
    """

    def __init__(
        self,
        *,
        kubernetes_conn_id: str,
        namespace: str,
        name: str,
        client: str | None,
        root_namespace: str,
        deadline: str,
    ) -> None:
        super().__init__()
        self.kubernetes_conn_id = kubernetes_conn_id
        self.namespace = namespace
        self.name = name
        self.client = client
        self.root_namespace = root_namespace
        self.deadline = deadline
        self._missing: tuple[str, ...] | None = None
        self._unseen: tuple[str, ...] = ()

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """The class and exactly the constructor's arguments."""
        names = ("kubernetes_conn_id", "namespace", "name", "client", "root_namespace", "deadline")
        arguments = {name: getattr(self, name) for name in names}
        return f"{type(self).__module__}.{type(self).__qualname__}", arguments

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look at each change until nothing is missing or the deadline has passed."""
        from interlock.clients.kubernetes import KubernetesError
        from interlock.clients.scope import ViewEnded

        where = f"{self.name} of namespace {self.namespace}"
        give_up = datetime.fromisoformat(self.deadline)
        try:
            async with asyncio.timeout(max(0.0, (give_up - datetime.now(UTC)).total_seconds())):
                await self._secured()
        except TimeoutError:
            missing = "; ".join(self._missing or ()) or "the API server did not answer"
            self.log.error("%s is not secured at its deadline: %s", where, missing)
            yield TaskFailedEvent()
        except (ViewEnded, KubernetesError) as error:
            self.log.error("%s: the mesh could not be looked at: %s", where, error)
            yield TaskFailedEvent()
        else:
            self.log.info("%s is injected, STRICT and reachable over mTLS", where)
            yield TaskSuccessEvent()

    def _look(self, seen: MeshSeen) -> None:
        from interlock.clients.istio import unsecured

        self._unseen = seen.unseen
        self._missing = unsecured(seen.mesh, seen.pods, self.name, self.client)

    async def _secured(self) -> None:
        from interlock.clients.kubernetes import Forbidden
        from interlock.clients.mesh_watch import MeshScope, watched_mesh
        from interlock.hooks.istio import IstioHook

        connect = IstioHook(self.kubernetes_conn_id).get_conn_async
        scope = MeshScope(self.kubernetes_conn_id, (self.namespace,), self.root_namespace)
        told, said = asyncio.Event(), tuple[str, ...]()
        async with watched_mesh(scope, connect) as watch:
            with watch.showing(self._look, told):
                while True:
                    told.clear()
                    watch.check()
                    if self._unseen:
                        raise Forbidden("; ".join(self._unseen))
                    seconds = None
                    if self._missing == ():
                        if await self._confirmed():
                            return
                        seconds = AGAIN_SECONDS
                    elif self._missing is not None and self._missing != said:
                        said = self._missing
                        for line in said:
                            self.log.info("waiting: %s", line)
                    with suppress(TimeoutError):
                        async with asyncio.timeout(seconds):
                            await told.wait()

    async def _confirmed(self) -> bool:
        """Whether a direct look finds it secured too.

        Raises:
            KubernetesError: something can't be seen.
        """
        from interlock.clients.istio import read_mesh, unsecured
        from interlock.clients.kubernetes import KubernetesError
        from interlock.hooks.istio import IstioHook

        try:
            async with await IstioHook(self.kubernetes_conn_id).get_conn_async() as client:
                mesh, running = await read_mesh(client, self.namespace, self.root_namespace)
        except KubernetesError as error:
            if not error.passing:
                raise
            self.log.info("%s; looking again", error)
            return False
        found = await asyncio.to_thread(unsecured, mesh, running, self.name, self.client)
        for line in found:
            self.log.info("waiting: %s", line)
        return not found
