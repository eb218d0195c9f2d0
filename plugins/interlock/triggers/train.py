"""The wait for the locks of a train: holds none of them while it waits, says on whom, ends the task."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

from airflow.sdk.exceptions import AirflowFailException
from airflow.triggers.base import BaseTrigger, TaskFailedEvent, TaskSuccessEvent, TriggerEvent

AGAIN_SECONDS = 30.0
"""A look at the locks even without a change seen, in case a watch lags."""


class LockTrigger(BaseTrigger):
    """Takes all locks of a run as soon as they are free.

    :param train: the train's name.
    :param dag_id: the run's DAG.
    :param run_id: the run.
    :param plan: the run's plan, as JSON.
    :param since: since when the run waits, ISO 8601.
    """

    def __init__(self, *, train: str, dag_id: str, run_id: str, plan: dict[str, Any], since: str) -> None:
        super().__init__()
        self.train = train
        self.dag_id = dag_id
        self.run_id = run_id
        self.plan = plan
        self.since = since

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """The class and exactly the constructor's arguments."""
        names = ("train", "dag_id", "run_id", "plan", "since")
        arguments = {name: getattr(self, name) for name in names}
        return f"{type(self).__module__}.{type(self).__qualname__}", arguments

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Try at each change of a lock."""
        from interlock.clients.locks import API, LABELS
        from interlock.clients.watch import Scope, shared
        from interlock.hooks.kubernetes import InterlockKubernetesHook
        from interlock.notifications.waits import LongWait
        from interlock.operators.run import LOCKED_KEY, WAITED_KEY, Run, locked
        from interlock.operators.train import lock_and_open
        from interlock.trains.lock import HeldBy

        run = await asyncio.to_thread(Run.planned, self.plan, self.dag_id, self.run_id)
        where = run.environment
        connect = InterlockKubernetesHook(where.kubernetes).get_conn_async
        scope = Scope(where.kubernetes, *API, where.journal_namespace, labels=LABELS)
        changed = asyncio.Event()
        said = ""
        wait = LongWait(self.dag_id, self.run_id, datetime.fromisoformat(self.since))
        async with shared(scope, connect) as leases, await connect() as client:
            with leases.waking(changed, f"{where.namespace}."):
                while True:
                    changed.clear()
                    try:
                        taken = await lock_and_open(run, client, datetime.now(UTC))
                    except AirflowFailException as refused:
                        self.log.error("%s", refused)
                        yield TaskFailedEvent()
                        return
                    if not isinstance(taken, HeldBy):
                        break
                    if str(taken) != said:
                        said = str(taken)
                        self.log.info("waiting: %s", said)
                    await wait.look(said, datetime.now(UTC), self.log)
                    try:
                        await asyncio.wait_for(changed.wait(), AGAIN_SECONDS)
                    except TimeoutError:
                        continue
        self.log.info("locked %s", ", ".join(f"{name} ({number})" for name, number in taken.items()))
        waited = wait.seconds(datetime.now(UTC))
        yield TaskSuccessEvent(xcoms={LOCKED_KEY: locked(run.needs_plan(), taken), WAITED_KEY: waited})
