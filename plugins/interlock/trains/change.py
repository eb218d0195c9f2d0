"""What a run changes of a service: its objects, field by field, and whether that is still as it was seen.

A service has its workload and may have further objects (a ConfigMap, an autoscaler) that go with its
release. Their order is the order of the writes: what pods need is there before the pods that need it.

Pure: nothing is read and nothing is written here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

from interlock.manifest import FIELD_MANAGER, Manifest, ObjectRef
from interlock.trains.fields import ABSENT, FieldError, FieldPath, get, same
from interlock.trains.ownership import owner
from interlock.trains.shown import shown

Action = Literal["change", "create", "delete"]
"""What happens to an object as a whole. Its fields say the same: a creation writes what was absent."""

UID = FieldPath.of("metadata", "uid")


@dataclass(frozen=True, slots=True)
class FieldWrite:
    """One field that a run writes.

    Attributes:
        path: The field.
        before: Its value when the plan was made, or `ABSENT`.
        after: The value that the run writes, or `ABSENT`.
        owner: The field managers that own it, separated by a comma and a space; None if nobody does.
    """

    path: FieldPath
    before: object
    after: object
    owner: str | None = None

    @property
    def takes_over(self) -> bool:
        """Whether somebody else owns the field, so that writing it must be forced."""
        return self.owner is not None and self.owner != FIELD_MANAGER

    def to_json(self) -> dict[str, Any]:
        """The write as JSON; an absent value has no key."""
        values = {"before": self.before, "after": self.after, "owner": self.owner}
        return {"path": str(self.path)} | {
            key: value
            for key, value in values.items()
            if value is not ABSENT and not (key == "owner" and value is None)
        }

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> FieldWrite:
        """Read what `to_json` wrote."""
        path = FieldPath.parse(data["path"])
        return cls(path, data.get("before", ABSENT), data.get("after", ABSENT), data.get("owner"))


@dataclass(frozen=True, slots=True)
class ObjectChange:
    """What a run changes of one object. Neither writes nor an action: it is as the release wants it.

    Attributes:
        ref: The object.
        writes: Its fields, in the order of the manifest.
        action: Whether the object is created or deleted.
    """

    ref: ObjectRef
    writes: tuple[FieldWrite, ...] = ()
    action: Action = "change"

    @property
    def moves(self) -> bool:
        """Whether the run does anything to the object."""
        return bool(self.writes) or self.action != "change"

    def to_json(self) -> dict[str, Any]:
        """The change as JSON."""
        action = {} if self.action == "change" else {"action": self.action}
        return {"ref": self.ref.to_json(), **action, "writes": [write.to_json() for write in self.writes]}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> ObjectChange:
        """Read what `to_json` wrote."""
        action = data.get("action", "change")
        if action not in get_args(Action):
            raise TypeError(f"unknown action {action!r}")
        writes = tuple(FieldWrite.from_json(write) for write in data["writes"])
        return cls(ObjectRef.from_json(data["ref"]), writes, action)


@dataclass(frozen=True, slots=True)
class Change:
    """What a run changes of one service. Nothing moves: the release is live already.

    Attributes:
        service: The service.
        ref: Its workload.
        writes: The workload's fields, in the order of the release.
        objects: The further objects of its release, in the order of their writes.
        irreversible: Whether the release can't be taken back once it moved.
        holds: Of a release that is live already, the workload's fields that say so: the run relies on them.
        after: All services on board that this one comes after, directly or through others.
    """

    service: str
    ref: ObjectRef
    writes: tuple[FieldWrite, ...]
    objects: tuple[ObjectChange, ...] = ()
    irreversible: bool = False
    after: tuple[str, ...] = ()
    holds: tuple[FieldWrite, ...] = ()

    @property
    def steps(self) -> tuple[ObjectChange, ...]:
        """What moves, in the order of the writes: further objects, the workload, and deletions last.

        New pods find the ConfigMap that they read; old pods keep theirs until the workload has moved.
        """
        stay = [found for found in self.objects if found.action != "delete"]
        go = [found for found in self.objects if found.action == "delete"]
        return tuple(step for step in (*stay, ObjectChange(self.ref, self.writes), *go) if step.moves)

    @property
    def moves(self) -> bool:
        """Whether the run changes anything of the service."""
        return bool(self.steps)

    @property
    def refs(self) -> tuple[ObjectRef, ...]:
        """Its workload and what moves with it: all that has to be read to see whether the plan holds."""
        return tuple(dict.fromkeys((self.ref, *(step.ref for step in self.steps))))

    @property
    def take_overs(self) -> tuple[FieldWrite, ...]:
        """The writes of fields that somebody else owns."""
        return tuple(write for step in self.steps for write in step.writes if write.takes_over)

    def to_json(self) -> dict[str, Any]:
        """The change as JSON; what is as for a plain image release has no key."""
        data: dict[str, Any] = {"service": self.service, **ObjectChange(self.ref, self.writes).to_json()}
        if self.objects:
            data["objects"] = [found.to_json() for found in self.objects]
        if self.irreversible:
            data["irreversible"] = True
        if self.after:
            data["after"] = list(self.after)
        if self.holds:
            data["holds"] = [write.to_json() for write in self.holds]
        return data

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Change:
        """Read what `to_json` wrote."""
        service = data["service"]
        workload = ObjectChange.from_json(data)
        return cls(
            service,
            workload.ref,
            workload.writes,
            objects=tuple(ObjectChange.from_json(found) for found in data.get("objects", ())),
            irreversible=data.get("irreversible") is True,
            after=tuple(data.get("after", ())),
            holds=tuple(FieldWrite.from_json(write) for write in data.get("holds", ())),
        )


@dataclass(frozen=True, slots=True)
class FieldConflict:
    """A field that has another value than expected.

    Attributes:
        ref: The object.
        path: The field.
        expected: The value that was expected, or `ABSENT`.
        found: The value that it has, or `ABSENT`.
    """

    ref: ObjectRef
    path: FieldPath
    expected: object
    found: object

    def __str__(self) -> str:
        found, expected = shown(self.path, self.found), shown(self.path, self.expected)
        return f"{self.ref} {self.path}: found {found}, expected {expected}"


@dataclass(frozen=True, slots=True)
class ObjectConflict(FieldConflict):
    """The object itself is not the one that was expected: gone, there already, or another of its name."""

    def __str__(self) -> str:
        if self.found is ABSENT:
            return f"{self.ref} is gone"
        if self.expected is ABSENT:
            return f"{self.ref} is there already, and not by this run"
        return f"{self.ref} was replaced: its uid is {self.found}, expected {self.expected}"

    @classmethod
    def of(cls, ref: ObjectRef, uid: str, live: Manifest | None) -> ObjectConflict:
        """The conflict of an object that was expected under a uid."""
        return cls(ref, UID, uid or ABSENT, ABSENT if live is None else live.uid)


def still_holds(change: Change, live: Mapping[ObjectRef, Manifest | None]) -> tuple[FieldConflict, ...]:
    """What the plan changes of a service and no longer is as it saw it; empty if the plan still holds.

    Anything else may have moved: status, replicas of an autoscaler, annotations.
    """
    found = [conflict for step in change.steps for conflict in conflicts(step, live.get(step.ref))]
    return (*found, *no_longer(change, live))


def no_longer(change: Change, live: Mapping[ObjectRef, Manifest | None]) -> tuple[FieldConflict, ...]:
    """What of a release that was live already is live no more."""
    workload = live.get(change.ref)
    if not change.holds or workload is None:
        return ()
    return _other(ObjectChange(change.ref), workload, {write.path: write.after for write in change.holds})


def differs(change: Change, live: Mapping[ObjectRef, Manifest | None]) -> list[str]:
    """How a service differs from what the plan saw, for people; empty if the plan still holds."""
    if live.get(change.ref) is None:
        return [f"{change.ref} is not there: somebody deleted it"]
    return [str(conflict) for conflict in still_holds(change, live)]


def conflicts(step: ObjectChange, live: Manifest | None) -> tuple[FieldConflict, ...]:
    """What of one object no longer is as the plan saw it."""
    if step.action == "create":
        return () if live is None else (ObjectConflict.of(step.ref, "", live),)
    if live is None:
        return (ObjectConflict.of(step.ref, "", None),)
    return _other(step, live, {write.path: write.before for write in step.writes})


def is_written(step: ObjectChange, live: Manifest | None) -> bool:
    """Whether one object is as the plan wants it."""
    if step.action == "delete" or live is None:
        return live is None and step.action == "delete"
    return not _other(step, live, {write.path: write.after for write in step.writes})


def as_written(change: Change, live: Mapping[ObjectRef, Manifest | None]) -> bool:
    """Whether all of a service is as the plan wants it."""
    return all(is_written(step, live.get(step.ref)) for step in change.steps)


def taken_over(step: ObjectChange, live: Manifest) -> tuple[str, ...]:
    """The fields that somebody owns by now whom the plan doesn't name, as text.

    Writing a field takes it from its owners; an approved plan says from whom, and nobody else loses any.
    """
    found = []
    for write in step.writes:
        named = {FIELD_MANAGER, *(write.owner or "").split(", ")}
        others = set((owner(live, write.path) or FIELD_MANAGER).split(", ")) - named
        if others:
            found.append(f"{step.ref} {write.path} is owned by {', '.join(sorted(others))}")
    return tuple(found)


def value_of(live: Manifest | None, path: FieldPath) -> object:
    """A field's value, `ABSENT` without an object; where the path names no single field, why not."""
    try:
        return ABSENT if live is None else get(live.raw, path)
    except FieldError as error:
        return str(error)


def _other(
    step: ObjectChange, live: Manifest, expected: Mapping[FieldPath, object]
) -> tuple[FieldConflict, ...]:
    found = {path: value_of(live, path) for path in expected}
    return tuple(
        FieldConflict(step.ref, path, wanted, found[path])
        for path, wanted in expected.items()
        if not same(found[path], wanted)
    )
