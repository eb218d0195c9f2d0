"""The live objects that sidecars are configured from, followed in the API server."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from typing import Any

from sandbox.mesh.objects import Objects, Raw
from sandbox.node.api import Api
from sandbox.node.following import Listed, follow

_SECURITY, _NETWORKING = "/apis/security.istio.io/v1", "/apis/networking.istio.io/v1"
KINDS: Mapping[str, str] = {
    "Pod": "/api/v1/pods",
    "Service": "/api/v1/services",
    "PeerAuthentication": f"{_SECURITY}/peerauthentications",
    "AuthorizationPolicy": f"{_SECURITY}/authorizationpolicies",
    "DestinationRule": f"{_NETWORKING}/destinationrules",
}


class LiveObjects:
    """All objects of the kinds that matter, in all namespaces.

    Attributes:
        changed: Set when something has changed that a sidecar may have to be told of.
    """

    def __init__(self, api: Api) -> None:
        self._api = api
        self._known: dict[str, dict[str, Raw]] = {}
        self.changed = asyncio.Event()

    @property
    def complete(self) -> bool:
        """Whether all kinds were listed once; before, nothing must be concluded from what is absent."""
        return self._known.keys() == KINDS.keys()

    def objects(self) -> Objects:
        """What there is now."""
        return Objects.of(one for kind in self._known.values() for one in kind.values())

    def pods(self) -> Iterator[Raw]:
        """All pods, also those that have no address yet or are being deleted."""
        return iter(self._known.get("Pod", {}).values())

    async def run(self) -> None:
        """Follow all kinds for ever."""
        async with asyncio.TaskGroup() as group:
            for kind, path in KINDS.items():
                group.create_task(self._follow(kind, path))

    async def _follow(self, kind: str, path: str) -> None:
        async for news in follow(self._api, path, {}):
            if isinstance(news, Listed):
                self._known[kind] = {_uid(one): {**one, "kind": kind} for one in news.objects}
                self.changed.set()
                continue
            known, uid = self._known[kind], _uid(news.object)
            before = known.pop(uid, None)
            if news.how != "DELETED":
                known[uid] = {**news.object, "kind": kind}
            if _matters(kind, before) != _matters(kind, known.get(uid)):
                self.changed.set()


def _uid(raw: Raw) -> str:
    return str(raw["metadata"]["uid"])


def _matters(kind: str, raw: Raw | None) -> Any:
    """What of an object a sidecar's configuration can follow from: of a pod's status, only the essence."""
    if raw is None:
        return None
    metadata, status = raw["metadata"], raw.get("status") or {}
    seen = [metadata.get("labels"), metadata.get("annotations"), bool(metadata.get("deletionTimestamp"))]
    if kind != "Pod":
        return [*seen, raw.get("spec")]
    ready = [one["status"] for one in status.get("conditions") or () if one["type"] == "Ready"]
    return [*seen, status.get("podIP"), status.get("phase"), ready]
