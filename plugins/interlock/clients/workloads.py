"""Changing a workload and taking a change back, each write journaled and fenced.

Every write carries the uid and resourceVersion of a read that showed our own stamp (the transitions of the
lock under which we write). Whoever takes over stamps anew, which changes the resourceVersion: a worker that
lives on after its lock or its task went to another is refused by the API server, reads again, finds a stamp
that isn't its own, and gives up.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from interlock.clients.journal import JournalStore, Written
from interlock.clients.kubernetes import Conflict, KubernetesClient
from interlock.manifest import Manifest
from interlock.trains.entries import Mutation
from interlock.trains.fields import ABSENT, put
from interlock.trains.lock import FENCE
from interlock.trains.plan import Change, FieldWrite, still_holds
from interlock.trains.rollback import FieldConflict, restore_all

ATTEMPTS = 10
BACK = "-back"
"""Ends the stamp of a rollback, which thus differs from that of the promotion it takes back."""


class Refused(Exception):
    """A write that must not be made; the message says why and what to do."""


@dataclass(frozen=True)
class Fence:
    """What a writer stamps on its targets.

    Attributes:
        transitions: of the lock under which it writes.
        back: whether it takes back.
    """

    transitions: int
    back: bool = False

    def __str__(self) -> str:
        return f"{self.transitions}{BACK if self.back else ''}"

    def check(self, live: Manifest) -> bool:
        """Whether the object shows our stamp.

        Raises:
            Refused: it shows the stamp of somebody who came after us.
        """
        stamp = live.annotations.get(FENCE, "")
        number, back = stamp.removesuffix(BACK), stamp.endswith(BACK)
        if number.isdigit() and (int(number), back) > (self.transitions, self.back):
            raise Refused(
                f"{live.ref} is stamped {stamp!r}, later than our {str(self)!r}: another run or this run's "
                "rollback has taken it over; nothing was written"
            )
        return stamp == str(self)


async def stamp(client: KubernetesClient, live: Manifest, fence: Fence) -> Manifest | None:
    """The object with our stamp; None if there's none any more."""
    for _ in range(ATTEMPTS):
        if fence.check(live):
            return live
        metadata = {"resourceVersion": live.resource_version, "annotations": {FENCE: str(fence)}}
        try:
            return await client.merge(live.ref, {"metadata": metadata})
        except Conflict:
            found = await client.get(live.ref)
            if found is None:
                return None
            live = found
    raise Refused(f"{live.ref} changed {ATTEMPTS} times while it was being stamped")


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
    """Make a service's planned change: journal the intent, act, journal the outcome.

    Safe to repeat: a change that this run has made already is found as made.

    Returns:
        The generation that the write gave the workload.

    Raises:
        Refused: the object is gone, replaced, changed by somebody else, or taken over.
    """
    fence = Fence(transitions)
    live = await _stamped(client, change, fence)
    written = await store.service(run, change.service)
    if written.journal.outcome in ("failed", "not-whole"):
        raise Refused(
            f"{change.service}: this run has ended it already as {written.journal.outcome} "
            f"({written.journal.reason}). Clear the task `lock` with all that follows to start over"
        )
    ours = written.journal.mutations[-1] if written.journal.moved else None
    if ours is None:
        conflicts = still_holds(change, live)
        if conflicts:
            raise Refused(
                f"{change.service} is not as the plan saw it: "
                + "; ".join(map(str, conflicts))
                + ". Clear the task `plan` to plan anew"
            )
        ours = Mutation(
            ref=change.ref,
            uid=live.uid,
            state="intent",
            transitions=transitions,
            before=live,
            writes=change.writes,
            after_generation=None,
            at=now(),
            try_number=try_number,
        )
        written = await store.write(run, replace(written, journal=written.journal.intend(ours)))
    for _ in range(ATTEMPTS):
        if live.uid != ours.uid:
            raise Refused(f"{change.ref} was replaced by another object of that name; nothing was written")
        try:
            after = await _write(client, live, change.writes)
            break
        except Conflict:
            live = await _stamped(client, change, fence)
            if not as_written(change, live) and (conflicts := still_holds(change, live)):
                raise Refused(
                    f"{change.service} was changed by somebody else in between: "
                    + "; ".join(map(str, conflicts))
                ) from None
    else:
        raise Refused(f"{change.ref} changed {ATTEMPTS} times while it was being written")
    if ours.state == "intent":
        await store.write(run, replace(written, journal=written.journal.settle(after.generation)))
    return after.generation


@dataclass(frozen=True)
class TakenBack:
    """How taking a service back went.

    Attributes:
        generation: the generation to wait for.
        restored: the fields that were written, as text.
        conflicts: the fields that were left, because somebody else changed them since.
    """

    generation: int
    restored: tuple[str, ...]
    conflicts: tuple[FieldConflict, ...]


async def take_back(
    client: KubernetesClient, store: JournalStore, run: str, written: Written, *, transitions: int
) -> TakenBack:
    """Restore what a run changed of a service, newest first; safe to repeat."""
    fence = Fence(transitions, back=True)
    mutations = written.journal.mutations
    for _ in range(ATTEMPTS):
        live: dict[Any, Manifest | None] = {}
        for ref in {mutation.ref for mutation in mutations}:
            found = await client.get(ref)
            live[ref] = await stamp(client, found, fence) if found else None
        steps = restore_all(live, mutations)
        generation = 0
        try:
            for step in steps:
                present = live[step.ref]
                if step.patched is not None:
                    generation = (await client.replace(step.patched)).generation
                elif step.delete and present is not None:
                    await client.delete(step.ref, present.uid)
                elif present is not None:
                    generation = present.generation
        except Conflict:
            continue
        conflicts = tuple(conflict for step in steps for conflict in step.conflicts)
        reason = "; ".join(map(str, conflicts))
        ended = written.journal.ended("not-whole" if conflicts else "rolled-back", reason)
        await store.write(run, replace(written, journal=ended))
        restored = tuple(f"{step.ref} {path}" for step in steps for path in step.restored)
        return TakenBack(generation, restored, conflicts)
    raise Refused(f"{written.journal.service}: its objects changed {ATTEMPTS} times while being restored")


async def _stamped(client: KubernetesClient, change: Change, fence: Fence) -> Manifest:
    live = await client.get(change.ref)
    live = await stamp(client, live, fence) if live else None
    if live is None:
        raise Refused(f"{change.ref} is not there: somebody deleted it")
    return live


async def _write(client: KubernetesClient, live: Manifest, writes: tuple[FieldWrite, ...]) -> Manifest:
    if any(write.after is ABSENT for write in writes):
        # Server-side apply can't remove a field that somebody else owns.
        patched: dict[str, Any] = live.raw
        for write in writes:
            patched = put(patched, write.path, write.after)
        return await client.replace(Manifest.of(patched))
    metadata = {"name": live.name, "namespace": live.namespace, "uid": live.uid}
    wanted: dict[str, Any] = {
        "apiVersion": live.api_version,
        "kind": live.kind,
        "metadata": {**metadata, "resourceVersion": live.resource_version},
    }
    for write in writes:
        wanted = put(wanted, write.path, write.after)
    # The plan lists who owns each field; ownership is taken only from those. "Ours" counts too: what a
    # rollback restored is owned by our updates, which server-side apply takes for somebody else.
    force = any(write.owner is not None for write in writes)
    try:
        return await client.apply(Manifest.of(wanted), force=force)
    except Conflict as error:
        if "Apply failed with" in str(error):
            raise Refused(
                f"{live.ref}: somebody took over a field since the plan was made: {error}. "
                "Clear the task `plan` to plan anew"
            ) from None
        raise


def as_written(change: Change, live: Manifest) -> bool:
    """Whether the object has every value that the plan was to write."""
    made = replace(change, writes=tuple(replace(write, before=write.after) for write in change.writes))
    return not still_holds(made, live)
