"""Kubernetes Events about pods, in a kubelet's words; a repeated one counts up in place of a new one.

Events are best effort, as everywhere in Kubernetes: one that can't be written is dropped.
"""

from __future__ import annotations

import asyncio
import secrets
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx

from .api import MERGE_PATCH, Api, ApiError
from .status import stamp

_REMEMBERED = 2000


@dataclass(frozen=True)
class _Event:
    pod: Mapping[str, Any]
    container: str
    kind: str
    reason: str
    message: str
    at: datetime


class Events:
    """Writes Events one after the other from a queue, so that no pod waits for its Events."""

    def __init__(self, api: Api, node: str) -> None:
        self._api = api
        self._node = node
        self._queue: asyncio.Queue[_Event] = asyncio.Queue(maxsize=5000)
        self._written: OrderedDict[tuple[str, str, str, str], tuple[str, int]] = OrderedDict()

    def normal(self, pod: Mapping[str, Any], container: str, reason: str, message: str) -> None:
        """Record that something happened as it should."""
        self._put(_Event(pod, container, "Normal", reason, message, datetime.now(UTC)))

    def warning(self, pod: Mapping[str, Any], container: str, reason: str, message: str) -> None:
        """Record that something is wrong."""
        self._put(_Event(pod, container, "Warning", reason, message, datetime.now(UTC)))

    def _put(self, event: _Event) -> None:
        if not self._queue.full():
            self._queue.put_nowait(event)

    async def run(self) -> None:
        """Write what is queued, for ever."""
        while True:
            event = await self._queue.get()
            try:
                await self._write(event)
            except (ApiError, httpx.HTTPError):
                await asyncio.sleep(0.2)

    async def _write(self, event: _Event) -> None:
        metadata = event.pod["metadata"]
        path = f"/api/v1/namespaces/{metadata['namespace']}/events"
        key = (metadata["uid"], event.container, event.reason, event.message)
        name, count = self._written.get(key, ("", 0))
        if name:
            body = {"count": count + 1, "lastTimestamp": stamp(event.at)}
            await self._api.call("PATCH", f"{path}/{name}", body, content_type=MERGE_PATCH)
        else:
            name = f"{metadata['name'][:220]}.{secrets.token_hex(8)}"
            await self._api.call("POST", path, self._body(event, name))
        self._written[key] = (name, count + 1)
        self._written.move_to_end(key)
        if len(self._written) > _REMEMBERED:
            self._written.popitem(last=False)

    def _body(self, event: _Event, name: str) -> dict[str, Any]:
        metadata = event.pod["metadata"]
        involved = {
            "apiVersion": "v1",
            "kind": "Pod",
            "namespace": metadata["namespace"],
            "name": metadata["name"],
            "uid": metadata["uid"],
            "resourceVersion": metadata["resourceVersion"],
            "fieldPath": f"spec.containers{{{event.container}}}",
        }
        return {
            "apiVersion": "v1",
            "kind": "Event",
            "metadata": {"name": name, "namespace": metadata["namespace"]},
            "involvedObject": involved,
            "type": event.kind,
            "reason": event.reason,
            "message": event.message,
            "source": {"component": "kubelet", "host": self._node},
            "reportingComponent": "kubelet",
            "reportingInstance": self._node,
            "firstTimestamp": stamp(event.at),
            "lastTimestamp": stamp(event.at),
            "count": 1,
        }
