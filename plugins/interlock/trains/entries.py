"""What a journal says: the run, each mutation with what was before, and how a service ended.

`interlock.trains.journal` keeps these values in Secrets.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Literal

from interlock.manifest import PREFIX, Manifest, ObjectRef
from interlock.trains.change import FieldWrite
from interlock.trains.fields import FieldPath

MutationState = Literal["intent", "done"]
Outcome = Literal["failed", "rolled-back", "not-whole", "kept"]

CREATED_BY = FieldPath.of("metadata", "annotations", f"{PREFIX}created-by")
"""Which run created an object. The API server gives out uids, so an intent can't hold the one to come."""


@dataclass(frozen=True)
class Stop:
    """Somebody stopped the line: who, why, and when (RFC 3339)."""

    by: str
    why: str
    at: str


@dataclass(frozen=True)
class Head:
    """What one run is about to do.

    Attributes:
        dag_id: the train's DAG.
        run_id: the run.
        train: the train's name.
        environment: the environment's name.
        plan: the plan as JSON.
        opened_at: when the journal was opened, with a time zone.
        closed: whether the run has ended and needs its journal no more.
        stop: the stop flag.
        clear_number: how often the run had been cleared when its journal was opened.
        paused_since: when the watchdog first saw the run's DAG paused (RFC 3339); empty if it isn't.
    """

    dag_id: str
    run_id: str
    train: str
    environment: str
    plan: Mapping[str, object]
    opened_at: datetime
    closed: bool = False
    stop: Stop | None = None
    paused_since: str = ""
    clear_number: int = 0

    @property
    def run(self) -> str:
        """The hash that names the run's Secrets."""
        return run_hash(self.dag_id, self.run_id)


@dataclass(frozen=True)
class Mutation:
    """One change of one object.

    Attributes:
        ref: the object.
        uid: its uid; empty for an object that is being created.
        state: `intent` before the write, `done` once its answer is known.
        transitions: the transitions of the lock under which it is written.
        before: the whole object as it was read; None if this mutation creates it.
        writes: the fields that change; all of them when the object is created or deleted.
        after_generation: metadata.generation in the write's answer; None until then.
        at: when the intent was written, with a time zone.
        try_number: Airflow's try of the task that writes.
        deletes: whether this mutation deletes the object.
    """

    ref: ObjectRef
    uid: str
    state: MutationState
    transitions: int
    before: Manifest | None
    writes: tuple[FieldWrite, ...]
    after_generation: int | None
    at: datetime
    try_number: int
    deletes: bool = False

    @property
    def moves(self) -> bool:
        """Whether it changes anything."""
        return bool(self.writes) or self.before is None or self.deletes

    def done(self, after: Manifest | None) -> Mutation:
        """The same mutation with its outcome: the object as it was written, None once it is deleted."""
        if after is None:
            return replace(self, state="done", after_generation=0)
        return replace(self, state="done", uid=self.uid or after.uid, after_generation=after.generation)


@dataclass(frozen=True)
class ServiceJournal:
    """What a run did to one service, oldest mutation first, and how that ended.

    Attributes:
        service: the service's name.
        mutations: in the order in which they were intended.
        restored: whether a rollback has taken them all back, conflicts apart.
        outcome: None as long as the service is on its way; `kept`: the run failed, and it stays as it moved.
        reason: why it failed, isn't whole or stays.
    """

    service: str
    mutations: tuple[Mutation, ...] = ()
    restored: bool = False
    outcome: Outcome | None = None
    reason: str = ""

    def intend(self, *mutations: Mutation) -> ServiceJournal:
        """The journal with further mutations, which nothing has taken back.

        Mutations that were taken back are forgotten: what they found is no longer what to go back to.
        """
        before = () if self.restored else self.mutations
        return replace(self, mutations=(*before, *mutations), restored=False, outcome=None, reason="")

    def settle(self, after: Mapping[ObjectRef, Manifest | None]) -> ServiceJournal:
        """The journal in which the open intents on these objects are done.

        Raises:
            ValueError: there is none.
        """
        settled = tuple(
            m.done(after[m.ref]) if m.state == "intent" and m.ref in after else m for m in self.mutations
        )
        if settled == self.mutations:
            raise ValueError(f"the journal of {self.service} has no open intent to settle")
        return replace(self, mutations=settled)

    def ended(self, outcome: Outcome, reason: str = "") -> ServiceJournal:
        """The journal with its outcome; `rolled-back` marks it as restored."""
        return replace(
            self, outcome=outcome, reason=reason, restored=self.restored or outcome == "rolled-back"
        )

    def found_whole(self, *, back: bool) -> ServiceJournal:
        """The journal of a service that is whole after all: as before the run, or as planned."""
        return self.ended("rolled-back") if back else replace(self, outcome=None, reason="")

    @property
    def moved(self) -> bool:
        """Whether there is something to take back.

        An intent counts even without an outcome: its write may have arrived, or may still arrive.
        """
        return not self.restored and any(mutation.moves for mutation in self.mutations)


def run_hash(dag_id: str, run_id: str) -> str:
    """Twelve hexadecimal digits that name a run's Secrets."""
    return hashlib.sha256(f"{dag_id}/{run_id}".encode()).hexdigest()[:12]


def head_name(run: str) -> str:
    """The name of a run's head Secret; `run` is its `run_hash`."""
    return f"journal-{run}"


def service_name(run: str, service: str) -> str:
    """The name of the first Secret of a service's journal."""
    return f"journal-{run}-{service}"


def without_head(run: str, services: Iterable[str]) -> str:
    """What is wrong where services have journals and their run's head is gone, and what to do.

    Args:
        run: the run's hash.
        services: whose journals are there.
    """
    return (
        f"HEAD GONE: Secret {head_name(run)} was deleted, and the journals of its run are there for "
        f"{', '.join(services)}. While that run goes on, its task `rollback.decide` takes them back; once it "
        "has ended, see that these services run what they should, then delete the Secrets with the label "
        f"{PREFIX}run={run}"
    )
