"""What a run will change, worked out from the live state before anything is touched.

A plan lists single fields with their values before and after, so that a person can approve exactly that, a
promotion can see whether it still holds, and a rollback can put back no more than was changed. Its hash
covers all of it: an approval binds the hash.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, get_args

import rfc8785

from interlock.manifest import Manifest, ManifestError, ObjectRef
from interlock.trains.change import (
    Change,
    FieldWrite,
    ObjectChange,
)
from interlock.trains.config import RunConfig
from interlock.trains.fields import ABSENT, FieldError, FieldPath, get, same
from interlock.trains.kinds import WORKLOADS
from interlock.trains.model import Train
from interlock.trains.obstacles import obstacles
from interlock.trains.order import Scope, depends_on
from interlock.trains.ownership import owner
from interlock.trains.release import desired, obstacle, ref_of, wanted_fields
from interlock.trains.shown import shown

_VERSION = 1

MAX_BYTES = 900_000
"""A Secret holds at most 1,048,576 bytes (Kubernetes, MaxSecretSize); the rest is for the other fields."""


class PlanError(ValueError):
    """No plan can be made, or a stored one can't be read. Its text has one line a problem.

    Attributes:
        problems: All that stands in the way.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


@dataclass(frozen=True, slots=True)
class Plan:
    """All that a run changes.

    Attributes:
        train: The train's name.
        environment: The environment's name.
        changes: One for each service on board, in dependency order.
        hash: SHA-256 of the rest of the plan as canonical JSON (RFC 8785), in hexadecimal.
        rollback: What goes back when a service fails.
        undo_of: The run that this one takes back; empty for a promotion.
    """

    train: str
    environment: str
    changes: tuple[Change, ...]
    hash: str
    rollback: Scope = "train"
    undo_of: str = ""

    @classmethod
    def of(
        cls,
        train: str,
        environment: str,
        changes: Sequence[Change],
        rollback: Scope = "train",
        undo_of: str = "",
    ) -> Plan:
        """The plan of these changes, with its hash.

        Raises:
            PlanError: it is too large for the head of a run's journal, which is one Secret.
        """
        unhashed = cls(train, environment, tuple(changes), "", rollback, undo_of)
        content = rfc8785.dumps(unhashed._content())
        if len(content) > MAX_BYTES:
            raise PlanError(
                [
                    f"the plan takes {len(content)} bytes, more than a run's journal holds ({MAX_BYTES}): "
                    "promote fewer services at once, or keep large data out of their manifests"
                ]
            )
        return replace(unhashed, hash=hashlib.sha256(content).hexdigest())

    @property
    def take_overs(self) -> tuple[tuple[Change, FieldWrite], ...]:
        """The fields that the run takes over from their owners; an approval of the plan approves these."""
        return tuple((change, write) for change in self.changes for write in change.take_overs)

    @property
    def irreversible(self) -> tuple[str, ...]:
        """The services whose release can't be taken back once it moved."""
        return tuple(change.service for change in self.changes if change.irreversible)

    def titled(self, text: str) -> str:
        """A text about the run; that of an undo begins with the run that it takes back."""
        return f"undo of {self.undo_of}: {text}" if self.undo_of else text

    @property
    def edges(self) -> dict[str, tuple[str, ...]]:
        """The services on board that each of them comes after."""
        return {change.service: change.after for change in self.changes}

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
            scope = data.get("rollback", "train")
            if scope not in get_args(Scope):
                raise TypeError(f"unknown rollback {scope!r}")
            undo_of = data.get("undo_of", "")
            if not isinstance(undo_of, str):
                raise TypeError(f"undo_of is {undo_of!r}")
            plan = cls.of(data["train"], data["environment"], changes, scope, undo_of)
            given = data["hash"]
        except (KeyError, TypeError, AttributeError, FieldError, ManifestError) as error:
            raise PlanError([f"not a plan: {type(error).__name__}: {error}"]) from error
        if plan.hash != given:
            raise PlanError([f"the plan was altered: its hash is {plan.hash}, expected {given}"])
        return plan

    def _content(self) -> dict[str, Any]:
        # What is the default has no key: a plan that an older Interlock stored keeps its hash.
        scope = {} if self.rollback == "train" else {"rollback": self.rollback}
        return {
            "version": _VERSION,
            "train": self.train,
            "environment": self.environment,
            **scope,
            **({"undo_of": self.undo_of} if self.undo_of else {}),
            "changes": [change.to_json() for change in self.changes],
        }


def make_plan(
    train: Train,
    config: RunConfig,
    live: Mapping[ObjectRef, Manifest | None],
    stored: Mapping[ObjectRef, Manifest] | None = None,
) -> Plan:
    """Work out what a run will change.

    Args:
        train: The train.
        config: What is on board, and where it goes.
        live: The objects of each release on board (`interlock.trains.release.refs`); None for one that
            isn't there.
        stored: The API server's answers to a dry run of `interlock.trains.release.drafts`. It fills in
            defaults and writes quantities its own way; what the plan promises is what will be found later.

    Raises:
        PlanError: A service can't be promoted; all reasons of all services at once.
    """
    changes: list[Change] = []
    problems: list[str] = []
    namespace = config.environment.namespace
    for name in train.order():
        if name not in config.board:
            continue
        service = train.service(name)
        found: list[str] = []
        objects: list[ObjectChange] = []
        for wanted in desired(service, config.board[name], namespace):
            ref = ref_of(wanted)
            present = live.get(ref)
            if ref.kind in WORKLOADS and present is None:
                found.append(f"no {ref} in namespace {namespace}")
                continue
            if present is not None:
                found += obstacles(service, present) if ref.kind in WORKLOADS else obstacle(present)
            objects.append(_object(present, wanted, (stored or {}).get(ref)))
        problems += [f"{name}: {problem}" for problem in found]
        if not found:
            *further, workload = objects
            before = depends_on({s.name: s.after for s in train.services}, name)
            # The last one read is the workload.
            values = {} if workload.writes or present is None else _values(present, wanted)
            changes.append(
                Change(
                    name,
                    workload.ref,
                    workload.writes,
                    objects=tuple(further),
                    irreversible=name in config.irreversible,
                    after=tuple(other for other in train.order() if other in before & set(config.board)),
                    holds=tuple(FieldWrite(path, value, value) for path, value in values.items()),
                )
            )
    if problems:
        raise PlanError(problems)
    return Plan.of(train.name, config.environment.name, changes, config.rollback)


def render(plan: Plan) -> str:
    """The plan for a log, one line a fact."""
    moving = sum(change.moves for change in plan.changes)
    lines = [
        f"Plan {plan.hash[:12]}: train {plan.train} to {plan.environment}, "
        f"{moving} to change, {len(plan.changes) - moving} already live"
    ]
    if plan.undo_of:
        lines.append(f"Undo of {plan.undo_of}: each field goes back to what it was before that run")
    if plan.rollback == "service":
        lines.append("If a service fails, only that service and what depends on it go back")
    for change in plan.changes:
        if not change.moves:
            lines.append(f"{change.service}: {change.ref} is already live, nothing to do")
            continue
        lines.append(f"{change.service}: {change.ref}")
        if change.irreversible:
            lines.append("  IRREVERSIBLE: once it moved, it stays, and with it all that it depends on")
        lines += _writes(ObjectChange(change.ref, change.writes))
        for further in change.objects:
            lines += _further(further)
    return "\n".join(lines)


def as_list(text: str) -> str:
    """A rendered plan as nested Markdown lists: Airflow's form runs the lines of a code block together."""
    first, *rest = text.splitlines()
    lines = []
    for line in rest:
        said = line.lstrip()
        lines.append(f"{line[: len(line) - len(said)]}- `{said.replace('`', chr(39))}`")
    return "\n".join([first, "", *lines])


def _further(change: ObjectChange) -> Iterator[str]:
    what = {"create": "is created", "delete": "is deleted", "change": "changes"}[change.action]
    yield f"  {change.ref} {what if change.moves else 'stays as it is'}"
    if change.action != "delete":
        yield from (f"  {line}" for line in _writes(change))


def _writes(change: ObjectChange) -> Iterator[str]:
    for write in change.writes:
        yield f"  {write.path}"
        yield f"    {shown(write.path, write.before)} → {shown(write.path, write.after)}"
        if write.takes_over:
            yield f"    taken over from {write.owner}"


def _values(live: Manifest, wanted: Mapping[str, Any]) -> dict[FieldPath, object]:
    return {path: get(live.raw, path) for path in wanted_fields(wanted)}


def _object(live: Manifest | None, wanted: Mapping[str, Any], stored: Manifest | None) -> ObjectChange:
    writes = []
    for path in wanted_fields(wanted):
        before = ABSENT if live is None else get(live.raw, path)
        after = get(wanted if stored is None else stored.raw, path)
        if not same(before, after):
            writes.append(FieldWrite(path, before, after, None if live is None else owner(live, path)))
    return ObjectChange(ref_of(wanted), tuple(writes), "create" if live is None else "change")
