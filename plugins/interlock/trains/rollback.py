"""Going back: what of a service is restored, which services go back, and in which order.

A rollback restores the fields that the run changed, and those alone. `restore` compares each with
the journal: a field that still is as the run wrote it gets its former value; one that is as before
needs nothing; one that somebody else changed since is left as it is and named, and its service isn't
whole.

`to_take_back` decides from what is known of each service on board, not from task states alone: if
anything failed, or a service isn't moved and verified, everything that moved goes back, in the exact
reverse of the dependency order. A service that can't go back (`irreversible`) stays once it moved,
and with it whatever it depends on.

Pure: nothing is read and nothing is written here.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass

from interlock.manifest import Manifest, ObjectRef
from interlock.trains.change import UID, FieldConflict, FieldWrite, ObjectConflict, value_of
from interlock.trains.entries import CREATED_BY, Mutation
from interlock.trains.fields import ABSENT, FieldPath, ListKey, get, put, remove, same
from interlock.trains.order import Edges, Scope, depends_on, in_order

_KEPT = ("name", "namespace", "labels", "annotations", "finalizers", "ownerReferences")
"""The metadata of an object that is created again; the rest is the API server's."""


@dataclass(frozen=True)
class Restore:
    """How one object goes back.

    Attributes:
        ref: the object.
        patched: the whole object to write, with the resourceVersion of the read; None if there is
            nothing to write.
        restored: the fields that `patched` changes.
        conflicts: the fields that are left because somebody else changed them.
        delete: whether the object is to be deleted (the run created it), under its uid.
        recreate: the object to create again, as the run deleted it; None if there is none.
    """

    ref: ObjectRef
    patched: Manifest | None = None
    restored: tuple[FieldPath, ...] = ()
    conflicts: tuple[FieldConflict, ...] = ()
    delete: bool = False
    recreate: Manifest | None = None


@dataclass(frozen=True)
class Standing:
    """What is known of one service on board when it is decided about.

    Attributes:
        changes: whether the plan changes anything of it; False if its release was live already.
        moved: whether the run changed it or may have (`ServiceJournal.moved`).
        verified: whether its verification passed for what is live.
        failed: why it failed; empty if it did not.
    """

    changes: bool = True
    moved: bool = False
    verified: bool = False
    failed: str = ""

    @property
    def arrived(self) -> bool:
        """Whether the service is where the train was to take it."""
        return self.verified and not self.failed and (self.moved or not self.changes)


@dataclass(frozen=True)
class Decision:
    """Which services go back.

    Attributes:
        back: the services to take back, in this order.
        kept: services that moved and stay although the run failed, each with the reason.
        reason: why services go back; empty if nothing failed.
    """

    back: tuple[str, ...] = ()
    kept: tuple[tuple[str, str], ...] = ()
    reason: str = ""


def restore(live: Manifest | None, mutation: Mutation) -> Restore:
    """Work out how one mutation is taken back from the object as it is now."""
    ref = mutation.ref
    if mutation.before is None:
        return _undo_creation(live, mutation)
    if mutation.deletes:
        return _undo_deletion(live, mutation, mutation.before)
    if live is None or live.uid != mutation.uid:
        return Restore(ref, conflicts=(ObjectConflict.of(ref, mutation.uid, live),))
    patched: dict[str, object] = live.raw
    restored: list[FieldPath] = []
    conflicts: list[FieldConflict] = []
    for write in mutation.writes:
        found = value_of(live, write.path)
        if same(found, write.before):
            continue
        if same(found, write.after):
            if write.before is ABSENT:
                patched = taken_out(patched, write.path, mutation.before)
            else:
                patched = put(patched, write.path, write.before)
            restored.append(write.path)
            continue
        conflicts.append(FieldConflict(ref, write.path, write.after, found))
    return Restore(
        ref,
        patched=Manifest.of(patched) if restored else None,
        restored=tuple(restored),
        conflicts=tuple(conflicts),
    )


def taken_out(raw: Mapping[str, object], path: FieldPath, before: Manifest) -> dict[str, object]:
    """The object without a field, and without what led to it and is empty now, unless it was there before.

    An empty object in a pod template is another template: its pods would be replaced once more.
    """
    result = remove(raw, path)
    for length in range(len(path.steps) - 1, 1, -1):
        parent = FieldPath(path.steps[:length])
        found, last = get(result, parent), parent.steps[-1]
        bare = {last.name: last.value} if isinstance(last, ListKey) else {}
        if (found == bare or found == []) and get(before.raw, parent) is ABSENT:
            result = remove(result, parent)
    return result


def restore_all(
    live: Mapping[ObjectRef, Manifest | None], mutations: Iterable[Mutation]
) -> tuple[Restore, ...]:
    """Work out how all mutations of a service are taken back, newest first.

    Several mutations of one object (a retried task leaves such) become one `Restore`.
    """
    now = dict(live)
    done: dict[ObjectRef, Restore] = {}
    for mutation in reversed(tuple(mutations)):
        ref = mutation.ref
        step = restore(now.get(ref), mutation)
        if step.patched is not None:
            now[ref] = step.patched
        elif step.delete or step.recreate is not None:
            now[ref] = step.recreate
        done[ref] = _joined(done[ref], step, mutation) if ref in done else step
    return tuple(done.values())


def fields_back(
    steps: Iterable[Restore], live: Mapping[ObjectRef, Manifest | None], mutations: Iterable[Mutation]
) -> Iterator[tuple[ObjectRef, FieldWrite]]:
    """Each field that the mutations wrote, with its value before and after they are taken back.

    Args:
        steps: how the objects go back.
        live: the objects as they were read for it.
        mutations: what is taken back.
    """
    paths: dict[ObjectRef, dict[FieldPath, None]] = {}
    for mutation in mutations:
        written = {write.path: None for write in mutation.writes if write.path != CREATED_BY}
        paths.setdefault(mutation.ref, {}).update(written)
    for step in steps:
        found = live[step.ref]
        left = None if step.delete else step.recreate or step.patched or found
        for path in paths.get(step.ref, {}):
            yield step.ref, FieldWrite(path, value_of(found, path), value_of(left, path))


def rollback_order(edges: Edges, moved: Collection[str]) -> tuple[str, ...]:
    """The moved services in the exact reverse of the dependency order.

    Services that did not move still order those on both sides of them.
    """
    return tuple(service for service in reversed(in_order(edges)) if service in moved)


def to_take_back(
    edges: Edges,
    standings: Mapping[str, Standing],
    *,
    failed: str = "",
    scope: Scope = "train",
    irreversible: Collection[str] = (),
) -> Decision:
    """Decide which services go back.

    Args:
        edges: the whole train.
        standings: each service on board.
        failed: why the run failed where no single service did (the line was stopped, a lock was lost).
        scope: `train` takes back everything that moved; `service` those that failed or moved without
            being verified, and what depends on them.
        irreversible: services whose release can't be taken back once it moved.
    """
    bad = {name: _complaint(name, standing) for name, standing in standings.items() if not standing.arrived}
    if not bad and not failed:
        return Decision()
    reason = "; ".join(filter(None, [failed, *(bad[name] for name in in_order(edges) if name in bad)]))
    moved = {name for name, standing in standings.items() if standing.moved}
    going = moved
    if scope == "service":
        roots = {name for name, s in standings.items() if s.failed or (s.moved and not s.verified)}
        going = {name for name in moved if name in roots or depends_on(edges, name) & roots}
    kept: dict[str, str] = {}
    for anchor in rollback_order(edges, moved & set(irreversible)):
        kept.setdefault(anchor, "its release is irreversible")
        for name in depends_on(edges, anchor) & moved:
            kept.setdefault(name, f"{anchor} depends on it, and its release is irreversible")
    order = rollback_order(edges, moved)
    for name in moved - going:
        kept.setdefault(name, "it is verified, and only what failed and what depends on it goes back")
    return Decision(
        back=tuple(name for name in order if name not in kept),
        kept=tuple((name, kept[name]) for name in order if name in kept),
        reason=reason,
    )


def _undo_creation(live: Manifest | None, mutation: Mutation) -> Restore:
    if live is None:
        return Restore(mutation.ref)
    # Without an outcome there is no uid, but the object itself says which run created it.
    marks = [write for write in mutation.writes if write.path == CREATED_BY and not mutation.uid]
    if live.uid == mutation.uid or any(same(value_of(live, m.path), m.after) for m in marks):
        return Restore(mutation.ref, delete=True)
    conflict = ObjectConflict.of(mutation.ref, mutation.uid, live)
    return Restore(mutation.ref, conflicts=(conflict,))


def _undo_deletion(live: Manifest | None, mutation: Mutation, before: Manifest) -> Restore:
    if live is None:
        fresh = {key: value for key, value in before.raw.items() if key != "status"}
        fresh["metadata"] = {key: value for key, value in before.metadata.items() if key in _KEPT}
        return Restore(mutation.ref, recreate=Manifest.of(fresh))
    # Not deleted yet, or back again: by this run under another uid, or by somebody else.
    found = [(write, value_of(live, write.path)) for write in mutation.writes]
    return Restore(
        mutation.ref,
        conflicts=tuple(
            FieldConflict(mutation.ref, write.path, write.before, value)
            for write, value in found
            if not same(value, write.before)
        ),
    )


def _joined(newer: Restore, older: Restore, mutation: Mutation) -> Restore:
    # What a newer mutation doesn't know may be what an older one left, when the newer one never arrived.
    unknown = {conflict.path for conflict in older.conflicts}
    explained = set() if UID in unknown else {write.path for write in mutation.writes} - unknown
    conflicts = tuple(conflict for conflict in newer.conflicts if conflict.path not in explained)
    known = {conflict.path for conflict in conflicts}
    return Restore(
        ref=newer.ref,
        patched=None if older.delete else older.patched or newer.patched,
        restored=tuple(dict.fromkeys((*newer.restored, *older.restored))),
        conflicts=(*conflicts, *(c for c in older.conflicts if c.path not in known)),
        delete=newer.delete or older.delete,
        recreate=None if older.patched or older.delete else older.recreate or newer.recreate,
    )


def _complaint(name: str, standing: Standing) -> str:
    if standing.failed:
        return f"{name} failed: {standing.failed}"
    if standing.changes and not standing.moved:
        return f"{name} did not move"
    return f"{name} is not verified"
