"""One watch for all that wait: a live view of the objects of a kind in a namespace, shared within a loop.

`shared(…)` gives every waiter of an event loop the same `View`. It lists, then watches from the list's
resourceVersion; a dropped watch is taken up again where it was, after a 410 it lists anew, and while the API
server is away it keeps trying. Waiters look at the view first and then wait for its next change, so nothing
is missed between the reading and the watching.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass

import httpx2

from interlock.clients.kubernetes import Forbidden, Gone, KubernetesClient, KubernetesError
from interlock.manifest import Manifest

Connect = Callable[[], Awaitable[KubernetesClient]]

log = logging.getLogger(__name__)
LINGER_SECONDS = 60.0
POLL_SECONDS = 2.0
"""How often a view is listed where the identity may list, but not watch."""


@dataclass(frozen=True)
class Scope:
    """What a view shows.

    Attributes:
        connection: names the API server and identity; equal names share a view.
        namespace: None means all namespaces.
        metadata: the objects' metadata alone.
    """

    connection: str
    api_version: str
    kind: str
    namespace: str | None
    labels: str = ""
    metadata: bool = False


class View:
    """The live objects of a scope."""

    def __init__(self, scope: Scope, connect: Connect) -> None:
        self.scope = scope
        self.waiters = 0
        self.objects: dict[str, Manifest] = {}
        self._connect = connect
        self._synced = asyncio.Event()
        self._waking: set[tuple[asyncio.Event, str]] = set()
        self._task = asyncio.create_task(self._follow(), name=f"watch {scope.kind} {scope.namespace}")

    async def synced(self) -> None:
        """Wait until the view has been filled once; raises what kept the client from being made."""
        filled = asyncio.ensure_future(self._synced.wait())
        try:
            await asyncio.wait({filled, self._task}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            filled.cancel()
        if self._task.done():
            self._task.result()

    @contextlib.contextmanager
    def waking(self, event: asyncio.Event, prefix: str) -> Iterator[None]:
        """Set the event whenever an object whose name starts with `prefix` changes."""
        key = (event, prefix)
        self._waking.add(key)
        try:
            yield
        finally:
            self._waking.discard(key)

    @property
    def ended(self) -> bool:
        """Whether the view follows nothing any more: its client could not be made."""
        return self._task.done()

    def close(self) -> None:
        """End the watch."""
        self._task.cancel()

    def _touch(self, name: str) -> None:
        for event, prefix in self._waking:
            if name.startswith(prefix):
                event.set()

    async def _follow(self) -> None:
        pause = 0.1
        async with await self._connect() as client:
            while True:
                try:
                    version = await self._list(client)
                    pause = 0.1
                    await self._watch(client, version)
                except Gone:
                    log.info("watch of %s: resourceVersion too old, listing again", self.scope.kind)
                except Forbidden as error:
                    log.warning("%s; looking every %s s instead", error, POLL_SECONDS)
                    await asyncio.sleep(POLL_SECONDS)
                except (KubernetesError, httpx2.TransportError, ValueError) as error:
                    log.info("watch of %s: %s; again in %.1f s", self.scope.kind, error, pause)
                    await asyncio.sleep(pause)
                    pause = min(pause * 2, 5.0)

    async def _list(self, client: KubernetesClient) -> str:
        scope = self.scope
        items, version = await client.list(
            scope.api_version, scope.kind, scope.namespace, labels=scope.labels, metadata=scope.metadata
        )
        before = self.objects
        self.objects = {item.name: item for item in items}
        self._synced.set()
        for name in before.keys() | self.objects.keys():
            self._touch(name)
        return version

    async def _watch(self, client: KubernetesClient, version: str) -> None:
        scope = self.scope
        while True:
            try:
                async for event in client.watch(
                    scope.api_version,
                    scope.kind,
                    scope.namespace,
                    version,
                    labels=scope.labels,
                    metadata=scope.metadata,
                ):
                    version = event.object.resource_version or version
                    if event.type == "BOOKMARK":
                        continue
                    if event.type == "DELETED":
                        self.objects.pop(event.object.name, None)
                    else:
                        self.objects[event.object.name] = event.object
                    self._touch(event.object.name)
            except httpx2.TransportError as error:
                log.info("watch of %s dropped (%s): taking it up again", scope.kind, error)
                await asyncio.sleep(0.1)


_views: dict[tuple[int, Scope], View] = {}


@contextlib.asynccontextmanager
async def shared(scope: Scope, connect: Connect) -> AsyncIterator[View]:
    """The view of a scope, filled; shared by all waiters of this event loop.

    It stays open for `LINGER_SECONDS` after the last of them: the next service of a train soon asks again.

    Args:
        scope: what the view shows.
        connect: makes the client, when nobody watches the scope yet.
    """
    key = (id(asyncio.get_running_loop()), scope)
    view = _views.get(key)
    if view is None or view.ended:
        view = _views[key] = View(scope, connect)
    view.waiters += 1
    try:
        await view.synced()
        yield view
    finally:
        view.waiters -= 1
        if view.waiters == 0:
            asyncio.get_running_loop().call_later(LINGER_SECONDS, _close_idle, key, view)


def _close_idle(key: tuple[int, Scope], view: View) -> None:
    if view.waiters == 0 and _views.get(key) is view:
        del _views[key]
        view.close()
