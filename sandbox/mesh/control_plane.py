"""The server that sidecars ask: Envoy's aggregated discovery (ADS) on a unix socket.

A sidecar's snapshot is put in with `set`; what of it has changed is sent at once and whole, clusters
first. An update that a sidecar refuses leaves what it had before, and is kept for `refused`.
"""

from __future__ import annotations

import asyncio
import hashlib
import itertools
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import grpc
from google.protobuf import any_pb2, json_format

from sandbox.mesh.envoy import Config
from sandbox.mesh.messages import MESSAGES, DiscoveryRequest, DiscoveryResponse
from sandbox.mesh.snapshot import CLUSTERS, ENDPOINTS, FILTERS, LISTENERS, ROUTES, SECRETS, Snapshot

_SERVICE = "envoy.service.discovery.v3.AggregatedDiscoveryService"
_ORDER = (CLUSTERS, ENDPOINTS, SECRETS, LISTENERS, ROUTES, FILTERS)
_WHOLE = (CLUSTERS, LISTENERS)


@dataclass
class _Subscription:
    """What a sidecar asks for of one type, and how far its answers have come.

    Attributes:
        names: Which ones; empty for types that are always sent whole.
        due: Whether an answer has to be sent, also if nothing has changed.
        version: Of the last answer.
        nonce: Of the last answer.
        heard: The nonce of the last answer that the sidecar has accepted or refused.
    """

    names: frozenset[str]
    due: bool = True
    version: str = ""
    nonce: str = ""
    heard: str = ""


@dataclass
class _Sidecar:
    """What one sidecar is to be told, and what it said."""

    given: Snapshot = field(default_factory=dict)
    packed: dict[str, dict[str, any_pb2.Any]] = field(default_factory=dict)
    subscriptions: dict[str, _Subscription] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    progress: asyncio.Event = field(default_factory=asyncio.Event)

    def subscribed(self, kind: str) -> list[any_pb2.Any]:
        """The resources that it asks for."""
        known = self.packed.get(kind, {})
        names = known if kind in _WHOLE else self.subscriptions[kind].names
        return [known[name] for name in sorted(names) if name in known]

    def is_told(self) -> bool:
        """Whether it has answered to the newest of everything that it asks for."""
        return LISTENERS in self.subscriptions and all(
            subscription.heard == subscription.nonce
            and not subscription.due
            and subscription.version == _version(self.subscribed(kind))
            for kind, subscription in self.subscriptions.items()
        )

    def hear(self, request: DiscoveryRequest) -> None:
        """Take note of a question, or of what became of an answer."""
        names = frozenset(request.resource_names)
        known = self.subscriptions.get(request.type_url)
        if not names and request.type_url not in _WHOLE:
            # It has no use for this type any more, and would not even answer.
            self.subscriptions.pop(request.type_url, None)
        elif known is None:
            self.subscriptions[request.type_url] = _Subscription(names)
        else:
            known.due = known.due or names != known.names
            known.names = names
            if request.response_nonce == known.nonce:
                known.heard = known.nonce
                self.refused.pop(request.type_url, None)
                if request.error_detail.message:
                    self.refused[request.type_url] = request.error_detail.message
        self.changed.set()
        self.progress.set()


class ControlPlane:
    """The snapshots of all sidecars, by the name of their node."""

    def __init__(self) -> None:
        self._sidecars: dict[str, _Sidecar] = {}
        self._server: grpc.aio.Server | None = None

    async def start(self, socket: Path) -> None:
        """Listen on a unix socket, which must not exist."""
        self._server = grpc.aio.server()
        handler = grpc.stream_stream_rpc_method_handler(
            self._stream,
            request_deserializer=DiscoveryRequest.FromString,
            response_serializer=DiscoveryResponse.SerializeToString,
        )
        methods = {"StreamAggregatedResources": handler}
        self._server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(_SERVICE, methods),))
        self._server.add_insecure_port(f"unix:{socket}")
        await self._server.start()

    async def stop(self) -> None:
        """End all conversations."""
        if self._server is not None:
            await self._server.stop(None)

    def set(self, node: str, snapshot: Snapshot) -> None:
        """Say what a sidecar is to be told from now on; types that are absent stay as they were."""
        sidecar = self._sidecars.setdefault(node, _Sidecar())
        for kind, resources in snapshot.items():
            if sidecar.given.get(kind) != resources:
                sidecar.given[kind] = resources
                sidecar.packed[kind] = {name: packed(kind, one) for name, one in resources.items()}
                sidecar.changed.set()

    def forget(self, node: str) -> None:
        """Forget a sidecar that has ended."""
        self._sidecars.pop(node, None)

    def refused(self, node: str) -> Mapping[str, str]:
        """Why a sidecar refused its last update, by type; empty if it runs with all it was told."""
        sidecar = self._sidecars.get(node)
        return dict(sidecar.refused) if sidecar else {}

    async def told(self, node: str) -> None:
        """Wait until a sidecar has accepted, or refused, the newest of all that it asks for."""
        sidecar = self._sidecars.setdefault(node, _Sidecar())
        while not sidecar.is_told():
            sidecar.progress.clear()
            await sidecar.progress.wait()

    async def _stream(
        self, requests: AsyncIterator[DiscoveryRequest], _: object
    ) -> AsyncIterator[DiscoveryResponse]:
        """Talk with one sidecar until either side ends."""
        first = await anext(aiter(requests))
        sidecar = self._sidecars.setdefault(first.node.id, _Sidecar())
        sidecar.subscriptions = {}
        sidecar.hear(first)
        listening = asyncio.create_task(_listen(sidecar, requests))
        number = itertools.count(1)
        try:
            while not listening.done():
                await sidecar.changed.wait()
                sidecar.changed.clear()
                for kind in _ORDER:
                    if (answer := _answer(sidecar, kind, number)) is not None:
                        yield answer
        finally:
            listening.cancel()


def packed(kind: str, config: Config) -> any_pb2.Any:
    """A config as Envoy reads it; raises json_format.ParseError if it isn't one of its type."""
    message = MESSAGES[kind]()
    json_format.ParseDict(config, message)
    result = any_pb2.Any()
    result.Pack(message, deterministic=True)
    return result


async def _listen(sidecar: _Sidecar, requests: AsyncIterator[DiscoveryRequest]) -> None:
    try:
        async for request in requests:
            sidecar.hear(request)
    finally:
        sidecar.changed.set()


def _answer(sidecar: _Sidecar, kind: str, number: Iterator[int]) -> DiscoveryResponse | None:
    subscription = sidecar.subscriptions.get(kind)
    if subscription is None or kind not in sidecar.packed:
        return None
    resources = sidecar.subscribed(kind)
    version = _version(resources)
    if version == subscription.version and not subscription.due:
        return None
    if kind == CLUSTERS and ENDPOINTS in sidecar.subscriptions:
        # A cluster that has changed waits for its endpoints, also if they are as before.
        sidecar.subscriptions[ENDPOINTS].due = True
    subscription.due, subscription.version, subscription.nonce = False, version, str(next(number))
    return DiscoveryResponse(
        version_info=version, resources=resources, type_url=kind, nonce=subscription.nonce
    )


def _version(resources: list[any_pb2.Any]) -> str:
    digest = hashlib.sha256()
    for resource in resources:
        digest.update(len(resource.value).to_bytes(8, "big") + resource.value)
    return digest.hexdigest()[:16]
