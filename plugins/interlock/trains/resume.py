"""What a run may still do once some of its tasks were cleared: go on, go back, or neither.

Any task can be cleared at any time, alone or with all that follows. So nothing follows from a task's turn
alone: a run goes on only from where its journal says it is, under the plan that it locked; it goes back only
while its journal is open and its line is stopped; and once its journal is closed it touches nothing.

Pure: nothing is read here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from interlock.manifest import Manifest, ObjectRef
from interlock.trains.change import Change, conflicts, differs, is_written
from interlock.trains.entries import Head, Mutation, ServiceJournal
from interlock.trains.kinds import WORKLOADS
from interlock.trains.outcome import ServiceOutcome
from interlock.trains.rollout import Done, assess

ENDING = ("running", "success", "failed", "up_for_retry", "deferred")
"""States of a task that has begun in this pass."""
ENDED = (("close", "success"), ("close", "failed"))
"""The task that ends a run, once it has come to an end."""


def refusal(
    changes: Iterable[Change],
    journals: Mapping[str, ServiceJournal],
    live: Mapping[ObjectRef, Manifest | None],
) -> str:
    """Why a run can't go on from where its journals and the cluster are; empty if it can.

    Args:
        changes: what the plan is to change, of the services on board.
        journals: what the run did so far, by service; one that never began may be missing.
        live: all objects of `changes` as they are now.
    """
    here = [(change, journals.get(change.service) or ServiceJournal(change.service)) for change in changes]
    spoilt = [f"{j.service} not whole ({j.reason})" for _, j in here if j.outcome == "not-whole"]
    if spoilt:
        return (
            f"this run left {'; '.join(spoilt)}, so it can't go on. "
            "Trigger a new run: its plan starts from what is live"
        )
    if later := [text for change, journal in here if journal.moved for text in _superseded(change, live)]:
        return (
            f"what this run moved was changed since: {'; '.join(later)}. "
            "Trigger a new run: its plan starts from what is live"
        )
    if stale := [text for change, journal in here if not journal.moved for text in differs(change, live)]:
        return f"the plan no longer holds: {'; '.join(stale)}. Clear the task `plan` with all that follows"
    return ""


def stopped_since(head: Head, clear_number: int) -> str:
    """Why a task that is tried again must not open the journal anew; empty if it may.

    Args:
        head: the run's head.
        clear_number: how often the run was cleared by now: a clear starts over, a further try does not.
    """
    if head.closed or head.stop is None or head.clear_number != clear_number:
        return ""
    return (
        f"the line was stopped: {head.stop.why} (by {head.stop.by}). "
        "Clear the task `lock` with all that follows to start over"
    )


def onward(journal: ServiceJournal) -> ServiceJournal:
    """A service's journal as a run that starts over goes on from it."""
    if not journal.moved:
        return ServiceJournal(journal.service)
    # It stayed where it moved to; the run goes on from there.
    return replace(journal, outcome=None, reason="") if journal.outcome == "kept" else journal


def ending(states: Mapping[str, str | None]) -> str:
    """Why nothing may be locked or moved any more in this pass of the run; empty if it may.

    Args:
        states: the states of the run's tasks by task id.
    """
    for task in ("close", "rollback.decide"):
        if (state := states.get(task)) in ENDING:
            done = "this run has ended" if (task, state) in ENDED else f"`{task}` of this run has begun"
            return f"{done}, so nothing moves: clear the task `lock` with all that follows to start over"
    return ""


def too_early(change: Change, states: Mapping[str, str | None]) -> str:
    """Why a service must not move yet; empty if all that it comes after is verified.

    Airflow sees to that by the edges of the DAG. The plan's are those that the run was begun with: a train's
    file may have been changed since, and a task between two services been marked.

    Args:
        change: what the plan changes of it.
        states: the states of the run's tasks by task id.
    """
    early = [name for name in change.after if states.get(f"{name}.verify") != "success"]
    if not early:
        return ""
    return (
        f"by the plan {change.service} comes after {', '.join(early)}, not verified yet: the train's file "
        "was changed meanwhile, or a task was marked"
    )


def held(soak: Mapping[str, object], change: Change, journal: ServiceJournal) -> bool:
    """Whether a soak's record is of what the run wrote last: one of an earlier pass, or none, proves nothing.

    Somebody else may have changed another field since the write, so a later generation proves it as well.

    Args:
        soak: what the wait for the soak left; empty if it left nothing.
        change: what the plan changes of the service.
        journal: what the run did to it.
    """
    written = [m.after_generation for m in journal.mutations if m.ref == change.ref and m.after_generation]
    found = soak.get("generation")
    number = found if isinstance(found, int) else 0
    return "held" in soak and (not written or number >= written[-1])


def failed_tasks(states: Mapping[str, str | None]) -> list[str]:
    """The tasks that failed; only where none did by itself, those that could not run."""
    for state in ("failed", "upstream_failed"):
        if found := [f"task {task}" for task, now in sorted(states.items()) if now == state]:
            return found
    return []


def stays(head: Head | None, journal: ServiceJournal) -> str:
    """Why a service is not taken back now, whoever cleared its rollback; empty if it is to go back."""
    if not any(mutation.moves for mutation in journal.mutations):
        return f"this run changed nothing of {journal.service}"
    if head is None:
        return (
            f"the run's own journal is gone, so {journal.service} does not go back now: clear the task "
            "`rollback.decide` with all that follows"
        )
    if head.closed:
        return (
            f"this run has ended, and {journal.service} stays where it is: the DAG undo_train__{head.train} "
            "takes a finished run back"
        )
    if head.stop is None:
        return (
            f"the line of this run is not stopped, so nothing goes back: mark a task of it failed, or "
            f"`interlock stop {head.run_id}`"
        )
    if journal.outcome == "kept":
        return f"{journal.service} stays: {journal.reason}"
    return ""


def transitions(mutations: Sequence[Mutation]) -> int:
    """The number under which what a run wrote goes back: that of the latest lock it wrote under."""
    return max((mutation.transitions for mutation in mutations), default=0)


def was_whole(mutations: Sequence[Mutation]) -> bool:
    """Whether the workloads that a run changed had complete rollouts before: they will be so again."""
    found = [m.before for m in mutations if m.before is not None and m.ref.kind in WORKLOADS]
    return all(isinstance(assess(before), Done) for before in found)


def recorded(change: Change, journal: ServiceJournal) -> ServiceOutcome:
    """Where a run that has ended left a service, by its journal: what is live may be a later run's."""
    if journal.outcome in ("not-whole", "kept"):
        return ServiceOutcome(change.service, journal.outcome, journal.reason)
    if journal.moved:
        return ServiceOutcome(change.service, "new")
    return ServiceOutcome(change.service, "old" if change.moves else "unchanged")


def _superseded(change: Change, live: Mapping[ObjectRef, Manifest | None]) -> list[str]:
    """What of a service that moved is neither as planned nor, its write not arrived, as before."""
    return [
        str(conflict)
        for step in change.steps
        if not is_written(step, live.get(step.ref))
        for conflict in conflicts(step, live.get(step.ref))
    ]
