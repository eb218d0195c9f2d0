"""How a run ended: each service new, old, unchanged or not whole, and the run by its services.

The world decides: the live fields are compared with what the run wrote and with what was before. A
service is whole when all of its fields are as planned (`new`) or all as before (`old`) and its rollout is
complete. A service whose release was live already (`unchanged`) counts as both. One that is new and
stays although the run failed (`kept`, an irreversible release) is whole by itself, but its run isn't.
Anything else is not whole, and the reason names it.

Pure: nothing is read here.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from interlock.manifest import Manifest, ObjectRef
from interlock.trains.change import Change, FieldConflict, ObjectConflict, no_longer, value_of
from interlock.trains.entries import Head, ServiceJournal
from interlock.trains.fields import same
from interlock.trains.kinds import WORKLOADS
from interlock.trains.plan import Plan
from interlock.trains.rollout import Done, RolloutState, Waiting, assess

ServiceState = Literal["new", "old", "unchanged", "kept", "not-whole"]
RunState = Literal["all-new", "all-old", "not-whole"]


@dataclass(frozen=True)
class ServiceOutcome:
    """Where one service is.

    Attributes:
        service: the service.
        state: where it is.
        reason: why it isn't whole, or why it stays.
        settling: whether it isn't whole only because a rollout goes on, which may be over in a moment.
    """

    service: str
    state: ServiceState
    reason: str = ""
    settling: bool = field(default=False, compare=False)

    def __str__(self) -> str:
        """Name the service and where it is."""
        text = f"{self.service} is {self.state.replace('-', ' ')}"
        return f"{text}: {self.reason}" if self.reason else text


@dataclass(frozen=True)
class RunOutcome:
    """Where a run left its services.

    Attributes:
        state: the verdict on all services.
        services: each service, in the order given.
        text: the verdict and each service in words.
        succeeded: whether the run did what it was to do: all new, and nothing failed.
    """

    state: RunState
    services: tuple[ServiceOutcome, ...]
    text: str
    succeeded: bool


def judge(
    change: Change, journal: ServiceJournal | None, live: Mapping[ObjectRef, Manifest | None]
) -> ServiceOutcome:
    """Judge one service.

    Args:
        change: what the plan was to change of it.
        journal: what the run did to it; None if it never began.
        live: its objects as they are now; None for one that isn't there.
    """
    mutations = [m for m in journal.mutations if m.moves] if journal else []
    if not change.moves and not mutations:
        lost = "; ".join(map(str, no_longer(change, live)))
        return ServiceOutcome(change.service, "not-whole" if lost else "unchanged", lost)
    # By field: what was there before the run first wrote it, and what the run wrote last.
    fields = {(step.ref, w.path): (w.before, w.after) for step in change.steps for w in step.writes}
    first_seen = {(m.ref, w.path): w.before for m in reversed(mutations) for w in m.writes}
    fields |= {(m.ref, w.path): (first_seen[m.ref, w.path], w.after) for m in mutations for w in m.writes}
    created = {step.ref for step in change.steps if step.action == "create"}
    created |= {m.ref for m in mutations if m.before is None}
    deleted = {step.ref for step in change.steps if step.action == "delete"}
    deleted |= {m.ref for m in mutations if m.deletes}

    uids = {m.ref: m.uid for m in mutations if m.uid and m.ref not in deleted}
    reasons = _gone({*change.refs, *uids} - deleted, uids, created, live)
    if reasons:
        return ServiceOutcome(change.service, "not-whole", "; ".join(reasons))
    at_new = [str(ref) for ref in _sorted(created | deleted) if (live.get(ref) is None) is (ref in deleted)]
    at_old = [str(ref) for ref in _sorted(created | deleted) if str(ref) not in at_new]
    for (ref, path), (before, after) in fields.items():
        found = value_of(live.get(ref), path)
        where = f"{ref} {path}"
        if same(found, after):
            at_new.append(where)
        elif same(found, before):
            at_old.append(where)
        else:
            reasons.append(str(FieldConflict(ref, path, after, found)))
    if at_new and at_old:
        reasons.append(f"new is {', '.join(at_new)}; old is {', '.join(at_old)}")
    unfinished: list[RolloutState] = []
    if not reasons and mutations:
        were = {m.ref: m.before for m in reversed(mutations)}
        for ref, before_run in were.items():
            state = _rollout(live.get(ref))
            # A service that was in trouble before the run is as before when it is so again.
            if not isinstance(state, Done) and (at_new or isinstance(_rollout(before_run), Done)):
                unfinished.append(state)
    reasons += [state.reason for state in unfinished]
    settling = bool(unfinished) and all(isinstance(state, Waiting) for state in unfinished)
    if reasons:
        return ServiceOutcome(change.service, "not-whole", "; ".join(reasons), settling)
    if at_new and not mutations:
        return ServiceOutcome(
            change.service,
            "not-whole",
            f"{', '.join(at_new)} as planned, though this run's journal does not say that it moved: that "
            "journal was deleted, or somebody else moved it. It was not taken back",
        )
    if at_new and journal is not None and journal.outcome == "kept":
        return ServiceOutcome(change.service, "kept", journal.reason)
    return ServiceOutcome(change.service, "new" if at_new else "old")


def still_moved(journals: Iterable[ServiceJournal]) -> tuple[str, ...]:
    """The services that moved and whose rollback has come to no end, neither good nor bad."""
    return tuple(j.service for j in journals if j.moved and j.outcome is None)


def verdict(services: Iterable[ServiceOutcome], failures: Sequence[str] = ()) -> RunOutcome:
    """Judge a run by its services.

    Args:
        services: each service on board, in dependency order.
        failures: what failed in the run. A run with failures never succeeded, wherever its services are.
    """
    outcomes = tuple(services)
    states = {outcome.state for outcome in outcomes}
    # With nothing to change, all is new and all is old; a failure decides which of them is said.
    if states <= {"new", "unchanged"} and not (failures and "new" not in states):
        state: RunState = "all-new"
    elif states <= {"old", "unchanged"}:
        state = "all-old"
    else:
        state = "not-whole"
    parts = [state.replace("-", " "), "; ".join(map(str, outcomes)) or "no service is on board"]
    text = ": ".join(parts)
    if failures:
        text += f". Failed: {'; '.join(failures)}"
    return RunOutcome(state, outcomes, text, succeeded=state == "all-new" and not failures)


def moved_since(head: Head, ended: Iterable[Head]) -> set[str]:
    """The services that later runs moved in the same environment.

    Args:
        head: the run that they are later than.
        ended: the heads of runs that have ended.
    """
    return {
        change.service
        for later in ended
        if later.environment == head.environment and later.opened_at > head.opened_at
        for change in Plan.from_json(later.plan).changes
        if change.moves
    }


def _gone(
    refs: Iterable[ObjectRef],
    uids: Mapping[ObjectRef, str],
    created: Collection[ObjectRef],
    live: Mapping[ObjectRef, Manifest | None],
) -> list[str]:
    reasons = []
    for ref in _sorted(refs):
        found, expected = live.get(ref), uids.get(ref, "")
        if (found is None and ref not in created) or (found and expected and found.uid != expected):
            reasons.append(str(ObjectConflict.of(ref, expected, found)))
    return reasons


def _sorted(refs: Iterable[ObjectRef]) -> list[ObjectRef]:
    return sorted(set(refs))


def _rollout(manifest: Manifest | None) -> RolloutState:
    return assess(manifest) if manifest is not None and manifest.kind in WORKLOADS else Done()
