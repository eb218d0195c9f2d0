"""Taking a finished train back later, as a train of its own: the plan of an undo comes from the journal.

Each field that the run wrote goes from what the run wrote to what was there before, in reverse dependency
order; what the run created is deleted. A field that has another value by now was superseded, and the undo is
refused, by name; so is that of a release that can't be taken back.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from interlock.manifest import Manifest, ObjectRef
from interlock.trains.change import Change, FieldWrite, ObjectChange, conflicts
from interlock.trains.entries import Mutation, ServiceJournal
from interlock.trains.fields import ABSENT, FieldPath, get, same
from interlock.trains.kinds import WORKLOAD_API
from interlock.trains.model import Train
from interlock.trains.order import depends_on
from interlock.trains.ownership import owner
from interlock.trains.plan import Plan, PlanError
from interlock.trains.rollback import taken_out


def make_undo(
    train: Train,
    environment: str,
    journals: Mapping[str, ServiceJournal],
    live: Mapping[ObjectRef, Manifest | None],
    irreversible: Collection[str] = (),
    run_id: str = "",
) -> Plan:
    """Plan to take a run back.

    Args:
        train: the train with its edges reversed: what depends on others goes back first.
        environment: where the run went.
        journals: what the run did, by service.
        live: the objects that the run changed, as they are now.
        irreversible: the services whose release can't be taken back, by the run's plan.
        run_id: the run that is taken back.

    Raises:
        PlanError: there is nothing to take back, or a later change is in the way; all reasons at once.
    """
    changes: list[Change] = []
    problems: list[str] = []
    moved = [name for name in train.order() if name in journals and journals[name].moved]
    problems += [
        f"{name}: the run moved it, and include/trains/{train.name}.yaml has it no more: put it back there, "
        "or take it back by hand"
        for name, journal in journals.items()
        if journal.moved and name not in moved
    ]
    for name in moved:
        journal, service = journals[name], train.service(name)
        if name in irreversible:
            problems.append(f"{name}: its release is irreversible: it can't be taken back")
            continue
        steps: dict[ObjectRef, ObjectChange] = {}
        for ref in dict.fromkeys(mutation.ref for mutation in journal.mutations):
            found = live.get(ref)
            if found is None:
                problems.append(f"{name}: {ref} is gone")
                continue
            mutations = [mutation for mutation in journal.mutations if mutation.ref == ref]
            if later := conflicts(ObjectChange(ref, _swapped(mutations)), found):
                problems += [f"{name}: superseded by a later change: {conflict}" for conflict in later]
                continue
            steps[ref] = _reversed(mutations, found)
        namespace = journal.mutations[0].ref.namespace
        workload = steps.pop(ObjectRef(WORKLOAD_API, service.kind, namespace, service.workload), None)
        before = depends_on({s.name: s.after for s in train.services}, name)
        changes.append(
            Change(
                name,
                ObjectRef(WORKLOAD_API, service.kind, namespace, service.workload),
                () if workload is None else workload.writes,
                objects=tuple(steps.values()),
                after=tuple(other for other in moved if other in before),
            )
        )
    if not changes and not problems:
        problems.append(
            "there is nothing to take back: the run changed nothing, or it was taken back already"
        )
    if problems:
        raise PlanError(problems)
    return Plan.of(train.name, environment, changes, undo_of=run_id)


def _swapped(mutations: Sequence[Mutation]) -> tuple[FieldWrite, ...]:
    """From what the run wrote last to what it found first, field by field."""
    writes = [write for mutation in mutations for write in mutation.writes]
    first = {write.path: write.before for write in reversed(writes)}
    last = {write.path: write.after for write in writes}
    return tuple(FieldWrite(path, last[path], first[path]) for path in last)


def _reversed(mutations: Sequence[Mutation], live: Manifest) -> ObjectChange:
    ref, before = live.ref, mutations[0].before
    swapped = _swapped(mutations)
    if before is None:
        return ObjectChange(ref, swapped, "delete")
    back = [write for write in swapped if not same(write.before, write.after)]
    # Of what the run added nothing is left, not even an empty parent, so whole parents may have to go.
    without: dict[str, object] = live.raw
    for write in back:
        if write.after is ABSENT:
            without = taken_out(without, write.path, before)
    gone = dict.fromkeys(_highest(write.path, without) for write in back if write.after is ABSENT)
    return ObjectChange(
        ref,
        (
            *(replace(w, owner=owner(live, w.path)) for w in back if w.after is not ABSENT),
            *(FieldWrite(path, get(live.raw, path), ABSENT, owner(live, path)) for path in gone),
        ),
    )


def _highest(path: FieldPath, without: Mapping[str, object]) -> FieldPath:
    """The first field on the way to `path` that isn't there any more."""
    prefixes = (FieldPath(path.steps[:length]) for length in range(1, len(path.steps)))
    return next((prefix for prefix in prefixes if get(without, prefix) is ABSENT), path)
