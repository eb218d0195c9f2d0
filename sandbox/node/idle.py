"""A pod without processes: reported as if its containers ran, so that hundreds cost next to nothing.

Its image needn't be in the releases file. If it is, the release's behaviour shows all the same: one that
never gets ready doesn't, one that crashes is reported in a crash loop.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import httpx

from . import backoff
from .api import ApiError, pod_path
from .context import ANNOTATION_READY_AFTER, Context, now
from .pods import remove_pod
from .releases import Behaviour, Image, ReleasesFileError, seconds
from .status import ContainerView, Running, Terminated, Waiting, parse_stamp, pod_status


class IdlePod:
    """Reports a pod that has no processes; the same interface as `PodRunner`."""

    def __init__(self, context: Context, pod: Mapping[str, Any]) -> None:
        self._context, self._pod = context, pod
        known = pod.get("status") or {}
        self.uid = str(pod["metadata"]["uid"])
        self._ip = context.addresses.of(self.uid, known.get("podIP", ""))
        self._started = parse_stamp(known["startTime"]) if known.get("startTime") else now()
        self._reported: dict[str, Any] = dict(known)
        self._task: asyncio.Task[None] | None = None
        self._ending = False

    def start(self) -> None:
        """Begin to report."""
        if self._pod["metadata"].get("deletionTimestamp"):
            self.update(self._pod)
            return
        ready = any(
            c["type"] == "Ready" and c["status"] == "True" for c in self._reported.get("conditions") or []
        )
        if not ready:
            self._task = asyncio.create_task(self._run())

    def update(self, pod: Mapping[str, Any]) -> None:
        """Take note of a newer state of the pod in the API; a deletion ends it at once."""
        self._pod = pod
        if pod["metadata"].get("deletionTimestamp") and not self._ending:
            self._ending = True
            self.kill()
            self._task = asyncio.create_task(self._end())

    async def _end(self) -> None:
        await remove_pod(self._context, self._pod)
        self._context.addresses.free(self.uid)

    async def gone(self) -> None:
        """The pod isn't in the API any more."""
        if not self._ending:
            self.kill()
        self._context.addresses.free(self.uid)

    def kill(self) -> None:
        """Stop reporting."""
        if self._task is not None:
            self._task.cancel()

    async def _run(self) -> None:
        behaviour = self._behaviour()
        views = [self._view(c) for c in self._pod["spec"]["containers"]]
        if behaviour.crash is not None:
            await self._crash_loop(views, behaviour.crash.exit_code)
            return
        wait = None
        if behaviour.ready_after is not None:
            wait = behaviour.ready_after - (now() - self._started).total_seconds()
        if wait is None or (wait > 0 and behaviour.ready_after):
            await self._report([replace(v, ready=False) for v in views])
            if wait is None:
                return
            await asyncio.sleep(wait)
        await self._report(views)

    def _behaviour(self) -> Behaviour:
        """Return how the pod behaves: by its annotation, and by its image's release if there is one."""
        text = (self._pod["metadata"].get("annotations") or {}).get(ANNOTATION_READY_AFTER, "0s")
        try:
            asked = seconds(text)
        except ReleasesFileError as error:
            container = self._pod["spec"]["containers"][0]["name"]
            self._context.events.warning(self._pod, container, "Failed", f"{ANNOTATION_READY_AFTER}: {error}")
            asked = 0.0
        crash, ready_after = None, asked
        for container in self._pod["spec"]["containers"]:
            release = self._context.registry.find(container["image"])
            if release is not None:
                crash = crash or release.behaviour.crash
                if release.behaviour.ready_after is None:
                    return Behaviour(None, crash)
                ready_after = max(ready_after, release.behaviour.ready_after)
        return Behaviour(ready_after, crash)

    def _view(self, container: Mapping[str, Any]) -> ContainerView:
        image = str(container["image"])
        release = self._context.registry.find(image)
        parsed = Image.parse(image)
        return ContainerView(
            str(container["name"]),
            image,
            Running(now()),
            image_id=release.image_id if release else f"{parsed.repository if parsed else image}@unlisted",
            container_id=f"sandbox://{secrets.token_hex(32)}",
            started=True,
            ready=True,
        )

    async def _crash_loop(self, views: list[ContainerView], code: int) -> None:
        loop, restarts = backoff.CrashBackoff(), 0
        while True:
            ended = Terminated(code, now(), now(), views[0].container_id)
            loop = loop.after(0.0)
            message = f"back-off {backoff.text(loop.delay)} restarting failed container"
            state = Waiting("CrashLoopBackOff", message) if loop.delay else ended
            down = replace(views[0], state=state, last_state=ended, restarts=restarts)
            down = replace(down, ready=False, started=False)
            await self._report([down, *views[1:]])
            await asyncio.sleep(max(loop.delay, 0.5))
            restarts += 1

    async def _report(self, views: list[ContainerView]) -> None:
        status = pod_status(
            self._pod, views, pod_ip=self._ip, started=self._started, previous=self._reported, now=now()
        )
        while True:
            try:
                await self._context.api.patch_status(pod_path(self._pod), self.uid, status)
                self._reported = status
                return
            except ApiError as error:
                if error.code in (404, 409):
                    return
                print(f"{pod_path(self._pod)}: status: {error}", flush=True)
            except httpx.HTTPError:
                pass
            await asyncio.sleep(1.0)
