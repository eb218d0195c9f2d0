"""The watchdog: what no task of a run can do for it, since the run is deleted, has ended, or stands still."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowFailException

from interlock.project import environments_file, load_trains, train_file
from interlock.runs.run import VERDICT_KEY
from interlock.trains.entries import without_head
from interlock.trains.lock import holder_in
from interlock.trains.model import Environment, load_environments

if TYPE_CHECKING:
    from interlock.clients.abandoned import Found
    from interlock.clients.kubernetes import KubernetesClient
    from interlock.trains.entries import Head

LIVE = ("queued", "running")
T = TypeVar("T")


class WatchdogOperator(BaseOperator):
    """Looks for open journals that no task of their run will close.

    What a run has moved that was deleted, or has ended, is taken back and recorded as evidence. A run whose
    DAG is paused, or whose train's file is gone or doesn't load, is named: it goes neither on nor back until
    somebody mends that. Journals of runs that closed long ago are removed.

    Fails if something could not be taken back whole, or a run stands still, so that people see it.

    :param old: from which age on an open run is named in the log; nothing is done to it.
    """

    def __init__(self, *, old: timedelta = timedelta(hours=24), **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.old = old

    def execute(self, context: Any) -> None:
        """Every environment; what goes wrong in one doesn't keep the others waiting."""
        environments = load_environments(environments_file())
        # What runs left in an environment that can't be used waits until its entry is right.
        problems = [str(problem) for problem in environments.problems]
        names = environments.names
        broken = load_trains(names).broken
        for train, why in broken.items():
            self.log.warning("train %s: its file does not load: %s", train, why)
        for environment in environments.values():
            try:
                problems += self._watch(environment, context, broken, names or ())
            except Exception as error:
                self.log.exception("environment %s", environment.name)
                problems.append(f"{environment.name}: {error}")
        if problems:
            context["ti"].xcom_push(key=VERDICT_KEY, value="\n".join(problems))
            raise AirflowFailException("\n".join(problems))

    def _watch(
        self, environment: Environment, context: Any, broken: Mapping[str, str], known: tuple[str, ...]
    ) -> list[str]:
        from interlock.clients.abandoned import look

        ti, now = context["ti"], datetime.now(UTC)
        found = _asked(environment, lambda client: look(client, environment, known, now))
        self.log.info(
            "%s: open journals: %d, holders of locks: %d",
            environment.name,
            len(found.heads),
            len(found.holders),
        )
        problems = [f"{environment.name}: {why}" for why in found.unreadable]
        problems += [
            f"{head.dag_id}/{head.run_id}: its journal is open, and {environments_file()} has no environment "
            f"{head.environment} any more: put it back, so that the run can end"
            for head in found.strays
        ]
        problems += [
            f"{environment.name}: {without_head(run, services)}" for run, services in found.headless.items()
        ]
        problems += [
            f"{head.dag_id}/{head.run_id}: Airflow shows it as success, though it did not end all new: "
            "somebody marked its `close`. Mark the run as failed; its journal says how it ended"
            for head in found.gone_back
            if state_of(ti, head.dag_id, head.run_id) == "success"
        ]
        for head in found.heads:
            try:
                problems += self._look_at(environment, context, head, broken)
            except Exception as error:
                # The others are not to wait for it.
                self.log.exception("%s/%s", head.dag_id, head.run_id)
                problems.append(f"{head.dag_id}/{head.run_id}: {error}")
        self._release(environment, ti, found)
        try:
            self._remove_old(environment)
        except Exception as error:
            self.log.exception("old journals of %s stay", environment.name)
            problems.append(f"{environment.name}: old journals stay: {error}")
        return problems

    def _look_at(
        self, environment: Environment, context: Any, head: Head, broken: Mapping[str, str]
    ) -> list[str]:
        ti = context["ti"]
        state = state_of(ti, head.dag_id, head.run_id)
        if state in LIVE:
            return self._look_at_live(environment, ti, head, state, broken)
        why = f"the run {'was deleted' if state is None else f'ended as {state}'} with its journal open"
        problems = self._end(environment, context, head, why)
        if state == "success":
            # Whoever looks at the run alone sees green.
            problems.append(
                f"{head.dag_id}/{head.run_id}: Airflow shows it as success, though its `close` never ended "
                "it; it was taken back"
            )
        return problems

    def _look_at_live(
        self, environment: Environment, ti: Any, head: Head, state: str, broken: Mapping[str, str]
    ) -> list[str]:
        from interlock.clients.abandoned import note_paused

        name = f"{head.dag_id}/{head.run_id}"
        path = train_file(head.train)
        if head.train in broken or not path.exists():
            wrong = f"does not load: {broken[head.train]}" if path.exists() else f"{path} is gone"
            return [
                f"{name}: its file {wrong}. Its DAG is no longer scheduled and its journal is open, so what "
                f"it moved goes neither on nor back. Mend {path.name}, or put it back; to take the train "
                "back, then mark the run as failed"
            ]
        paused, now = bool(ti.get_dag(head.dag_id).is_paused), datetime.now(UTC)
        since = _asked(environment, lambda client: note_paused(client, environment, head, paused, now))
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
        from interlock.clients.abandoned import close_run, end_run
        from interlock.clients.journal import Reopened

        name = f"{head.dag_id}/{head.run_id}"
        self.log.warning("%s: %s", name, why)
        began = datetime.now(UTC)
        done = _asked(environment, lambda client: end_run(client, environment, head, why, began))
        for line in done.did:
            self.log.info("%s: %s", name, line)
        if done.failed:
            # Its journal stays open: the next look tries again.
            return [f"{name}: {service} did not go back: {text}" for service, text in done.failed.items()]
        self._tell(environment, context, head, done.statement(head, why))
        now = datetime.now(UTC)
        try:
            closed = _asked(environment, lambda client: close_run(client, environment, head, done, now))
        except Reopened as reopened:
            self.log.info("%s: %s", name, reopened)
            return []
        for line in closed:
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
        from interlock.clients.abandoned import release_left, run_of

        ended = [
            holder
            for holder in found.holders
            if (run := run_of(holder)) is not None and state_of(ti, *run) not in LIVE
        ]
        leases = [lease for lease in found.leases if holder_in(lease) in ended]
        if not leases:
            return
        now = datetime.now(UTC)
        for line in _asked(environment, lambda client: release_left(client, environment, leases, now)):
            self.log.warning("released %s, whose run has ended", line)

    def _remove_old(self, environment: Environment) -> None:
        from interlock.clients.old_journals import remove_old
        from interlock.hooks.settings import settings

        keep, now = settings().journals_kept, datetime.now(UTC)
        where = environment.journal_namespace
        for name in _asked(environment, lambda client: remove_old(client, where, now, keep)):
            self.log.info("removed %s, which was closed more than %d days ago", name, keep.days)


def state_of(ti: Any, dag_id: str, run_id: str) -> str | None:
    """A run's state; None if it is deleted.

    Counting first tells a deleted run from an Airflow that doesn't answer, which raises.
    """
    if ti.get_dr_count(dag_id=dag_id, run_ids=[run_id]) == 0:
        return None
    state = ti.get_dagrun_state(dag_id, run_id)
    return str(getattr(state, "value", state))


def _asked(environment: Environment, question: Callable[[KubernetesClient], Coroutine[Any, Any, T]]) -> T:
    """The answer of a client's function about an environment."""
    from interlock.hooks.kubernetes import InterlockKubernetesHook

    async def ask() -> T:
        async with InterlockKubernetesHook(environment.kubernetes).get_conn() as client:
            return await question(client)

    return asyncio.run(ask())
