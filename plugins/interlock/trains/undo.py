"""Taking a finished train back later, as a train of its own: the plan of an undo comes from the journal.

Each field that the run wrote goes from what the run wrote to what was there before, in reverse dependency
order; what the run created is deleted. A field that has another value by now was superseded, and the undo is
refused, by name; so is that of a release that can't be taken back.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

from interlock.manifest import Manifest, ObjectRef
from interlock.trains.change import Change, FieldWrite, ObjectChange, conflicts
from interlock.trains.entries import ServiceJournal
from interlock.trains.fields import ABSENT, same
from interlock.trains.kinds import WORKLOAD_API
from interlock.trains.model import Train
from interlock.trains.order import depends_on
from interlock.trains.ownership import owner
from interlock.trains.plan import Plan, PlanError


def make_undo(
    train: Train,
    environment: str,
    journals: Mapping[str, ServiceJournal],
    live: Mapping[ObjectRef, Manifest | None],
    irreversible: Collection[str] = (),
) -> Plan:
    """Plan to take a run back.

    Args:
        train: the train with its edges reversed: what depends on others goes back first.
        environment: where the run went.
        journals: what the run did, by service.
        live: the objects that the run changed, as they are now.
        irreversible: the services whose release can't be taken back, by the run's plan.

    Raises:
        PlanError: there is nothing to take back, or a later change is in the way; all reasons at once.
    """
    changes: list[Change] = []
    problems: list[str] = []
    moved = [name for name in train.order() if name in journals and journals[name].moved]
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
            steps[ref] = _reversed(ref, journal, found)
            problems += [f"{name}: superseded by a later change: {c}" for c in conflicts(steps[ref], found)]
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
    return Plan.of(train.name, environment, changes)


def _reversed(ref: ObjectRef, journal: ServiceJournal, live: Manifest) -> ObjectChange:
    mutations = [m for m in journal.mutations if m.ref == ref]
    writes = [write for m in mutations for write in m.writes]
    first = {write.path: write.before for write in reversed(writes)}
    last = {write.path: write.after for write in writes}
    if mutations[0].before is None:
        return ObjectChange(ref, tuple(FieldWrite(path, last[path], ABSENT) for path in last), "delete")
    return ObjectChange(
        ref,
        tuple(
            FieldWrite(path, last[path], first[path], owner(live, path))
            for path in last
            if not same(last[path], first[path])
        ),
    )
