"""Waits for Kubernetes that cost no worker: they watch, decide by the core's rules, and end the task.

All waits of a namespace in one triggerer share one watch for each kind of object. A wait ends its task in
the triggerer (`TaskSuccessEvent`, `TaskFailedEvent`), never by resuming it in a worker.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger, TaskFailedEvent, TaskSuccessEvent, TriggerEvent

from interlock.evidence.redaction import redact_text
from interlock.trains import waiting
from interlock.trains.rollout import Done, Failed, failures, new_pods
from interlock.trains.soak import Broken, Held, baseline
from interlock.triggers.views import Views, Wait, watched

if TYPE_CHECKING:
    from interlock.clients.kubernetes import KubernetesClient
    from interlock.manifest import Manifest

LOG_LINES = 20
MAX_LOGS = 3


class _WorkloadTrigger(BaseTrigger):
    """What the waits for a workload have in common: the shared views, the line's stop flag, the logs.

    :param kubernetes_conn_id: the connection.
    :param namespace: of the workload.
    :param kind: Deployment, StatefulSet or DaemonSet.
    :param name: of the workload.
    :param generation: the generation that our write gave it.
    :param journal: name of the run's journal, whose stop flag ends the wait; None outside a train.
    :param journal_namespace: where that journal is.
    """

    def __init__(
        self,
        *,
        kubernetes_conn_id: str,
        namespace: str,
        kind: str,
        name: str,
        generation: int,
        journal: str | None = None,
        journal_namespace: str | None = None,
    ) -> None:
        super().__init__()
        self.kubernetes_conn_id = kubernetes_conn_id
        self.namespace = namespace
        self.kind = kind
        self.name = name
        self.generation = generation
        self.journal = journal
        self.journal_namespace = journal_namespace

    def _arguments(self) -> dict[str, Any]:
        return {
            "kubernetes_conn_id": self.kubernetes_conn_id,
            "namespace": self.namespace,
            "kind": self.kind,
            "name": self.name,
            "generation": self.generation,
            "journal": self.journal,
            "journal_namespace": self.journal_namespace,
        }

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """The class and exactly the constructor's arguments."""
        return f"{type(self).__module__}.{type(self).__qualname__}", self._arguments()

    @property
    def title(self) -> str:
        """The workload as a person would name it."""
        return f"{self.kind} {self.namespace}/{self.name}"

    async def _client(self) -> KubernetesClient:
        from interlock.hooks.kubernetes import InterlockKubernetesHook

        return await InterlockKubernetesHook(self.kubernetes_conn_id).get_conn_async()

    async def _open(self, stack: AsyncExitStack, changed: asyncio.Event) -> Views:
        wait = Wait(
            kubernetes_conn_id=self.kubernetes_conn_id,
            namespace=self.namespace,
            kind=self.kind,
            name=self.name,
            journal=self.journal,
            journal_namespace=self.journal_namespace,
        )
        return await watched(wait, stack, changed)

    async def _wait(self, changed: asyncio.Event, until: datetime) -> None:
        seconds = max(0.0, (until - datetime.now(UTC)).total_seconds())
        try:
            await asyncio.wait_for(changed.wait(), timeout=seconds)
        except TimeoutError:
            return

    async def _stop_the_line(self, why: str) -> None:
        if self.journal and self.journal_namespace:
            from interlock.clients.journal import JournalStore

            async with await self._client() as client:
                await JournalStore(client, self.journal_namespace).stop(
                    self.journal, by=self.name, why=why, now=datetime.now(UTC)
                )

    async def on_kill(self) -> None:
        """A person ended this wait: stop the line, so that the others end too and the train goes back."""
        await self._stop_the_line(f"the wait for {self.title} was ended by a person")

    async def _show_logs(self, workload: Manifest | None, pods: list[Manifest]) -> None:
        """Put what the new pods say of themselves into the task's log, and the failing ones' last log lines.

        A line that looks as if it holds a secret is withheld.
        """
        from interlock.clients.kubernetes import KubernetesError

        if workload is None:
            return
        for trouble in waiting.troubles(workload, pods):
            self.log.info("%s", trouble)
        failing = failures(workload, pods)
        shown = [(failure.pod, failure.container, failure.restarts > 0) for failure in failing]
        if not shown:
            fresh = new_pods(workload, pods)
            shown = [(pod.name, pod.raw["spec"]["containers"][0]["name"], False) for pod in fresh]
        async with await self._client() as client:
            for pod, container, previous in shown[:MAX_LOGS]:
                try:
                    text = await client.pod_log(
                        self.namespace, pod, container, lines=LOG_LINES, previous=previous
                    )
                except KubernetesError as error:
                    self.log.info("pod %s, container %s: no log (%s)", pod, container, error)
                    continue
                self.log.info("pod %s, container %s, last log lines:", pod, container)
                for line in text.splitlines():
                    self.log.info("  %s", redact_text(line))


class RolloutTrigger(_WorkloadTrigger):
    """Waits until a rollout is complete; ends the task.

    On success it pushes ``ready_at`` (RFC 3339) and ``baseline`` (restarts by pod and container).

    :param deadline: when to give up, as RFC 3339.
    :param heed_stop: end when the line is stopped (a rollback does not).
    """

    def __init__(self, *, deadline: str, heed_stop: bool = True, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.deadline = deadline
        self.heed_stop = heed_stop

    def _arguments(self) -> dict[str, Any]:
        return {**super()._arguments(), "deadline": self.deadline, "heed_stop": self.heed_stop}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Watch until the core says done or failed."""
        deadline = datetime.fromisoformat(self.deadline)
        changed = asyncio.Event()
        said = ""
        async with AsyncExitStack() as stack:
            try:
                async with asyncio.timeout(max(0.0, (deadline - datetime.now(UTC)).total_seconds()) + 1.0):
                    views = await self._open(stack, changed)
            except TimeoutError:
                said = f"{self.title}: the Kubernetes API did not answer until the deadline"
                self.log.error("%s", said)
                yield TaskFailedEvent(xcoms={"rollout": {"failed": said}})
                return
            while True:
                changed.clear()
                now = datetime.now(UTC)
                state = waiting.rollout(
                    views.workload,
                    views.pods,
                    name=self.title,
                    generation=self.generation,
                    now=now,
                    deadline=deadline,
                    stopped=views.stopped if self.heed_stop else None,
                )
                if state.reason != said:
                    said = state.reason
                    self.log.info("%s", said)
                if isinstance(state, Done):
                    fresh = new_pods(views.workload, views.pods) if views.workload else ()
                    result = {
                        "ready_at": now.isoformat(),
                        "baseline": baseline(fresh),
                        "generation": self.generation,
                        "reason": said,
                    }
                    break
                if isinstance(state, Failed):
                    if self.heed_stop and views.stopped is None:
                        await self._stop_the_line(said)
                    self.log.error("%s", said)
                    await self._show_logs(views.workload, views.pods)
                    failed = {"failed": said, "failed_at": now.isoformat(), "generation": self.generation}
                    yield TaskFailedEvent(xcoms={"rollout": failed})
                    return
                await self._wait(changed, deadline)
        yield TaskSuccessEvent(xcoms={"rollout": result})


class SoakTrigger(_WorkloadTrigger):
    """Waits until a release has held for its soak; ends the task.

    :param ready_at: when the rollout was seen complete, as RFC 3339.
    :param seconds: how long it must hold from then on.
    :param restarts: the restarts counted at ``ready_at``.
    """

    def __init__(
        self, *, ready_at: str, seconds: float, restarts: dict[str, dict[str, int]], **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.ready_at = ready_at
        self.seconds = seconds
        self.restarts = restarts
        self.still: Callable[[Manifest | None], bool] = lambda _: True
        """Whether the workload is still what is to hold; given by whoever runs this wait as its own."""

    def _arguments(self) -> dict[str, Any]:
        more = {"ready_at": self.ready_at, "seconds": self.seconds, "restarts": self.restarts}
        return {**super()._arguments(), **more}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Watch until the core says held or broken."""
        changed = asyncio.Event()
        async with AsyncExitStack() as stack:
            views = await self._open(stack, changed)
            while True:
                changed.clear()
                state = waiting.soak(
                    views.workload,
                    views.pods,
                    name=self.title,
                    generation=self.generation,
                    ready_at=datetime.fromisoformat(self.ready_at),
                    seconds=self.seconds,
                    now=datetime.now(UTC),
                    baseline=self.restarts,
                    stopped=views.stopped,
                )
                if views.stopped is None and not self.still(views.workload):
                    state = Broken(f"{self.title}: it was changed or taken back since it was promoted")
                if isinstance(state, Held):
                    self.log.info("%s held for %g s", self.title, self.seconds)
                    break
                if isinstance(state, Broken):
                    if views.stopped is None:
                        await self._stop_the_line(state.reason)
                    self.log.error("%s", state.reason)
                    await self._show_logs(views.workload, views.pods)
                    yield TaskFailedEvent(xcoms={"soak": {"failed": state.reason}})
                    return
                self.log.info("%s must hold until %s UTC", self.title, f"{state.until:%H:%M:%S}")
                await self._wait(changed, state.until)
        yield TaskSuccessEvent(xcoms={"soak": {"held": self.seconds, "ready_at": self.ready_at}})
