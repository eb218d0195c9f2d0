"""The watchdog: what no task of a run can do for it, since the run is deleted or has ended."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowFailException

from interlock.project import environments_file
from interlock.trains.model import Environment, load_environments

if TYPE_CHECKING:
    from interlock.clients.abandoned import Ended, Found
    from interlock.clients.kubernetes import KubernetesClient
    from interlock.trains.entries import Head

LIVE = ("queued", "running")


class WatchdogOperator(BaseOperator):
    """Looks for open journals without a live run, and takes back what those runs moved.

    Fails if something could not be taken back whole, so that people see it; that run is ended nevertheless.

    :param old: from which age on an open run is named in the log; nothing is done to it.
    """

    def __init__(self, *, old: timedelta = timedelta(hours=24), **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.old = old

    def execute(self, context: Any) -> None:
        """Every environment; what goes wrong in one doesn't keep the others waiting."""
        problems: list[str] = []
        for environment in load_environments(environments_file()).values():
            try:
                problems += self._watch(environment, context["ti"])
            except Exception as error:
                self.log.exception("environment %s", environment.name)
                problems.append(f"{environment.name}: {error}")
        if problems:
            raise AirflowFailException("\n".join(problems))

    def _watch(self, environment: Environment, ti: Any) -> list[str]:
        found = asyncio.run(_look(environment))
        self.log.info(
            "%s: open journals: %d, holders of locks: %d",
            environment.name,
            len(found.heads),
            len(found.holders),
        )
        problems = []
        for head in found.heads:
            state = state_of(ti, head.dag_id, head.run_id)
            if state in LIVE:
                self._name_old(head, state)
                continue
            why = f"the run {'was deleted' if state is None else f'ended as {state}'} with its journal open"
            self.log.warning("%s/%s: %s", head.dag_id, head.run_id, why)
            done = asyncio.run(_end(environment, head, why))
            for line in done.did:
                self.log.info("%s/%s: %s", head.dag_id, head.run_id, line)
            problems += [f"{head.dag_id}/{head.run_id}: not whole: {line}" for line in done.not_whole]
        self._release(environment, ti, found)
        return problems

    def _release(self, environment: Environment, ti: Any, found: Found) -> None:
        from interlock.clients.abandoned import run_of

        ended = []
        for holder in found.holders:
            run = run_of(holder)
            if run is not None and state_of(ti, *run) not in LIVE:
                ended.append(holder)
        for line in asyncio.run(_release(environment, ended)) if ended else ():
            self.log.warning("released %s, whose run has ended", line)

    def _name_old(self, head: Head, state: str) -> None:
        age = datetime.now(UTC) - head.opened_at
        if age > self.old:
            self.log.warning(
                "%s/%s is %s, its journal open for %s: is its DAG paused?",
                head.dag_id,
                head.run_id,
                state,
                age,
            )


def state_of(ti: Any, dag_id: str, run_id: str) -> str | None:
    """A run's state; None if it is deleted.

    Counting first tells a deleted run from an Airflow that doesn't answer, which raises.
    """
    if ti.get_dr_count(dag_id=dag_id, run_ids=[run_id]) == 0:
        return None
    state = ti.get_dagrun_state(dag_id, run_id)
    return str(getattr(state, "value", state))


def _client(environment: Environment) -> KubernetesClient:
    from interlock.hooks.kubernetes import InterlockKubernetesHook

    return InterlockKubernetesHook(environment.kubernetes).get_conn()


async def _look(environment: Environment) -> Found:
    from interlock.clients.abandoned import look

    async with _client(environment) as client:
        return await look(client, environment)


async def _end(environment: Environment, head: Head, why: str) -> Ended:
    from interlock.clients.abandoned import end_run

    async with _client(environment) as client:
        return await end_run(client, environment, head, why, datetime.now(UTC))


async def _release(environment: Environment, holders: list[str]) -> list[str]:
    from interlock.clients.abandoned import release_left

    async with _client(environment) as client:
        return await release_left(client, environment, holders, datetime.now(UTC))
