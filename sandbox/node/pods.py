"""One pod with processes: its containers run side by side, its status is reported as it changes."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Mapping, Sequence
from typing import Any

import httpx

from sandbox.mesh.proxy_config import ProxyConfig

from . import programs
from .api import ApiError, pod_path
from .containers import ContainerRunner
from .context import Context, now
from .status import parse_stamp, pod_status

_RETRY = 1.0
_SIDECAR_GRACE = 2.0


class PodRunner:
    """Runs a pod from the time it is bound to the node until it is removed from the API."""

    def __init__(self, context: Context, pod: Mapping[str, Any]) -> None:
        self._context, self._pod = context, pod
        metadata, known = pod["metadata"], pod.get("status") or {}
        self.uid = str(metadata["uid"])
        self._ip = context.addresses.of(self.uid, known.get("podIP", ""))
        self._started = parse_stamp(known["startTime"]) if known.get("startTime") else now()
        self._reported: dict[str, Any] = dict(known)
        self._dirty = asyncio.Event()
        self._dirty.set()
        self._containers = [
            ContainerRunner(context, pod, spec, self._ip, self._changed) for spec in pod["spec"]["containers"]
        ]
        self._sidecar = next((c for c in self._containers if c.is_sidecar), None)
        self._sidecar_ready = asyncio.Event()
        own = [spec for spec in pod["spec"]["containers"] if not programs.is_sidecar(spec)]
        self._port = programs.port(own[0]) if own else 0
        app = (metadata.get("labels") or {}).get("app")
        self._service = f"{metadata['namespace']}/{app}" if app else ""
        self._tasks: list[asyncio.Task[None]] = []
        self._ending: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin: containers and reports."""
        if self._pod["metadata"].get("deletionTimestamp"):
            self.update(self._pod)
            return
        runs = {c: asyncio.create_task(self._run(c)) for c in self._containers}
        self._tasks = [*runs.values()]
        if self._sidecar is not None and len(runs) > 1:
            others = [run for container, run in runs.items() if container is not self._sidecar]
            self._tasks.append(asyncio.create_task(self._retire(self._sidecar, runs[self._sidecar], others)))
        self._tasks.append(asyncio.create_task(self._report_changes()))

    async def _run(self, container: ContainerRunner) -> None:
        waits = self._sidecar is not None and ProxyConfig.of(self._pod).hold_application
        if waits and not container.is_sidecar:
            await self._sidecar_ready.wait()
        await container.run()

    async def _retire(
        self, sidecar: ContainerRunner, running: asyncio.Task[None], others: Sequence[asyncio.Task[None]]
    ) -> None:
        """End the sidecar once all other containers have ended for good, as Kubernetes' own sidecars do."""
        await asyncio.gather(*others)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await sidecar.retire(_SIDECAR_GRACE)

    def _changed(self) -> None:
        self._dirty.set()
        if self._sidecar is not None and self._sidecar.view.ready:
            self._sidecar_ready.set()

    def update(self, pod: Mapping[str, Any]) -> None:
        """Take note of a newer state of the pod in the API; a deletion ends it gracefully."""
        self._pod = pod
        if pod["metadata"].get("deletionTimestamp") and self._ending is None:
            grace = float(pod["metadata"].get("deletionGracePeriodSeconds") or 0)
            self._ending = asyncio.create_task(self._end(grace, remove=True))

    async def gone(self) -> None:
        """The pod isn't in the API any more: end what is left of it."""
        if self._ending is None:
            self._ending = asyncio.create_task(self._end(2.0, remove=False))
        await self._ending

    async def _report_changes(self) -> None:
        while True:
            await self._dirty.wait()
            self._dirty.clear()
            if not await self._report():
                return

    async def _report(self) -> bool:
        """Send the status if it changed; False if the pod isn't there any more."""
        views = [c.view for c in self._containers]
        status = pod_status(
            self._pod, views, pod_ip=self._ip, started=self._started, previous=self._reported, now=now()
        )
        ready = all(v.ready for v in views)
        if self._service and (ready or self._ending):
            self._announce(ready and self._ending is None)
        if all(self._reported.get(key) == value for key, value in status.items()):
            return True
        try:
            await self._context.api.patch_status(pod_path(self._pod), self.uid, status)
            self._reported = status
        except ApiError as error:
            if error.code in (404, 409):
                return False
            print(f"{pod_path(self._pod)}: status: {error}", flush=True)
            await self._again()
        except httpx.HTTPError:
            await self._again()
        if self._service:
            self._announce(ready and self._ending is None)
        return True

    async def _again(self) -> None:
        await asyncio.sleep(_RETRY)
        self._dirty.set()

    def _announce(self, ready: bool) -> None:
        endpoint = f"{self._ip}:{self._port}" if ready else None
        self._context.endpoints.set(self._service, self.uid, endpoint)

    async def _end(self, grace: float, *, remove: bool) -> None:
        if self._service:
            self._announce(False)
        running, reporting = self._tasks[:-1], self._tasks[-1:]
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await asyncio.gather(*(c.stop(grace) for c in self._containers))
        for task in reporting:
            task.cancel()
        await asyncio.gather(*reporting, return_exceptions=True)
        if remove and self._tasks:
            await self._report()
        if remove:
            await remove_pod(self._context, self._pod)
        self._context.addresses.free(self.uid)
        metadata = self._pod["metadata"]
        directory = self._context.logs(metadata["namespace"], metadata["name"], self.uid)
        for folder in (directory, self._context.volumes(self.uid), self._context.envoy(self.uid)):
            shutil.rmtree(folder, ignore_errors=True)
        self._context.admin_socket(self.uid).unlink(missing_ok=True)

    def kill(self) -> None:
        """End the processes at once, for the end of the agent."""
        for task in self._tasks:
            task.cancel()
        for container in self._containers:
            container.kill()


async def remove_pod(context: Context, pod: Mapping[str, Any]) -> None:
    """Tell the API that the pod's containers have ended, so that it forgets the pod; try until it hears."""
    while True:
        try:
            await context.api.delete_now(pod_path(pod), pod["metadata"]["uid"])
            return
        except (ApiError, httpx.HTTPError) as error:
            print(f"{pod_path(pod)}: removal: {error!r}", flush=True)
            await asyncio.sleep(_RETRY)
