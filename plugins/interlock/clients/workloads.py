"""Changing a service's objects and taking a change back, each write journaled and fenced.

Objects are replaced as a whole, by an update: it changes what the plan lists and nothing else, where
server-side apply would also remove what an earlier apply of ours had set. Whom a field is taken from is
checked here, on the read that the write is bound to. `interlock.clients.fence` says what fences a write.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from interlock.clients.fence import BACK, Fence, Refused
from interlock.clients.journal import JournalStore, Written
from interlock.clients.kubernetes import Conflict, KubernetesClient, NotFound
from interlock.manifest import Manifest, ObjectRef
from interlock.trains.change import Change, FieldConflict, FieldWrite, ObjectChange, is_written, taken_over
from interlock.trains.change import conflicts as differences
from interlock.trains.entries import CREATED_BY, Mutation
from interlock.trains.fields import ABSENT, put
from interlock.trains.kinds import WORKLOADS
from interlock.trains.rollback import Restore, fields_back, restore_all

__all__ = ["BACK", "Fence", "Refused", "TakenBack", "promote", "take_back"]

ATTEMPTS = 10

Objects = Mapping[ObjectRef, Manifest | None]


async def promote(
    client: KubernetesClient,
    store: JournalStore,
    run: str,
    change: Change,
    *,
    transitions: int,
    try_number: int,
    now: Callable[[], datetime],
) -> int:
    """Make a service's planned change: journal the intents, act, journal the outcomes.

    Safe to repeat: what this run has made already is found as made.

    Returns:
        The generation of the workload after it.

    Raises:
        Refused: an object is gone, replaced, changed by somebody else, or taken over.
    """
    fence = Fence(transitions)
    live, written = await asyncio.gather(client.get_all(change.refs), store.service(run, change.service))
    fence.check_all(live)
    if written.journal.outcome in ("failed", "not-whole", "kept"):
        raise Refused(
            f"{change.service}: this run has ended it already as {written.journal.outcome} "
            f"({written.journal.reason}). "
            + (
                "Trigger a new run: its plan starts from what is live"
                if written.journal.outcome == "not-whole"
                else "Clear the task `lock` with all that follows to start over"
            )
        )
    workload = live[change.ref]
    if workload is None:
        raise Refused(f"{change.ref} is not there: somebody deleted it")
    steps = [_marked(step, run) for step in change.steps]
    known = written.journal.mutations if written.journal.moved else ()
    missing = [step for step in steps if not any(_is_of(mutation, step) for mutation in known)]
    if found := [conflict for step in missing for conflict in differences(step, live[step.ref])]:
        raise Refused(
            f"{change.service} is not as the plan saw it: {'; '.join(map(str, found))}. "
            "Clear the task `plan` to plan anew"
        )
    if missing:
        intents = [_intent(step, live[step.ref], transitions, try_number, now()) for step in missing]
        written = await _intend(store, run, written, intents)
    uids = {mutation.ref: mutation.uid for mutation in written.journal.mutations}
    after = {step.ref: await _make(client, step, live[step.ref], uids[step.ref], fence) for step in steps}
    await _settle(client, store, run, written, after)
    return (after.get(change.ref) or workload).generation


@dataclass(frozen=True)
class TakenBack:
    """How taking a service back went.

    Attributes:
        generation: the generation of the workload to wait for; 0 if it was not touched.
        restored: what was written, as text.
        conflicts: the fields that were left, because somebody else changed them since.
        writes: each field that the run had written, of which object, with its value before this and after.
    """

    generation: int
    restored: tuple[str, ...]
    conflicts: tuple[FieldConflict, ...]
    writes: tuple[tuple[ObjectRef, FieldWrite], ...]


async def take_back(
    client: KubernetesClient, store: JournalStore, run: str, written: Written, *, transitions: int
) -> TakenBack:
    """Restore what a run changed of a service; safe to repeat."""
    fence = Fence(transitions, back=True)
    service = written.journal.service
    for _ in range(ATTEMPTS):
        mutations = written.journal.mutations
        live = await client.get_all({mutation.ref for mutation in mutations})
        fence.check_all(live)
        steps = restore_all(live, mutations)
        generation = 0
        try:
            # Old pods start with their old configuration; what the run created goes when nothing needs it.
            for step in sorted(steps, key=lambda step: (step.delete, step.ref.kind in WORKLOADS)):
                left = await _restore(client, step, live[step.ref], fence)
                if left is not None and step.ref.kind in WORKLOADS:
                    generation = left.generation
        except (Conflict, NotFound):
            continue
        conflicts = tuple(conflict for step in steps for conflict in step.conflicts)
        reason = "; ".join(map(str, conflicts))
        ended = written.journal.ended("not-whole" if conflicts else "rolled-back", reason)
        try:
            await store.write(run, replace(written, journal=ended))
        except Conflict:
            # A promotion that still lived wrote its journal; what that says goes back as well.
            written = await store.service(run, service)
            continue
        restored = tuple(text for step in steps for text in _done(step))
        writes = tuple(fields_back(steps, live, mutations))
        return TakenBack(generation, restored, conflicts, writes)
    raise Refused(f"{service}: its objects changed {ATTEMPTS} times while being restored")


def _marked(step: ObjectChange, run: str) -> ObjectChange:
    if step.action != "create":
        return step
    return replace(step, writes=(*step.writes, FieldWrite(CREATED_BY, ABSENT, run)))


def _is_of(mutation: Mutation, step: ObjectChange) -> bool:
    return (mutation.ref, mutation.writes, mutation.deletes) == (
        step.ref,
        step.writes,
        step.action == "delete",
    )


def _intent(
    step: ObjectChange, live: Manifest | None, transitions: int, try_number: int, at: datetime
) -> Mutation:
    return Mutation(
        ref=step.ref,
        uid=live.uid if live else "",
        state="intent",
        transitions=transitions,
        before=live,
        writes=step.writes,
        after_generation=None,
        at=at,
        try_number=try_number,
        deletes=step.action == "delete",
    )


async def _intend(store: JournalStore, run: str, written: Written, intents: Iterable[Mutation]) -> Written:
    """Journal what is about to be written; only one of several writers gets that far."""
    intended = written.journal.intend(*intents)
    try:
        return await store.write(run, replace(written, journal=intended))
    except Conflict:
        # It may be our own write, whose answer was lost.
        found = await store.service(run, written.journal.service)
        if found.journal == intended:
            return found
        raise Refused(
            f"the journal of {written.journal.service} was written by somebody else in between, another try "
            "of this task or the run's rollback; nothing was written"
        ) from None


async def _make(
    client: KubernetesClient, step: ObjectChange, live: Manifest | None, uid: str, fence: Fence
) -> Manifest | None:
    """Write one object, whatever else happens to it meanwhile; returns it, None once it is deleted."""
    for _ in range(ATTEMPTS):
        if live is not None and uid and live.uid != uid:
            raise Refused(f"{step.ref} was replaced by another object of that name; nothing was written")
        if is_written(step, live):
            return live
        if found := differences(step, live):
            raise Refused(f"{step.ref} was changed by somebody else in between: {'; '.join(map(str, found))}")
        try:
            if live is None:
                return await client.create(fence.on(_created(step)))
            if step.action == "delete":
                await client.delete(step.ref, live.uid, live.resource_version)
                return None
            if others := taken_over(step, live):
                raise Refused(
                    f"somebody took over a field since the plan was made: {'; '.join(others)}. "
                    "Clear the task `plan` to plan anew"
                )
            return await client.replace(fence.on(_with(live.raw, step)))
        except (Conflict, NotFound):
            live = await client.get(step.ref)
            if live is not None:
                fence.check(live)
    raise Refused(f"{step.ref} changed {ATTEMPTS} times while it was being written")


async def _settle(
    client: KubernetesClient, store: JournalStore, run: str, written: Written, after: Objects
) -> None:
    service = written.journal.service
    for _ in range(ATTEMPTS):
        journal = written.journal
        if not any(mutation.state == "intent" and mutation.ref in after for mutation in journal.mutations):
            return
        try:
            await store.write(run, replace(written, journal=journal.settle(after)))
            return
        except Conflict:
            written = await store.service(run, service)
            if written.journal.moved and written.journal.outcome in (None, "kept"):
                continue
        created = {mutation.ref for mutation in journal.mutations if mutation.before is None}
        for ref, found in after.items():
            if found is not None and ref in created:
                await client.delete(ref, found.uid)
        raise Refused(f"{service}: this run took it back meanwhile; what was created in between is deleted")
    raise Refused(f"the journal of {service} changed {ATTEMPTS} times while it was being written")


async def _restore(
    client: KubernetesClient, step: Restore, live: Manifest | None, fence: Fence
) -> Manifest | None:
    if step.recreate is not None:
        return await client.create(fence.on(step.recreate))
    if step.patched is not None:
        return await client.replace(fence.on(step.patched))
    if live is None:
        return None
    if step.delete:
        await client.delete(step.ref, live.uid, live.resource_version)
        return None
    if fence.check(live):
        return live
    # Nothing to restore, but a write that is still under way has to be refused.
    return await client.replace(fence.on(live))


def _done(step: Restore) -> Iterable[str]:
    if step.delete:
        yield f"{step.ref}, which this run created, is deleted"
    elif step.recreate is not None:
        yield f"{step.ref}, which this run deleted, is created again"
    yield from (f"{step.ref} {path}" for path in step.restored if not step.delete)


def _created(step: ObjectChange) -> Manifest:
    metadata = {"name": step.ref.name, "namespace": step.ref.namespace}
    return _with({"apiVersion": step.ref.api_version, "kind": step.ref.kind, "metadata": metadata}, step)


def _with(raw: dict[str, Any], step: ObjectChange) -> Manifest:
    for write in step.writes:
        raw = put(raw, write.path, write.after)
    return Manifest.of(raw)
