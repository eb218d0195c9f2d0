"""What a wait for a workload sees: live views of it, its pods and the run's head, which all waits share."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from interlock.runs.wait import Wait
from interlock.trains.journal import stop_in
from interlock.trains.kinds import WORKLOAD_API

if TYPE_CHECKING:
    from interlock.clients.watch import View
    from interlock.manifest import Manifest


@dataclass(frozen=True)
class Seen:
    """What a wait judges.

    Attributes:
        workload: the workload, None where it isn't there.
        pods: the workload's pods.
        stopped: why the line was stopped, None where it is clear.
    """

    workload: Manifest | None
    pods: Sequence[Manifest]
    stopped: str | None


class Views:
    """What one wait sees."""

    def __init__(self, about: Wait, workloads: View, pods: View, heads: View | None) -> None:
        self._about = about
        self._workloads = workloads
        self._pods = pods
        self._heads = heads

    @property
    def seen(self) -> Seen:
        """What the shared views show. While the API server is away it may be old.

        Raises:
            ViewEnded: one of the views follows nothing any more.
        """
        about = self._about
        head = self._heads.objects.get(about.journal or "") if self._heads else None
        return Seen(self._workloads.objects.get(about.name), self._pods.group(about.name), _stopped(head))

    async def read(self) -> Seen:
        """What is there now, read and not watched; waits that ask together share the reading.

        Raises:
            KubernetesError: the API server is away, or refuses.
            ViewEnded: one of the views follows nothing any more.
        """
        from interlock.clients.kubernetes_api import group_of

        about = self._about
        workloads, pods = await asyncio.gather(self._workloads.present(), self._pods.present())
        mine = [pod for pod in pods.values() if group_of(pod) == about.name]
        # The stop flag is not read again: whoever moves or decides next looks at it.
        return Seen(workloads.get(about.name), mine, self.seen.stopped)


def _stopped(head: Manifest | None) -> str | None:
    stop = stop_in(head) if head is not None else None
    return f"{stop.why} (by {stop.by})" if stop is not None else None


async def watched(about: Wait, stack: AsyncExitStack, changed: asyncio.Event) -> Views:
    """The shared views of a workload, its pods and the run's head, filled; they set `changed`.

    Raises:
        ViewEnded: one of them could not be filled: the connection is wrong, say.
    """
    from interlock.clients.journal import HEADS
    from interlock.clients.scope import Scope
    from interlock.clients.watch import shared
    from interlock.hooks.kubernetes import InterlockKubernetesHook

    connect = InterlockKubernetesHook(about.kubernetes_conn_id).get_conn_async

    async def view(api: str, kind: str, namespace: str, group: str, **more: Any) -> View:
        scope = Scope(about.kubernetes_conn_id, api, kind, namespace, **more)
        found = await stack.enter_async_context(shared(scope, connect))
        stack.enter_context(found.waking(changed, group))
        return found

    workloads = await view(WORKLOAD_API, about.kind, about.namespace, about.name)
    pods = await view("v1", "Pod", about.namespace, about.name)
    heads = None
    if about.journal and about.journal_namespace:
        heads = await view(
            "v1", "Secret", about.journal_namespace, about.journal, labels=HEADS, metadata=True
        )
    return Views(about, workloads, pods, heads)
