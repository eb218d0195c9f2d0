"""One look at a mesh for all that wait: its objects as shared views show them, judged when they change.

`watched_mesh(…)` gives every waiter of an event loop the same `MeshWatch`: one watch for each kind and
namespace, and one evaluation for each change, however many wait. Changes that come close together are judged
together: a state that lasted for less than `APART_SECONDS` may be missed. What is around them is read when a
watch begins, and not watched: the mesh's settings and the labels of the namespaces.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from interlock.clients.istio import NO_MESH, POLICIES, mesh_settings, namespace_object
from interlock.clients.kubernetes import Forbidden, KubernetesError, NotFound
from interlock.clients.scope import Scope, ViewEnded
from interlock.clients.watch import ANY, Connect, View, shared
from interlock.manifest import Manifest
from interlock.mesh.findings import findings
from interlock.mesh.mesh import Mesh
from interlock.mesh.settings import MeshSettings
from interlock.mesh.verdict import Finding

RUNNING: Final = (("v1", "Pod"), ("v1", "Service"))
"""What is watched beside the policies, where services run."""
APART_SECONDS = 0.5
AGAIN_SECONDS = 1.0
"""Between two attempts to read what is around the objects, while the API server is away."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class MeshScope:
    """Whose mesh it is.

    Attributes:
        connection: names the API server and identity.
        namespaces: where the services and their clients run.
        root_namespace: the mesh's root namespace.
    """

    connection: str
    namespaces: tuple[str, ...]
    root_namespace: str

    @property
    def views(self) -> tuple[Scope, ...]:
        """What is watched."""
        everywhere = dict.fromkeys((*self.namespaces, self.root_namespace))
        policies = [Scope(self.connection, *kind, where) for where in everywhere for kind in POLICIES]
        running = [Scope(self.connection, *kind, where) for where in self.namespaces for kind in RUNNING]
        return (*running, *policies)


@dataclass(frozen=True)
class MeshSeen:
    """The mesh as it was seen at one time.

    Attributes:
        mesh: its objects; pods, and no controllers.
        pods: the pods among them.
        unseen: what could not be looked at, and why; while there is any, nothing may pass.
    """

    mesh: Mesh
    pods: tuple[Manifest, ...]
    unseen: tuple[str, ...] = ()

    @cached_property
    def findings(self) -> tuple[Finding, ...]:
        """All findings; worked out once for all who ask."""
        return findings(self.mesh)


Look = Callable[[MeshSeen], None]


class MeshWatch:
    """The mesh of a scope, shown anew to each `Look` whenever it has changed.

    The looks are called in a thread, one after the other, for the evaluation may take longer than an event
    loop should wait. One that raises ends the watch for all.
    """

    def __init__(self, scope: MeshScope, connect: Connect) -> None:
        self.scope = scope
        self.waiters = 0
        self._connect = connect
        self._looks: dict[Look, asyncio.Event] = {}
        self._changed = asyncio.Event()
        self._task = asyncio.create_task(self._follow(), name=f"mesh of {', '.join(scope.namespaces)}")
        self._task.add_done_callback(self._tell)

    @contextlib.contextmanager
    def showing(self, look: Look, told: asyncio.Event) -> Iterator[None]:
        """Show the mesh now and at each change; then, and when the watch has ended, set the event."""
        self._looks[look] = told
        self._changed.set()
        try:
            yield
        finally:
            del self._looks[look]

    def check(self) -> None:
        """Raise ViewEnded if the mesh is no longer watched."""
        if not self._task.done():
            return
        error = None if self._task.cancelled() else self._task.exception()
        if isinstance(error, ViewEnded):
            raise error
        why = f"{type(error).__name__}: {error}" if error is not None else "it was closed"
        raise ViewEnded(f"the watch of the mesh of {', '.join(self.scope.namespaces)} has ended: {why}")

    @property
    def ended(self) -> bool:
        """Whether it follows nothing any more."""
        return self._task.done()

    def close(self) -> None:
        """End the watch; its views stay open for a while."""
        self._task.cancel()

    def _tell(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled():
            task.exception()  # Told by `check`.
        for told in self._looks.values():
            told.set()

    async def _follow(self) -> None:
        async with AsyncExitStack() as stack:
            views = []
            for scope in self.scope.views:
                views.append(await stack.enter_async_context(shared(scope, self._connect, or_refused=True)))
                stack.enter_context(views[-1].waking(self._changed, ANY))
            around, settings = await self._around()
            while True:
                await self._changed.wait()
                self._changed.clear()
                objects, unseen = _objects(views)
                await asyncio.to_thread(_show, [*around, *objects], settings, unseen, tuple(self._looks))
                for told in self._looks.values():
                    told.set()
                await asyncio.sleep(APART_SECONDS)

    async def _around(self) -> tuple[list[Manifest], MeshSettings]:
        """The namespaces and the mesh's settings, once the API server answers.

        Raises:
            ViewEnded: they can't be read.
        """
        where, said = self.scope, ""
        while True:
            try:
                async with await self._connect() as client:
                    names = dict.fromkeys((*where.namespaces, where.root_namespace))
                    found = [await namespace_object(client, name) for name in names]
                    settings = await mesh_settings(client, where.root_namespace)
                return [one for group in found for one in group], settings
            except KubernetesError as error:
                if not error.passing:
                    raise ViewEnded(f"the mesh could not be looked at: {error}") from error
                if str(error) != said:
                    said = str(error)
                    log.info("%s; asking again", said)
            await asyncio.sleep(AGAIN_SECONDS)


def _objects(views: list[View]) -> tuple[list[Manifest], list[str]]:
    """What the views show, and what can't be seen."""
    objects: list[Manifest] = []
    unseen = []
    for view in views:
        view.check()
        if isinstance(view.refused, Forbidden):
            unseen.append(f"{view.scope.kind} of namespace {view.scope.namespace}: {view.refused}")
        elif view.refused is None:
            objects += view.objects.values()
    policies = [view for view in views if (view.scope.api_version, view.scope.kind) in POLICIES]
    if all(isinstance(view.refused, NotFound) for view in policies):
        unseen.append(NO_MESH)
    return objects, unseen


def _show(
    objects: list[Manifest], settings: MeshSettings, unseen: list[str], looks: tuple[Look, ...]
) -> None:
    pods = tuple(one for one in objects if one.kind == "Pod")
    seen = MeshSeen(Mesh.of(objects, settings), pods, tuple(unseen))
    for look in looks:
        look(seen)


_watches: dict[tuple[int, MeshScope], MeshWatch] = {}


@contextlib.asynccontextmanager
async def watched_mesh(scope: MeshScope, connect: Connect) -> AsyncIterator[MeshWatch]:
    """The watch of a mesh, shared by all waiters of this event loop; it ends with the last of them.

    It need not have seen anything yet. Its views stay open for longer, so a next one begins quickly.

    Args:
        scope: whose mesh.
        connect: makes a client.
    """
    key = (id(asyncio.get_running_loop()), scope)
    watch = _watches.get(key)
    if watch is None or watch.ended:
        watch = _watches[key] = MeshWatch(scope, connect)
    watch.waiters += 1
    try:
        yield watch
    finally:
        watch.waiters -= 1
        if watch.waiters == 0 and _watches.get(key) is watch:
            del _watches[key]
            watch.close()
