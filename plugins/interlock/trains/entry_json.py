"""The entries of a journal as JSON, and back."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import cast, get_args

from interlock.manifest import Manifest, ObjectRef
from interlock.trains.change import FieldWrite
from interlock.trains.entries import Mutation, MutationState, Outcome, ServiceJournal


def service_json(journal: ServiceJournal) -> dict[str, object]:
    """A service's journal as JSON; `service_from` reads it."""
    return {
        "service": journal.service,
        "mutations": [_mutation_json(mutation) for mutation in journal.mutations],
        "restored": journal.restored,
        "outcome": journal.outcome,
        "reason": journal.reason,
    }


def service_from(body: Mapping[str, object]) -> ServiceJournal:
    """Read what `service_json` wrote; KeyError, TypeError or ValueError if it is something else."""
    outcome = body["outcome"]
    if outcome is not None and outcome not in get_args(Outcome):
        raise ValueError(f"unknown outcome {outcome!r}")
    return ServiceJournal(
        service=as_str(body, "service"),
        mutations=tuple(_mutation_from(as_map(item)) for item in cast("list[object]", body["mutations"])),
        restored=body["restored"] is True,
        outcome=cast("Outcome | None", outcome),
        reason=as_str(body, "reason"),
    )


def _mutation_json(mutation: Mutation) -> dict[str, object]:
    return {
        "ref": mutation.ref.to_json(),
        "uid": mutation.uid,
        "state": mutation.state,
        "transitions": mutation.transitions,
        "before": mutation.before.raw if mutation.before else None,
        "writes": [write.to_json() for write in mutation.writes],
        "after_generation": mutation.after_generation,
        "at": time_text(mutation.at),
        "try_number": mutation.try_number,
        **({"deletes": True} if mutation.deletes else {}),
    }


def _mutation_from(body: Mapping[str, object]) -> Mutation:
    state = as_str(body, "state")
    if state not in get_args(MutationState):
        raise ValueError(f"unknown state {state!r}")
    generation = body["after_generation"]
    before = body["before"]
    return Mutation(
        ref=ObjectRef.from_json(as_map(body["ref"])),
        uid=as_str(body, "uid"),
        state=cast("MutationState", state),
        transitions=as_int(body, "transitions"),
        before=None if before is None else Manifest.of(as_map(before)),
        writes=tuple(FieldWrite.from_json(as_map(item)) for item in cast("list[object]", body["writes"])),
        after_generation=None if generation is None else as_int(body, "after_generation"),
        at=datetime.fromisoformat(as_str(body, "at")),
        try_number=as_int(body, "try_number"),
        deletes=body.get("deletes") is True,
    )


def time_text(moment: datetime) -> str:
    """A time in UTC, RFC 3339."""
    if moment.tzinfo is None:
        raise ValueError(f"{moment!r} has no time zone")
    return moment.astimezone(UTC).isoformat(timespec="microseconds")


def as_map(value: object) -> Mapping[str, object]:
    """The value as an object, or ValueError."""
    if not isinstance(value, Mapping):
        raise ValueError(f"expected an object, found {value!r:.80}")
    return value


def as_str(body: Mapping[str, object], key: str) -> str:
    """The string under a key, or ValueError."""
    value = body[key]
    if not isinstance(value, str):
        raise ValueError(f"{key}: expected a string, found {value!r:.80}")
    return value


def as_int(body: Mapping[str, object], key: str) -> int:
    """The whole number under a key, or ValueError."""
    value = body[key]
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError(f"{key}: expected a whole number, found {value!r:.80}")
    return value
