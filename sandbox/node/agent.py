"""The agent: follows the pods bound to the node and has each one run."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Mapping
from typing import Any

import httpx

from .api import ApiError
from .context import ANNOTATION_PROCESS, Context
from .idle import IdlePod
from .pods import PodRunner

_PODS = "/api/v1/pods"
_LONGEST_WAIT = 5.0


class Agent:
    """The pods of the node, by uid."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._selector = {"fieldSelector": f"spec.nodeName={context.node}"}
        self._pods: dict[str, PodRunner | IdlePod] = {}
        self._ending: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Follow the pods for ever.

        A watch that ends is taken up where it stopped; one whose version is too old (410), and any answer
        that makes no sense, begins with a new list.
        """
        version, wait = "", 0.2
        while True:
            try:
                if not version:
                    version = await self._list()
                async for event in self._context.api.watch(_PODS, self._selector, version):
                    version = event["object"]["metadata"]["resourceVersion"]
                    wait = 0.2
                    self._on(event["type"], event["object"])
            except ApiError as error:
                print(f"pods: {error}", flush=True)
                version = ""
                await asyncio.sleep(wait)
                wait = min(wait * 2, _LONGEST_WAIT)
            except httpx.HTTPError as error:
                print(f"pods: {error!r}", flush=True)
                await asyncio.sleep(wait)
                wait = min(wait * 2, _LONGEST_WAIT)

    async def _list(self) -> str:
        answer = await self._context.api.call("GET", _PODS, params=self._selector)
        pods = {pod["metadata"]["uid"]: pod for pod in answer["items"]}
        self._context.addresses.keep_only({*pods, *self._pods})
        for uid in [uid for uid in self._pods if uid not in pods]:
            self._forget(uid)
        for pod in pods.values():
            self._on("MODIFIED", pod)
        self._sweep({self._context.logs(*self._name(pod)).name for pod in pods.values()})
        return str(answer["metadata"]["resourceVersion"])

    def _on(self, kind: str, pod: Mapping[str, Any]) -> None:
        if kind == "BOOKMARK":
            return
        uid = pod["metadata"]["uid"]
        if kind == "DELETED":
            self._forget(uid)
        elif uid in self._pods:
            self._pods[uid].update(pod)
        elif (pod.get("status") or {}).get("phase") not in ("Succeeded", "Failed"):
            annotations = pod["metadata"].get("annotations") or {}
            idle = annotations.get(ANNOTATION_PROCESS) == "none"
            self._pods[uid] = IdlePod(self._context, pod) if idle else PodRunner(self._context, pod)
            self._pods[uid].start()

    def _forget(self, uid: str) -> None:
        pod = self._pods.pop(uid, None)
        if pod is not None:
            task = asyncio.create_task(pod.gone())
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)

    def _name(self, pod: Mapping[str, Any]) -> tuple[str, str, str]:
        metadata = pod["metadata"]
        return metadata["namespace"], metadata["name"], metadata["uid"]

    def _sweep(self, kept: set[str]) -> None:
        """Remove the logs of pods that were gone before this agent started."""
        running = {f"_{uid}" for uid in self._pods}
        for directory in (self._context.state / "pods").glob("*"):
            if directory.name not in kept and not any(directory.name.endswith(uid) for uid in running):
                shutil.rmtree(directory, ignore_errors=True)

    def kill(self) -> None:
        """End all processes at once."""
        for pod in self._pods.values():
            pod.kill()
