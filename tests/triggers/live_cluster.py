"""A cluster in memory that can be watched, and that can go away or fall silent for its watchers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Any

from memory_cluster import MemoryCluster

from interlock.clients.kubernetes import Unreachable, WatchEvent
from interlock.manifest import Manifest, ObjectRef

SECONDS = 10.0


class LiveCluster(MemoryCluster):
    """What triggers ask of a KubernetesClient.

    Attributes:
        silent: whether changes stay unseen by those who watch.
        away: whether reads get no answer.
        refused: how many reads got none.
        watched: the kinds that are being watched.
        refusing: by kind, the error that its lists and watches are answered with.
    """

    def __init__(self, *manifests: Manifest) -> None:
        self.silent = self.away = False
        self.refused = 0
        self.watched: list[str] = []
        self.refusing: dict[str, Exception] = {}
        self._queues: list[tuple[str, str | None, asyncio.Queue[WatchEvent | Exception]]] = []
        super().__init__(*manifests)

    async def __aenter__(self) -> LiveCluster:
        return self

    async def __aexit__(self, *_: object) -> None:
        return None

    async def get(self, ref: ObjectRef, *, metadata: bool = False) -> Manifest | None:
        self._answer()
        return await super().get(ref, metadata=metadata)

    async def list(
        self, api_version: str, kind: str, *args: Any, **kwargs: Any
    ) -> tuple[list[Manifest], str]:
        self._answer()
        if kind in self.refusing:
            raise self.refusing[kind]
        return await super().list(api_version, kind, *args, **kwargs)

    async def pod_log(self, *_: object, **__: object) -> str:
        return ""

    async def watch(
        self, api_version: str, kind: str, namespace: str | None, *_: object, **__: object
    ) -> AsyncIterator[WatchEvent]:
        queue: asyncio.Queue[WatchEvent | Exception] = asyncio.Queue()
        self._queues.append((kind, namespace, queue))
        self.watched.append(kind)
        while True:
            event = await queue.get()
            if isinstance(event, Exception):
                raise event
            yield event

    def put(self, manifest: Manifest) -> None:
        """An object as somebody else makes or changes it."""
        self._keep(manifest.ref, manifest.raw)

    def take(self, ref: ObjectRef) -> None:
        """An object as somebody else deletes it."""
        gone = Manifest.of(self._objects.pop(ref))
        self._send(ref, WatchEvent("DELETED", gone))

    def break_watches(self, kind: str, error: Exception | None = None) -> None:
        """Let those who watch a kind meet an error; left out, one that nobody expects."""
        for watched, _, queue in self._queues:
            if watched == kind:
                queue.put_nowait(error or RuntimeError("a fault of the watch itself"))

    def _send(self, ref: ObjectRef, event: WatchEvent) -> None:
        for kind, namespace, queue in self._queues:
            if kind == ref.kind and namespace in (None, ref.namespace) and not self.silent:
                queue.put_nowait(event)

    def _keep(self, ref: ObjectRef, raw: Any, dry_run: bool = False) -> Manifest:
        kept = super()._keep(ref, raw, dry_run)
        self._send(ref, WatchEvent("MODIFIED", kept))
        return kept

    def _answer(self) -> None:
        if self.away:
            self.refused += 1
            raise Unreachable("GET /: no answer from the Kubernetes API")


async def until(met: Callable[[], bool]) -> None:
    give_up = time.monotonic() + SECONDS
    while not met():
        assert time.monotonic() < give_up, "it did not come to pass"
        await asyncio.sleep(0.01)


async def ending(trigger: Any) -> Any:
    """The event that a trigger ends its task with."""

    async def first() -> Any:
        (event,) = [event async for event in trigger.run()]
        return event

    return await asyncio.wait_for(first(), SECONDS)


def deployment(name: str = "a", *, complete: bool = True) -> Manifest:
    labels = {"app": name}
    counts = {"replicas": 1, "updatedReplicas": int(complete), "availableReplicas": 1}
    containers = [{"name": "app", "image": f"{name}:2"}]
    return Manifest.of(
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": name, "namespace": "payments", "generation": 1},
            "spec": {
                "replicas": 1,
                "selector": {"matchLabels": labels},
                "template": {"metadata": {"labels": labels}, "spec": {"containers": containers}},
            },
            "status": {"observedGeneration": 1, **counts},
        }
    )


def pod(name: str = "a", *, restarts: int = 0) -> Manifest:
    status = {"name": "app", "restartCount": restarts, "state": {"running": {}}}
    return Manifest.of(
        {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {
                "name": f"{name}-5d4-x",
                "namespace": "payments",
                "uid": f"pod-of-{name}",
                "labels": {"app": name, "pod-template-hash": "5d4"},
                "ownerReferences": [{"kind": "ReplicaSet", "name": f"{name}-5d4", "controller": True}],
            },
            "spec": {"containers": [{"name": "app", "image": f"{name}:2"}]},
            "status": {
                "containerStatuses": [status],
                "conditions": [{"type": "Ready", "status": "True"}],
            },
        }
    )
