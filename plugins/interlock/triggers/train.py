"""The wait for the locks of a train: holds none of them while it waits, says on whom, ends the task."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowFailException
from airflow.triggers.base import BaseTrigger, TaskFailedEvent, TaskSuccessEvent, TriggerEvent

if TYPE_CHECKING:
    from interlock.clients.kubernetes import KubernetesClient, KubernetesError
    from interlock.runs.run import Run
    from interlock.trains.lock import HeldBy

AGAIN_SECONDS = 30.0
"""A look at the locks even without a change seen, in case a watch lags."""


class LockTrigger(BaseTrigger):
    """Takes all locks of a run as soon as they are free.

    :param train: the train's name.
    :param dag_id: the run's DAG.
    :param run_id: the run.
    :param plan: the run's plan, as JSON.
    :param clear_number: how often the run was cleared.
    :param since: since when the run waits, ISO 8601.
    """

    def __init__(
        self,
        *,
        train: str,
        dag_id: str,
        run_id: str,
        plan: dict[str, Any],
        since: str,
        clear_number: int = 0,
    ) -> None:
        super().__init__()
        self.train = train
        self.dag_id = dag_id
        self.run_id = run_id
        self.plan = plan
        self.since = since
        self.clear_number = clear_number

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """The class and exactly the constructor's arguments."""
        names = ("train", "dag_id", "run_id", "plan", "since", "clear_number")
        arguments = {name: getattr(self, name) for name in names}
        return f"{type(self).__module__}.{type(self).__qualname__}", arguments

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Try at each change of a lock."""
        from interlock.clients.kubernetes import KubernetesError
        from interlock.clients.scope import ViewEnded
        from interlock.runs.run import Run

        run = await asyncio.to_thread(Run.planned, self.plan, self.dag_id, self.run_id, self.clear_number)
        try:
            event = await self._ending(run)
        except (AirflowFailException, KubernetesError, ViewEnded) as refused:
            self.log.error("%s", refused)
            event = TaskFailedEvent()
        except asyncio.CancelledError:
            # Giving them back here could take them from this run's next try, which finds them as its own.
            self.log.warning(
                "the wait was stopped: locks that %s holds by now stay its own; "
                "its task `lock` finds them when it runs again, its `close` or the watchdog releases them",
                run.holder,
            )
            raise
        yield event

    async def _ending(self, run: Run) -> TriggerEvent:
        from interlock.clients.locks import API, LABELS
        from interlock.clients.scope import Scope
        from interlock.clients.watch import shared
        from interlock.hooks.kubernetes import InterlockKubernetesHook
        from interlock.notifications.waits import LongWait
        from interlock.runs.run import LOCKED_KEY, WAITED_KEY, locked
        from interlock.trains.lock import HeldBy, lease_name

        where = run.environment
        connect = InterlockKubernetesHook(where.kubernetes).get_conn_async
        scope = Scope(where.kubernetes, *API, where.journal_namespace, labels=LABELS)
        names = [lease_name(where.namespace, change.service) for change in run.needs_plan().changes]
        changed = asyncio.Event()
        said = ""
        wait = LongWait(self.dag_id, self.run_id, datetime.fromisoformat(self.since))
        async with shared(scope, connect) as leases, await connect() as client:
            with leases.waking(changed, *names):
                while True:
                    changed.clear()
                    taken = await self._tried(run, client)
                    if isinstance(taken, dict):
                        break
                    if str(taken) != said:
                        said = str(taken)
                        self.log.info("waiting: %s", said)
                    if isinstance(taken, HeldBy):
                        await wait.look(said, datetime.now(UTC), self.log)
                    with suppress(TimeoutError):
                        await asyncio.wait_for(changed.wait(), AGAIN_SECONDS)
                    leases.check()
        self.log.info("locked %s", ", ".join(f"{name} ({number})" for name, number in taken.items()))
        waited = wait.seconds(datetime.now(UTC))
        return TaskSuccessEvent(xcoms={LOCKED_KEY: locked(run.needs_plan(), taken), WAITED_KEY: waited})

    async def _tried(self, run: Run, client: KubernetesClient) -> dict[str, int] | HeldBy | KubernetesError:
        """The locks; or who holds one of them; or, while the API server is away, what it lacks."""
        from interlock.clients.kubernetes import Conflict, KubernetesError
        from interlock.runs.lock import lock_and_open

        try:
            return await lock_and_open(run, client, datetime.now(UTC))
        except KubernetesError as error:
            if isinstance(error, Conflict) or error.passing:
                return error
            raise
