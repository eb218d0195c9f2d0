"""What a run will change, worked out from the live state before anything is touched.

A plan lists single fields with their values before and after, so that a person can approve exactly that, a
promotion can see whether it still holds, and a rollback can put back no more than was changed. Its hash
covers all of it: an approval binds the hash.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import rfc8785

from interlock.manifest import FIELD_MANAGER, Manifest, ManifestError, ObjectRef
from interlock.trains.config import Release, RunConfig
from interlock.trains.fields import ABSENT, FieldError, FieldPath, get, leaves, put, same
from interlock.trains.model import Service, Train
from interlock.trains.obstacles import obstacles
from interlock.trains.ownership import owner

_VERSION = 1


class PlanError(ValueError):
    """No plan can be made, or a stored one can't be read. Its text has one line a problem.

    Attributes:
        problems: All that stands in the way.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


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
class Change:
    """What a run changes of one service. No writes: the release is live already, and nothing is done.

    Attributes:
        service: The service.
        ref: Its workload.
        writes: The fields, in the order of the apply object.
    """

    service: str
    ref: ObjectRef
    writes: tuple[FieldWrite, ...]

    @property
    def take_overs(self) -> tuple[FieldWrite, ...]:
        """The writes of fields that somebody else owns."""
        return tuple(write for write in self.writes if write.takes_over)

    def to_json(self) -> dict[str, Any]:
        """The change as JSON."""
        writes = [write.to_json() for write in self.writes]
        return {"service": self.service, "ref": self.ref.to_json(), "writes": writes}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Change:
        """Read what `to_json` wrote."""
        writes = tuple(FieldWrite.from_json(write) for write in data["writes"])
        return cls(data["service"], ObjectRef.from_json(data["ref"]), writes)


@dataclass(frozen=True, slots=True)
class Plan:
    """All that a run changes.

    Attributes:
        train: The train's name.
        environment: The environment's name.
        changes: One for each service on board, in dependency order.
        hash: SHA-256 of the rest of the plan as canonical JSON (RFC 8785), in hexadecimal.
    """

    train: str
    environment: str
    changes: tuple[Change, ...]
    hash: str

    @classmethod
    def of(cls, train: str, environment: str, changes: Sequence[Change]) -> Plan:
        """The plan of these changes, with its hash."""
        unhashed = cls(train, environment, tuple(changes), "")
        digest = hashlib.sha256(rfc8785.dumps(unhashed._content())).hexdigest()
        return cls(train, environment, tuple(changes), digest)

    @property
    def take_overs(self) -> tuple[tuple[Change, FieldWrite], ...]:
        """The fields that the run takes over from their owners; an approval of the plan approves these."""
        return tuple((change, write) for change in self.changes for write in change.take_overs)

    def change(self, service: str) -> Change | None:
        """The change of one service; None if it is not on board."""
        return next((change for change in self.changes if change.service == service), None)

    def to_json(self) -> dict[str, Any]:
        """The plan as JSON, its hash included."""
        return {**self._content(), "hash": self.hash}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Plan:
        """Read what `to_json` wrote.

        Raises:
            PlanError: It is of another version, misses a part, or is not what its hash says.
        """
        if data.get("version") != _VERSION:
            raise PlanError([f"a plan of version {data.get('version')!r}, expected version {_VERSION}"])
        try:
            changes = [Change.from_json(change) for change in data["changes"]]
            plan = cls.of(data["train"], data["environment"], changes)
            given = data["hash"]
        except (KeyError, TypeError, AttributeError, FieldError, ManifestError) as error:
            raise PlanError([f"not a plan: {type(error).__name__}: {error}"]) from error
        if plan.hash != given:
            raise PlanError([f"the plan was altered: its hash is {plan.hash}, expected {given}"])
        return plan

    def _content(self) -> dict[str, Any]:
        return {
            "version": _VERSION,
            "train": self.train,
            "environment": self.environment,
            "changes": [change.to_json() for change in self.changes],
        }


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
        return f"{self.ref} {self.path}: found {_shown(self.found)}, expected {_shown(self.expected)}"


def desired(service: Service, release: Release, namespace: str) -> dict[str, Any]:
    """The apply object of a release: the fields that Interlock wants to own, and no other."""
    container = {"name": service.container, "image": release.image}
    return {
        "apiVersion": "apps/v1",
        "kind": service.kind,
        "metadata": {"name": service.workload, "namespace": namespace},
        "spec": {"template": {"spec": {"containers": [container]}}},
    }


def make_plan(train: Train, config: RunConfig, live: Mapping[str, Manifest | None]) -> Plan:
    """Work out what a run will change.

    Args:
        train: The train.
        config: What is on board, and where it goes.
        live: The workload of each service on board, by service; None where there is none.

    Raises:
        PlanError: A service can't be promoted; all reasons of all services at once.
    """
    changes: list[Change] = []
    problems: list[str] = []
    for name in train.order():
        if name not in config.board:
            continue
        service, workload = train.service(name), live.get(name)
        namespace = config.environment.namespace
        if workload is None:
            problems.append(f"{name}: no {service.kind}/{service.workload} in namespace {namespace}")
            continue
        found = obstacles(service, workload)
        problems += [f"{name}: {problem}" for problem in found]
        if not found:
            changes.append(_change(name, workload, desired(service, config.board[name], namespace)))
    if problems:
        raise PlanError(problems)
    return Plan.of(train.name, config.environment.name, changes)


def still_holds(change: Change, live: Manifest | None) -> tuple[FieldConflict, ...]:
    """The fields that the plan writes and that no longer are as it saw them; empty if it still holds.

    Anything else may have moved: status, replicas of an autoscaler, annotations.
    """
    conflicts = []
    for write in change.writes:
        found = get(live.raw, write.path) if live is not None else ABSENT
        if not same(found, write.before):
            conflicts.append(FieldConflict(change.ref, write.path, write.before, found))
    return tuple(conflicts)


def apply_object(change: Change) -> dict[str, Any]:
    """The server-side apply object that makes the change: its writes and what names the workload."""
    raw: dict[str, Any] = {
        "apiVersion": change.ref.api_version,
        "kind": change.ref.kind,
        "metadata": {"name": change.ref.name, "namespace": change.ref.namespace},
    }
    for write in change.writes:
        raw = put(raw, write.path, write.after)
    return raw


def render(plan: Plan) -> str:
    """The plan for a log, one line a fact."""
    moving = sum(bool(change.writes) for change in plan.changes)
    lines = [
        f"Plan {plan.hash[:12]}: train {plan.train} to {plan.environment}, "
        f"{moving} to change, {len(plan.changes) - moving} already live"
    ]
    for change in plan.changes:
        if not change.writes:
            lines.append(f"{change.service}: {change.ref} is already live, nothing to do")
            continue
        lines.append(f"{change.service}: {change.ref}")
        for write in change.writes:
            lines.append(f"  {write.path}")
            lines.append(f"    {_shown(write.before)} → {_shown(write.after)}")
            if write.takes_over:
                lines.append(f"    taken over from {write.owner}")
    return "\n".join(lines)


def _change(name: str, live: Manifest, wanted: Mapping[str, object]) -> Change:
    writes = []
    for path in leaves(wanted):
        before, after = get(live.raw, path), get(wanted, path)
        if not same(before, after):
            writes.append(FieldWrite(path, before, after, owner(live, path)))
    return Change(name, live.ref, tuple(writes))


def _shown(value: object) -> str:
    return "absent" if value is ABSENT else value if isinstance(value, str) else repr(value)
