"""Taking a finished train back later, as a train of its own: the plan of an undo comes from the journal.

Each field that the run wrote goes from what the run wrote to what was there before, in reverse dependency
order. A field that has another value by now was superseded, and the undo is refused, by name.
"""

from __future__ import annotations

from collections.abc import Mapping

from interlock.manifest import Manifest, ObjectRef
from interlock.trains.entries import ServiceJournal
from interlock.trains.fields import same
from interlock.trains.model import Train
from interlock.trains.ownership import owner
from interlock.trains.plan import Change, FieldWrite, Plan, PlanError, still_holds


def make_undo(
    train: Train,
    environment: str,
    journals: Mapping[str, ServiceJournal],
    live: Mapping[ObjectRef, Manifest | None],
) -> Plan:
    """Plan to take a run back.

    Args:
        train: the train with its edges reversed: what depends on others goes back first.
        environment: where the run went.
        journals: what the run did, by service.
        live: the objects that the run changed, as they are now.

    Raises:
        PlanError: there is nothing to take back, or a later change is in the way; all reasons at once.
    """
    changes: list[Change] = []
    problems: list[str] = []
    for name in train.order():
        journal = journals.get(name)
        if journal is None or not journal.moved:
            continue
        for ref in dict.fromkeys(mutation.ref for mutation in journal.mutations):
            found = live.get(ref)
            if found is None:
                problems.append(f"{name}: {ref} is gone")
                continue
            change = _reversed(name, ref, journal, found)
            problems += [f"{name}: superseded by a later change: {c}" for c in still_holds(change, found)]
            changes.append(change)
    if not changes and not problems:
        problems.append(
            "there is nothing to take back: the run changed nothing, or it was taken back already"
        )
    if problems:
        raise PlanError(problems)
    return Plan.of(train.name, environment, changes)


def _reversed(name: str, ref: ObjectRef, journal: ServiceJournal, live: Manifest) -> Change:
    writes = [write for m in journal.mutations if m.ref == ref for write in m.writes]
    first = {write.path: write.before for write in reversed(writes)}
    last = {write.path: write.after for write in writes}
    return Change(
        name,
        ref,
        tuple(
            FieldWrite(path, last[path], first[path], owner(live, path))
            for path in last
            if not same(last[path], first[path])
        ),
    )
