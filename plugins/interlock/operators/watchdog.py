"""The watchdog: what no task of a run can do for it, since the run is deleted, has ended, or stands still."""

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
    """Looks for open journals that no task of their run will close.

    What a run has moved that was deleted, or has ended, is taken back and recorded as evidence. A run whose
    DAG is paused is named: it goes neither on nor back until somebody unpauses it. Journals of runs that
    closed long ago are removed.

    Fails if something could not be taken back whole, or a DAG is paused, so that people see it.

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
                problems += self._watch(environment, context)
            except Exception as error:
                self.log.exception("environment %s", environment.name)
                problems.append(f"{environment.name}: {error}")
        if problems:
            raise AirflowFailException("\n".join(problems))

    def _watch(self, environment: Environment, context: Any) -> list[str]:
        ti = context["ti"]
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
                problems += self._look_at_live(environment, ti, head, state)
                continue
            why = f"the run {'was deleted' if state is None else f'ended as {state}'} with its journal open"
            problems += self._end(environment, context, head, why)
        self._release(environment, ti, found)
        try:
            self._remove_old(environment)
        except Exception as error:
            self.log.exception("old journals of %s stay", environment.name)
            problems.append(f"{environment.name}: old journals stay: {error}")
        return problems

    def _look_at_live(self, environment: Environment, ti: Any, head: Head, state: str) -> list[str]:
        name = f"{head.dag_id}/{head.run_id}"
        paused = bool(ti.get_dag(head.dag_id).is_paused)
        since = asyncio.run(_note_paused(environment, head, paused))
        if since:
            return [
                f"{name}: its DAG is paused (seen since {since}) and its journal is open, so what it moved "
                f"goes neither on nor back. Unpause {head.dag_id}; to take the train back, then mark the "
                "run as failed"
            ]
        age = datetime.now(UTC) - head.opened_at
        if age > self.old:
            self.log.warning("%s is %s, its journal open for %s", name, state, age)
        return []

    def _end(self, environment: Environment, context: Any, head: Head, why: str) -> list[str]:
        name = f"{head.dag_id}/{head.run_id}"
        self.log.warning("%s: %s", name, why)
        done = asyncio.run(_end(environment, head, why))
        for line in done.did:
            self.log.info("%s: %s", name, line)
        self._tell(environment, context, head, done.statement(head, why))
        for line in asyncio.run(_close(environment, head, whole=not done.not_whole)):
            self.log.info("%s: %s", name, line)
        return [f"{name}: not whole: {service}: {reason}" for service, reason in done.not_whole.items()]

    def _tell(self, environment: Environment, context: Any, head: Head, said: dict[str, object]) -> None:
        """Record what was done, as a statement about the run that was ended."""
        from interlock.evidence.statement import Run
        from interlock.operators.evidence import Said, record, without_evidence

        with without_evidence(f"the end of {head.dag_id}/{head.run_id} is without evidence", self.log):
            [recorded] = record(
                context,
                [Said("rollback", said)],
                at=datetime.now(UTC),
                run=Run(head.dag_id, head.run_id),
                evidence_conn_id=environment.store,
                vault_conn_id=environment.vault,
            )
            self.log.info("evidence: rollback statement %s in the %s", recorded.digest, recorded.where)

    def _release(self, environment: Environment, ti: Any, found: Found) -> None:
        from interlock.clients.abandoned import run_of

        ended = []
        for holder in found.holders:
            run = run_of(holder)
            if run is not None and state_of(ti, *run) not in LIVE:
                ended.append(holder)
        for line in asyncio.run(_release(environment, ended)) if ended else ():
            self.log.warning("released %s, whose run has ended", line)

    def _remove_old(self, environment: Environment) -> None:
        from interlock.hooks.settings import settings

        keep = settings().journals_kept
        for name in asyncio.run(_remove_old(environment, keep)):
            self.log.info("removed %s, which was closed more than %d days ago", name, keep.days)


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


async def _close(environment: Environment, head: Head, *, whole: bool) -> list[str]:
    from interlock.clients.abandoned import close_run

    async with _client(environment) as client:
        return await close_run(client, environment, head, datetime.now(UTC), whole=whole)


async def _note_paused(environment: Environment, head: Head, paused: bool) -> str:
    from interlock.clients.abandoned import note_paused

    async with _client(environment) as client:
        return await note_paused(client, environment, head, paused, datetime.now(UTC))


async def _remove_old(environment: Environment, keep: timedelta) -> list[str]:
    from interlock.clients.old_journals import remove_old

    async with _client(environment) as client:
        return await remove_old(client, environment.journal_namespace, datetime.now(UTC), keep)
