"""The tasks of a service that need no worker: they start and end in the triggerer.

`preflight` and `verify` only look. What they have to know of their run they read as a worker would, in a
thread, so that the triggerer's loop goes on.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowFailException
from airflow.triggers.base import (
    BaseTrigger,
    TaskFailedEvent,
    TaskSkippedEvent,
    TaskSuccessEvent,
    TriggerEvent,
)

from interlock.runs import line
from interlock.trains.change import as_written, differs
from interlock.triggers.kills import marked
from interlock.triggers.kubernetes import SoakTrigger
from interlock.triggers.views import watched

if TYPE_CHECKING:
    from interlock.manifest import Manifest, ObjectRef
    from interlock.runs.run import Run
    from interlock.trains.change import Change


AGAIN_SECONDS = 1.0


class _ServiceTrigger(BaseTrigger):
    """What looks at one service of a train.

    :param train: the train's name.
    :param service: the service's name.
    :param undo: whether the run takes a former one back.
    """

    def __init__(self, *, train: str, service: str, undo: bool = False) -> None:
        super().__init__()
        self.train = train
        self.service = service
        self.undo = undo

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """The class and exactly the constructor's arguments."""
        arguments = {"train": self.train, "service": self.service, "undo": self.undo}
        return f"{type(self).__module__}.{type(self).__qualname__}", arguments

    def _run(self) -> Run:
        from interlock.runs.run import Run

        run = Run.of(self.train, {"ti": self.task_instance, "params": {}}, undo=self.undo)
        run.needs_plan()
        return run

    @property
    def _try(self) -> dict[str, Any]:
        return {"try_number": self.task_instance.try_number}

    def _begin(self, key: str) -> Run:
        # Airflow wipes what a worker's task pushed when it begins anew, but not what a trigger pushed. A
        # trigger's task instance can pull and not push.
        from airflow.sdk.execution_time.xcom import XCom

        ti = self.task_instance
        XCom.set(key=key, value=self._try, dag_id=ti.dag_id, task_id=ti.task_id, run_id=ti.run_id)
        return self._locked()

    def _locked(self) -> Run:
        run = self._run()
        run.needs_lock(self.task_instance)
        return run

    async def _elsewhere(self, run: Run, change: Change) -> dict[ObjectRef, Manifest | None]:
        """The objects of the service's release that no view shows."""
        from interlock.hooks.kubernetes import InterlockKubernetesHook

        refs = [ref for ref in change.refs if ref != change.ref]
        if not refs:
            return {}
        async with await InterlockKubernetesHook(run.environment.kubernetes).get_conn_async() as client:
            return await client.get_all(refs)

    async def _in_the_mesh(self, run: Run) -> str:
        """What the mesh gate has against the service as it runs now; empty if nothing.

        Raises:
            KubernetesError: the API server is away; whoever waits asks again.
        """
        from interlock.clients.istio import refusals
        from interlock.hooks.kubernetes import InterlockKubernetesHook

        if run.environment.mesh is None:
            return ""
        async with await InterlockKubernetesHook(run.environment.kubernetes).get_conn_async() as client:
            asked = refusals(client, run.environment, run.train, [self.service], wait_out=True)
            return "; ".join(await asked)

    async def _elsewhere_in_time(self, run: Run, change: Change) -> dict[ObjectRef, Manifest | None]:
        """The same, once the API server answers; the task's own limit ends the asking."""
        from interlock.clients.kubernetes import KubernetesError

        while True:
            try:
                return await self._elsewhere(run, change)
            except KubernetesError as error:
                self.log.info("%s; asking again", error)
                await asyncio.sleep(AGAIN_SECONDS)

    async def _stop(self, run: Run, why: str) -> None:
        where = (run.environment.kubernetes, run.environment.journal_namespace, run.head)
        await line.stop(*where, by=self.service, why=why, log=self.log)

    async def on_kill(self) -> None:
        """A person marked this task: stop the line, so that the others end too and the train goes back."""
        with line.or_later(self.log):
            if await marked(self.task_instance):
                run = await asyncio.to_thread(self._run)
                await self._stop(run, f"a task of {self.service} was ended by a person")


class PreflightTrigger(_ServiceTrigger):
    """Looks whether a service is still as the plan saw it; ends the task.

    It pushes ``preflight``: ``at`` (RFC 3339), ``try_number``, and ``failed`` with the reason if it isn't.
    """

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look once."""
        from interlock.clients.kubernetes import KubernetesError

        try:
            run = await asyncio.to_thread(self._begin, "preflight")
            if run.needs_plan().change(self.service) is None:
                self.log.info("%s is not on board", self.service)
                yield TaskSkippedEvent()
                return
            try:
                problem = await self._problem(run, run.change(self.service))
            except KubernetesError as error:
                problem = f"{self.service}: {error}"
        except AirflowFailException as refused:
            self.log.error("%s", refused)
            yield TaskFailedEvent(xcoms=self._found(str(refused)))
            return
        if problem:
            self.log.error("%s", problem)
            await self._stop(run, problem)
            yield TaskFailedEvent(xcoms=self._found(problem))
            return
        yield TaskSuccessEvent(xcoms=self._found(""))

    async def _problem(self, run: Run, change: Change) -> str:
        if not change.moves:
            self.log.info("%s is live already: nothing to do", self.service)
            return ""
        from interlock.clients.scope import ViewEnded

        async with AsyncExitStack() as stack:
            try:
                views = await watched(run.wait_for(self.service), stack, asyncio.Event())
                elsewhere = await self._elsewhere_in_time(run, change)
                seen = views.seen
            except ViewEnded as ended:
                return f"{self.service}: {ended}"
            if seen.stopped is not None:
                return f"the line was stopped: {seen.stopped}"
            live = {**elsewhere, change.ref: seen.workload}
        found = differs(change, live)
        if not found:
            self.log.info("%s is as the plan saw it", self.service)
            return ""
        if await self._moved(run):
            self.log.info("%s was moved by this run already", self.service)
            return ""
        return (
            f"{self.service} is not as the plan saw it: {'; '.join(found)}. "
            "Clear the task `plan` with all that follows"
        )

    async def _moved(self, run: Run) -> bool:
        from interlock.clients.journal import JournalStore
        from interlock.hooks.kubernetes import InterlockKubernetesHook

        async with await InterlockKubernetesHook(run.environment.kubernetes).get_conn_async() as client:
            store = JournalStore(client, run.environment.journal_namespace)
            return (await store.service(run.hash, self.service)).journal.moved

    def _found(self, failed: str) -> dict[str, Any]:
        found = {"at": datetime.now(UTC).isoformat(), **({"failed": failed} if failed else {})}
        return {"preflight": {**found, **self._try}}


class VerifyTrigger(_ServiceTrigger):
    """Waits until what a train promoted has held for its soak; ends the task.

    It pushes ``soak`` as `SoakTrigger` does, with ``ready_at`` and ``try_number`` in any case.
    """

    _soak: SoakTrigger | None = None

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Find out since when it holds, then watch it."""
        try:
            run, rollout = await asyncio.to_thread(self._promoted)
            change = run.change(self.service)
        except AirflowFailException as refused:
            self.log.error("%s", refused)
            yield TaskFailedEvent(xcoms={"soak": {"failed": str(refused), **self._try}})
            return
        if not change.moves:
            self.log.info("%s was live before this train: nothing to verify", self.service)
            yield TaskSuccessEvent(xcoms={"soak": self._try})
            return
        elsewhere = await self._elsewhere_in_time(run, change)
        self._soak = SoakTrigger(
            ready_at=rollout["ready_at"],
            seconds=run.train.service(self.service).soak.total_seconds(),
            restarts=rollout["baseline"],
            generation=rollout["generation"],
            **run.wait_for(self.service).arguments,
        )

        async def look_around() -> str:
            elsewhere.update(await self._elsewhere(run, change))
            return await self._in_the_mesh(run)

        self._soak.look_around = look_around
        self._soak.still = lambda live: as_written(change, {**elsewhere, change.ref: live})
        async for event in self._soak.run():
            if isinstance(event, TaskSuccessEvent | TaskFailedEvent):
                found = (event.xcoms or {})["soak"]
                event.xcoms = {"soak": {"ready_at": rollout["ready_at"], **found, **self._try}}
            yield event

    def _promoted(self) -> tuple[Run, dict[str, Any]]:
        from interlock.runs.run import ROLLOUT_KEY, pulled

        run = self._begin("soak")
        rollout = pulled(self.task_instance, f"{self.service}.promote", ROLLOUT_KEY)
        if run.change(self.service).moves and "ready_at" not in rollout:
            raise AirflowFailException(
                f"{self.service} was not promoted: clear the task `{self.service}.promote`"
            )
        return run, rollout
