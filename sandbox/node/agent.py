"""The agent: follows the pods bound to the node and has each one run."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from .context import ANNOTATION_PROCESS, Context
from .following import Listed, follow
from .idle import IdlePod
from .pods import PodRunner

_PODS = "/api/v1/pods"


class Agent:
    """The pods of the node, by uid."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._selector = {"fieldSelector": f"spec.nodeName={context.node}"}
        self._pods: dict[str, PodRunner | IdlePod] = {}
        self._ending: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Follow the pods for ever."""
        async for news in follow(self._context.api, _PODS, self._selector):
            if isinstance(news, Listed):
                self._list(news.objects)
            else:
                self._on(news.how, news.object)

    def _list(self, objects: Sequence[Mapping[str, Any]]) -> None:
        pods = {pod["metadata"]["uid"]: pod for pod in objects}
        self._context.addresses.keep_only({*pods, *self._pods})
        for uid in [uid for uid in self._pods if uid not in pods]:
            self._forget(uid)
        for pod in pods.values():
            self._on("MODIFIED", pod)
        self._sweep(pods.values())

    def _on(self, kind: str, pod: Mapping[str, Any]) -> None:
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

    def _sweep(self, pods: Iterable[Mapping[str, Any]]) -> None:
        """Remove the files of pods that were gone before this agent started."""
        kept = {*self._pods, *(pod["metadata"]["uid"] for pod in pods)}
        for folder in ("pods", "volumes", "envoy"):
            for directory in (self._context.state / folder).glob("*"):
                if directory.name.rpartition("_")[2] not in kept:
                    shutil.rmtree(directory, ignore_errors=True)

    def kill(self) -> None:
        """End all processes at once."""
        for pod in self._pods.values():
            pod.kill()
