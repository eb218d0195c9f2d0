"""One watch for all that wait: a live view of the objects of a kind in a namespace, shared within a loop.

`shared(…)` gives every waiter of an event loop the same `View`. It lists, then watches from the list's
resourceVersion; a dropped watch is taken up again where it was, after a 410 it lists anew, and while the API
server is away it keeps trying, ever more slowly. Waiters look at the view first and then wait for its next
change, so nothing is missed between the reading and the watching. What a view shows may be old while the API
server is away; a view that ended shows nothing: it raises `ViewEnded` in all its waiters.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Iterator, Mapping

import httpx2

from interlock.clients.kubernetes import Forbidden, Gone, KubernetesClient, KubernetesError, NotFound
from interlock.clients.kubernetes_api import group_of
from interlock.clients.scope import Scope, ViewEnded
from interlock.manifest import Manifest

Connect = Callable[[], Awaitable[KubernetesClient]]

log = logging.getLogger(__name__)
LINGER_SECONDS = 60.0
POLL_SECONDS = 2.0
"""How often a view is listed where the identity may list, but not watch."""
FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.1, 5.0
ABSENT_SECONDS = 15.0
"""How often it is looked whether the API server has a kind by now that it did not have."""
STEADY_SECONDS = 5.0
"""A watch that lasts for so long is no futile one, even if it brought no news."""
ANY = "*"
"""The group of all objects; no object has such a name."""


class View:
    """The live objects of a scope, found by name and by group.

    A pod's group is the workload that it belongs to, any other object's is its own name. A change wakes those
    alone who wait for its group, so that it costs the same however many wait.
    """

    def __init__(self, scope: Scope, connect: Connect) -> None:
        self.scope = scope
        self.waiters = 0
        self._objects: dict[str, Manifest] = {}
        self._groups: dict[str, dict[str, Manifest]] = {}
        self._connect = connect
        self._client: KubernetesClient | None = None
        self._listing: asyncio.Task[dict[str, Manifest]] | None = None
        self._coming: asyncio.Task[dict[str, Manifest]] | None = None
        self._version = ""
        self._news = False
        self._watching_since: float | None = None
        self.refused: KubernetesError | None = None
        """Why the objects can't be listed: a right is missing, or the API server has no such kind."""
        self._synced, self._answered = asyncio.Event(), asyncio.Event()
        self._waking: dict[str, set[asyncio.Event]] = {}
        self._task = asyncio.create_task(self._follow(), name=f"watch {scope.kind} {scope.namespace}")
        self._task.add_done_callback(self._tell)

    async def synced(self, *, or_refused: bool = False) -> None:
        """Wait until the view has been filled once, or, if that is enough, `refused` says why it is not.

        Raises:
            ViewEnded: it won't be: its client could not be made, say.
        """
        filled = asyncio.ensure_future((self._answered if or_refused else self._synced).wait())
        try:
            await asyncio.wait({filled, self._task}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            filled.cancel()
        self.check()

    @property
    def objects(self) -> Mapping[str, Manifest]:
        """The objects by name.

        Raises:
            ViewEnded: they may be as they were long ago.
        """
        self.check()
        return self._objects

    def group(self, name: str) -> list[Manifest]:
        """The objects of a group.

        Raises:
            ViewEnded: they may be as they were long ago.
        """
        self.check()
        return list(self._groups.get(name, {}).values())

    async def present(self) -> dict[str, Manifest]:
        """The objects by name, by a list that was begun after this call; all who ask meanwhile share one.

        Raises:
            KubernetesError: the API server is away, or refuses.
            ViewEnded: the view's client is closed.
        """
        self.check()
        if self._coming is None:
            self._coming = asyncio.create_task(self._list_again(self._listing))
        return await asyncio.shield(self._coming)

    @contextlib.contextmanager
    def waking(self, event: asyncio.Event, *groups: str) -> Iterator[None]:
        """Set the event when an object of these groups, or of `ANY`, changes, and when the view ends."""
        for group in groups:
            self._waking.setdefault(group, set()).add(event)
        try:
            yield
        finally:
            for group in groups:
                events = self._waking.get(group, set())
                events.discard(event)
                if not events:
                    self._waking.pop(group, None)

    @property
    def ended(self) -> bool:
        """Whether the view follows nothing any more."""
        return self._task.done()

    def close(self) -> None:
        """End the watch."""
        self._task.cancel()

    def check(self) -> None:
        """Raise ViewEnded if the view follows nothing any more."""
        if not self._task.done():
            return
        error = None if self._task.cancelled() else self._task.exception()
        why = f"{type(error).__name__}: {error}" if error is not None else "it was closed"
        where = f"namespace {self.scope.namespace}" if self.scope.namespace else "all namespaces"
        raise ViewEnded(f"the watch of {self.scope.kind} in {where} has ended: {why}") from error

    def _tell(self, task: asyncio.Task[None]) -> None:
        """Wake all: each finds that the view has ended, instead of waiting for what never comes."""
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("the watch of %s in %s ended", self.scope.kind, self.scope.namespace, exc_info=error)
        for events in self._waking.values():
            for event in events:
                event.set()

    def _touch(self, groups: Iterable[str]) -> None:
        for group in (*groups, ANY):
            for event in self._waking.get(group, ()):
                event.set()

    async def _follow(self) -> None:
        connected = await self._connect()
        async with connected as self._client:
            futile = 0
            while True:
                self._news, self._watching_since = False, None
                try:
                    await self._list_and_watch(self._client)
                except Gone:
                    log.info("watch of %s: resourceVersion too old, listing again", self.scope.kind)
                    self._version = ""
                except (Forbidden, NotFound) as error:
                    if self._watching_since is None:
                        self._refuse(error)
                    seconds = POLL_SECONDS if isinstance(error, Forbidden) else ABSENT_SECONDS
                    log.warning("%s; looking every %s s instead", error, seconds)
                    self._version = ""
                    await asyncio.sleep(seconds)
                    continue
                except httpx2.TransportError as error:
                    log.info("watch of %s dropped (%s): taking it up again", self.scope.kind, error)
                except (KubernetesError, ValueError) as error:
                    log.info("watch of %s: %s", self.scope.kind, error)
                    self._version = ""
                since = self._watching_since
                steady = since is not None and time.monotonic() - since >= STEADY_SECONDS
                futile = 0 if steady or self._news else futile + 1
                await asyncio.sleep(pause(futile))

    async def _list_again(self, under_way: asyncio.Task[dict[str, Manifest]] | None) -> dict[str, Manifest]:
        if under_way is not None:
            await asyncio.wait({under_way})
        # Who asks from now on comes too late for this list.
        self._listing, self._coming = self._coming, None
        self.check()
        assert self._client is not None, "a view has a client once it is filled"
        try:
            return {item.name: item for item in (await self._list(self._client))[0]}
        except Exception:
            # Of a view that ended meanwhile, that is to be said.
            self.check()
            raise

    async def _list(self, client: KubernetesClient) -> tuple[list[Manifest], str]:
        scope = self.scope
        return await client.list(
            scope.api_version, scope.kind, scope.namespace, labels=scope.labels, metadata=scope.metadata
        )

    async def _list_and_watch(self, client: KubernetesClient) -> None:
        scope = self.scope
        if not self._version:
            items, version = await self._list(client)
            self._fill(items)
            self._version = version
        self._watching_since = time.monotonic()
        where = (scope.api_version, scope.kind, scope.namespace, self._version)
        async for event in client.watch(*where, labels=scope.labels, metadata=scope.metadata):
            self._version = event.object.resource_version or self._version
            if event.type == "BOOKMARK":
                continue
            self._news = True
            self._touch(self._put(event.object.name, None if event.type == "DELETED" else event.object))

    def _refuse(self, error: KubernetesError) -> None:
        self.refused = error
        self._answered.set()
        self._touch(())

    def _fill(self, items: Iterable[Manifest]) -> None:
        found = {item.name: item for item in items}
        touched: set[str] = set()
        for name in self._objects.keys() | found.keys():
            before, after = self._objects.get(name), found.get(name)
            if before is None or after is None or before.resource_version != after.resource_version:
                touched |= self._put(name, after)
        self._synced.set()
        self._answered.set()
        if touched or self.refused is not None:
            self.refused = None
            self._touch(touched)

    def _put(self, name: str, after: Manifest | None) -> set[str]:
        """Keep an object as it is now, None for gone; the groups that it was in and is in."""
        before = self._objects.pop(name, None)
        touched = set()
        if before is not None:
            group = group_of(before)
            touched.add(group)
            members = self._groups[group]
            del members[name]
            if not members:
                del self._groups[group]
        if after is not None:
            group = group_of(after)
            touched.add(group)
            self._objects[name] = after
            self._groups.setdefault(group, {})[name] = after
        return touched


def pause(futile: int) -> float:
    """Seconds until a watch is taken up again, with jitter, for not all shall come back at once.

    Args:
        futile: how many watches in a row ended soon and brought nothing.
    """
    return min(FIRST_PAUSE_SECONDS * 2.0 ** min(futile, 16), LONGEST_PAUSE_SECONDS) * random.uniform(0.5, 1.0)


_views: dict[tuple[int, Scope], View] = {}


@contextlib.asynccontextmanager
async def shared(scope: Scope, connect: Connect, *, or_refused: bool = False) -> AsyncIterator[View]:
    """The view of a scope, filled (or refused, if that is enough); shared by all waiters of this event loop.

    It stays open for `LINGER_SECONDS` after the last of them: the next service of a train soon asks again.

    Args:
        scope: what the view shows.
        connect: makes the client, when nobody watches the scope yet.
        or_refused: as `View.synced` says.
    """
    key = (id(asyncio.get_running_loop()), scope)
    view = _views.get(key)
    if view is None or view.ended:
        view = _views[key] = View(scope, connect)
    view.waiters += 1
    try:
        await view.synced(or_refused=or_refused)
        yield view
    finally:
        view.waiters -= 1
        if view.waiters == 0:
            asyncio.get_running_loop().call_later(LINGER_SECONDS, _close_idle, key, view)


def _close_idle(key: tuple[int, Scope], view: View) -> None:
    if view.waiters == 0 and _views.get(key) is view:
        del _views[key]
        view.close()
