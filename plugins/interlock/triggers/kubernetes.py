"""Waits for Kubernetes that cost no worker: they watch, decide by the core's rules, and end the task.

All waits of a namespace in one triggerer share one watch for each kind of object. A wait ends its task in
the triggerer (`TaskSuccessEvent`, `TaskFailedEvent`), never by resuming it in a worker.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger, TaskFailedEvent, TaskSuccessEvent, TriggerEvent

from interlock.evidence.redaction import redact_text
from interlock.runs import line
from interlock.runs.wait import Wait
from interlock.trains import waiting
from interlock.trains.rollout import Done, Failed, failures, new_pods
from interlock.trains.soak import Broken, Held, Soak, baseline
from interlock.triggers.kills import marked
from interlock.triggers.mesh_guard import Guard, guarded
from interlock.triggers.views import Seen, watched

if TYPE_CHECKING:
    from interlock.clients.kubernetes import KubernetesClient
    from interlock.manifest import Manifest

LOG_LINES = 20
MAX_LOGS = 3
UNKNOWN = "How the workload is by now is not known; the triggerer's log has the cause"
AGAIN_SECONDS = 1.0
"""Between two direct looks, while the API server is away."""


class _WorkloadTrigger(BaseTrigger):
    """What the waits for a workload have in common: the shared views, the line's stop flag, the logs.

    :param generation: the generation that our write gave the workload.
    :param about: the fields of `Wait`: which workload, and which journal.
    """

    def __init__(self, *, generation: int, **about: Any) -> None:
        super().__init__()
        self.generation = generation
        self.about = Wait(**about)

    def _arguments(self) -> dict[str, Any]:
        return {**self.about.arguments, "generation": self.generation}

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """The class and exactly the constructor's arguments."""
        return f"{type(self).__module__}.{type(self).__qualname__}", self._arguments()

    async def _client(self) -> KubernetesClient:
        from interlock.hooks.kubernetes import InterlockKubernetesHook

        return await InterlockKubernetesHook(self.about.kubernetes_conn_id).get_conn_async()

    async def _wait(self, changed: asyncio.Event, until: datetime) -> None:
        seconds = max(0.0, (until - datetime.now(UTC)).total_seconds())
        try:
            await asyncio.wait_for(changed.wait(), timeout=seconds)
        except TimeoutError:
            return

    async def _stop_the_line(self, why: str) -> None:
        about = self.about
        if about.journal and about.journal_namespace:
            where = (about.kubernetes_conn_id, about.journal_namespace, about.journal)
            await line.stop(*where, by=about.name, why=why, log=self.log)

    async def on_kill(self) -> None:
        """A person marked this task: stop the line, so that the others end too and the train goes back."""
        with line.or_later(self.log):
            if self.about.journal and await marked(self.task_instance):
                await self._stop_the_line(f"the wait for {self.about.title} was ended by a person")

    async def _show_logs(self, workload: Manifest | None, pods: Sequence[Manifest]) -> None:
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
                        self.about.namespace, pod, container, lines=LOG_LINES, previous=previous
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
    :param heed_stop: end when the line is stopped or the mesh is lost (a rollback does not).
    """

    def __init__(self, *, deadline: str, heed_stop: bool = True, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.deadline = deadline
        self.heed_stop = heed_stop

    def _arguments(self) -> dict[str, Any]:
        return {**super()._arguments(), "deadline": self.deadline, "heed_stop": self.heed_stop}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Watch until the core says done or failed."""
        from interlock.clients.scope import ViewEnded

        try:
            event = await self._ending()
        except ViewEnded as ended:
            said = f"{self.about.title}: {ended}. {UNKNOWN}"
            self.log.error("%s", said)
            if self.heed_stop:
                await self._stop_the_line(said)
            event = TaskFailedEvent(xcoms={"rollout": self._failed(said)})
        yield event

    def _failed(self, why: str) -> dict[str, Any]:
        return {"failed": why, "failed_at": datetime.now(UTC).isoformat(), "generation": self.generation}

    async def _ending(self) -> TriggerEvent:
        deadline = datetime.fromisoformat(self.deadline)
        changed = asyncio.Event()
        said = ""
        guard = Guard()
        async with AsyncExitStack() as stack:
            try:
                async with asyncio.timeout(max(0.0, (deadline - datetime.now(UTC)).total_seconds()) + 1.0):
                    views = await watched(self.about, stack, changed)
                    if self.heed_stop:
                        guard = await stack.enter_async_context(guarded(self.about, changed))
            except TimeoutError:
                said = f"{self.about.title}: the Kubernetes API did not answer until the deadline"
                self.log.error("%s", said)
                return TaskFailedEvent(xcoms={"rollout": {"failed": said}})
            while True:
                changed.clear()
                now = datetime.now(UTC)
                seen = views.seen
                state = waiting.rollout(
                    seen.workload,
                    seen.pods,
                    name=self.about.title,
                    generation=self.generation,
                    now=now,
                    deadline=deadline,
                    stopped=seen.stopped if self.heed_stop else None,
                )
                if seen.stopped is None and (lost := guard.lost):
                    state = Failed(lost)
                if state.reason != said:
                    said = state.reason
                    self.log.info("%s", said)
                if isinstance(state, Done):
                    fresh = new_pods(seen.workload, seen.pods) if seen.workload else ()
                    result = {
                        "ready_at": now.isoformat(),
                        "baseline": baseline(fresh),
                        "generation": self.generation,
                        "reason": said,
                    }
                    return TaskSuccessEvent(xcoms={"rollout": result})
                if isinstance(state, Failed):
                    if self.heed_stop and seen.stopped is None:
                        await self._stop_the_line(said)
                    self.log.error("%s", said)
                    await self._show_logs(seen.workload, seen.pods)
                    return TaskFailedEvent(xcoms={"rollout": self._failed(said)})
                await self._wait(changed, deadline)


class SoakTrigger(_WorkloadTrigger):
    """Waits until a release has held for its soak; ends the task.

    It says that a release held only by what it has read directly at the end, never by a view alone: while
    the API server is away, a view shows what was before.

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
        self.look_around: Callable[[], Awaitable[str]] | None = None
        """Looks at what is around the workload, at the end; returns what breaks the soak, if anything."""

    def _arguments(self) -> dict[str, Any]:
        more = {"ready_at": self.ready_at, "seconds": self.seconds, "restarts": self.restarts}
        return {**super()._arguments(), **more}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Watch until the core says held or broken."""
        from interlock.clients.scope import ViewEnded

        try:
            event = await self._ending()
        except ViewEnded as ended:
            said = f"{self.about.title}: {ended}. {UNKNOWN}"
            self.log.error("%s", said)
            await self._stop_the_line(said)
            event = TaskFailedEvent(xcoms={"soak": {"failed": said}})
        yield event

    async def _ending(self) -> TriggerEvent:
        from interlock.clients.kubernetes import KubernetesError

        changed = asyncio.Event()
        said = ""
        async with AsyncExitStack() as stack:
            views = await watched(self.about, stack, changed)
            guard = await stack.enter_async_context(guarded(self.about, changed))
            while True:
                changed.clear()
                seen = views.seen
                state = self._judge(seen)
                if seen.stopped is None and (lost := guard.lost):
                    state = Broken(lost)
                if isinstance(state, Held):
                    around = ""
                    try:
                        if self.look_around is not None:
                            around = await self.look_around()
                        seen = await views.read()
                        around = around or guard.lost
                    except KubernetesError as error:
                        if str(error) != said:
                            said = str(error)
                            self.log.warning("%s: can't tell yet whether it held: %s", self.about.title, said)
                        await self._wait(changed, datetime.now(UTC) + timedelta(seconds=AGAIN_SECONDS))
                        continue
                    state = Broken(around) if around and seen.stopped is None else self._judge(seen)
                if isinstance(state, Held):
                    self.log.info("%s held for %g s", self.about.title, self.seconds)
                    result = {
                        "held": self.seconds,
                        "ready_at": self.ready_at,
                        "generation": self.generation,
                    }
                    return TaskSuccessEvent(xcoms={"soak": result})
                if isinstance(state, Broken):
                    if seen.stopped is None:
                        await self._stop_the_line(state.reason)
                    self.log.error("%s", state.reason)
                    await self._show_logs(seen.workload, seen.pods)
                    return TaskFailedEvent(xcoms={"soak": {"failed": state.reason}})
                self.log.info("%s must hold until %s UTC", self.about.title, f"{state.until:%H:%M:%S}")
                await self._wait(changed, state.until)

    def _judge(self, seen: Seen) -> Soak:
        if seen.stopped is None and not self.still(seen.workload):
            return Broken(f"{self.about.title}: it was changed or taken back since it was promoted")
        return waiting.soak(
            seen.workload,
            seen.pods,
            name=self.about.title,
            generation=self.generation,
            ready_at=datetime.fromisoformat(self.ready_at),
            seconds=self.seconds,
            now=datetime.now(UTC),
            baseline=self.restarts,
            stopped=seen.stopped,
        )
