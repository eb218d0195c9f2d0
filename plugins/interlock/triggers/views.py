"""What a wait for a workload sees: live views of it, its pods and the run's head, which all waits share."""

from __future__ import annotations

import asyncio
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from interlock.trains.journal import stop_in

if TYPE_CHECKING:
    from interlock.clients.watch import View
    from interlock.manifest import Manifest


@dataclass(frozen=True)
class Wait:
    """What a wait for a service watches; the arguments that triggers have in common."""

    kubernetes_conn_id: str
    namespace: str
    kind: str
    name: str
    journal: str | None
    journal_namespace: str | None

    @property
    def arguments(self) -> dict[str, Any]:
        """As keyword arguments."""
        return asdict(self)


class Views:
    """What one wait sees."""

    def __init__(self, about: Wait, workloads: View, pods: View, heads: View | None) -> None:
        self._about = about
        self._workloads = workloads
        self._pods = pods
        self._heads = heads

    @property
    def workload(self) -> Manifest | None:
        """The workload, None where it isn't there."""
        return self._workloads.objects.get(self._about.name)

    @property
    def pods(self) -> list[Manifest]:
        """The pods whose names begin with the workload's."""
        prefix = f"{self._about.name}-"
        return [pod for name, pod in self._pods.objects.items() if name.startswith(prefix)]

    @property
    def stopped(self) -> str | None:
        """Why the line was stopped, None where it is clear."""
        head = self._heads.objects.get(self._about.journal or "") if self._heads else None
        stop = stop_in(head) if head is not None else None
        return f"{stop.why} (by {stop.by})" if stop is not None else None


async def watched(about: Wait, stack: AsyncExitStack, changed: asyncio.Event) -> Views:
    """The shared views of a workload, its pods and the run's head, filled; they set `changed`."""
    from interlock.clients.journal import HEADS
    from interlock.clients.watch import Scope, shared
    from interlock.hooks.kubernetes import InterlockKubernetesHook

    connect = InterlockKubernetesHook(about.kubernetes_conn_id).get_conn_async

    async def view(api: str, kind: str, namespace: str, prefix: str, **more: Any) -> View:
        scope = Scope(about.kubernetes_conn_id, api, kind, namespace, **more)
        found = await stack.enter_async_context(shared(scope, connect))
        stack.enter_context(found.waking(changed, prefix))
        return found

    workloads = await view("apps/v1", about.kind, about.namespace, about.name)
    pods = await view("v1", "Pod", about.namespace, f"{about.name}-")
    heads = None
    if about.journal and about.journal_namespace:
        heads = await view(
            "v1", "Secret", about.journal_namespace, about.journal, labels=HEADS, metadata=True
        )
    return Views(about, workloads, pods, heads)
