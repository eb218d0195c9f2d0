"""What each kind of statement may say: one allow-list of fields per predicate type.

An allow-list is the first line against secrets in evidence: a field that nobody listed is dropped, however
harmless it looks, and only the number of dropped fields is kept. What is listed is still searched for
secrets (`interlock.evidence.redaction`), because an allowed field may carry a forbidden value.

A list is written as dotted paths, `changes.writes.path`. Lists of objects are walked item by item, so the
path says nothing about them. `*` stands for any key. A path names a leaf: a scalar or a list of scalars;
an object found where a leaf is expected is dropped as a whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, TypeAlias

BASE: Final = "https://interlock.internal/predicates"

Allowed: TypeAlias = Mapping[str, "Allowed | None"]
"""A tree of field names; None marks a leaf."""


class UnknownPredicateError(KeyError):
    """No predicate type has this name."""

    def __str__(self) -> str:
        """Return the message without the quotes that KeyError would add."""
        return str(self.args[0])


def allow(*paths: str) -> Allowed:
    """Return the tree for dotted paths.

    Raises:
        ValueError: one path makes a leaf of what another path walks through.
    """
    root: dict[str, Allowed | None] = {}
    for path in paths:
        *parents, leaf = path.split(".")
        node = root
        for step in parents:
            child = node.setdefault(step, {})
            if not isinstance(child, dict):
                raise ValueError(f"{path}: {step} is already listed as a leaf")
            node = child
        if node.setdefault(leaf, None) is not None:
            raise ValueError(f"{path}: is already listed with fields of its own")
    return root


@dataclass(frozen=True)
class Predicate:
    """One predicate type.

    Attributes:
        name: how code and DAG files call it, such as "promote".
        fields: what the statement itself may carry.
        evidence: what the evidence blob beside the statement may carry.
    """

    name: str
    fields: Allowed
    evidence: Allowed

    @property
    def uri(self) -> str:
        """The in-toto predicateType, version included."""
        return f"{BASE}/{self.name}/v1"


_RUN = ("train", "environment", "service", "reason", "at", "try_number", "undo_of")
_WRITES = ("ref", "path", "before", "after", "owner")
_CHANGES = (
    *(f"changes.{f}" for f in ("service", "ref", "action", "noop", "irreversible")),
    *(f"changes.writes.{f}" for f in _WRITES),
)
_WORKLOAD = ("ref", "uid", "resource_version", "transitions", "plan_hash")
_FAILURE = tuple(f"failure.{f}" for f in ("pod", "container", "reason", "message", "restarts"))
_CHECKS = ("checks.name", "checks.passed", "checks.reason", "checks.expected", "checks.found")


def _predicate(name: str, *fields: str, evidence: tuple[str, ...] = ()) -> Predicate:
    return Predicate(name, allow(*_RUN, *fields), allow(*evidence))


PREDICATES: Final[Mapping[str, Predicate]] = MappingProxyType(
    {
        p.name: p
        for p in (
            _predicate(
                "plan",
                *("plan_hash", "dry_run", "change", "services", "releases.*", "triggered_by", "approval"),
                *("rollback", "irreversible"),
                *_CHANGES,
                evidence=("train", "environment", "hash", *_CHANGES),
            ),
            _predicate(
                "lock",
                *("action", "holder", "plan_hash", "leases.name", "leases.service", "leases.holder"),
                *("leases.transitions", "held_by", "since"),
            ),
            _predicate("preflight", *_WORKLOAD, "passed", "ended_at", *_CHECKS, evidence=_CHECKS),
            _predicate(
                "promote",
                *_WORKLOAD,
                *(f"writes.{f}" for f in _WRITES),
                *("before_hash", "after_hash"),
                *("before_generation", "after_generation", "outcome", "started_at", "ended_at"),
                *("replicas", "updated_replicas", "available_replicas", *_FAILURE),
                evidence=tuple(f"writes.{f}" for f in _WRITES),
            ),
            _predicate(
                "verify",
                *_WORKLOAD,
                *("passed", "outcome", "soak_seconds", "restarts", "started_at", "ended_at"),
                *(*_CHECKS, *_FAILURE),
                evidence=_CHECKS,
            ),
            _predicate(
                "rollback",
                *_WORKLOAD,
                *("scope", "order", "outcome", "whole", "started_at", "ended_at"),
                *("before_hash", "after_hash"),
                *("restored.path", "restored.before", "restored.after"),
                *("conflicts.path", "conflicts.expected", "conflicts.found"),
                *("services.service", "services.verdict", "services.reason"),
                evidence=(
                    *("restored.ref", "restored.path", "restored.before", "restored.after"),
                    *("conflicts.path", "conflicts.expected", "conflicts.found"),
                ),
            ),
            _predicate(
                "vault-read",
                *("path", "mount", "kv_version", "keys", "version", "created_at", "age_seconds"),
                *("versions.version", "versions.created_at", "versions.deleted", "versions.destroyed"),
            ),
            _predicate(
                "verification",
                *("source", "verdict", "since", "entries", "year", "size", "root", "bad", "notices"),
                *("codes.*", "first_bad.year", "first_bad.index"),
            ),
            _predicate(
                "mesh-check",
                *("namespace", "verdict", "fail_on", "allow", "blocking", "counts.*"),
                evidence=(
                    "namespace",
                    *(f"findings.{f}" for f in ("code", "name", "severity", "ref", "text", "blocks")),
                ),
            ),
            _predicate(
                "mesh-probe",
                *("namespace", "verdict", "fail_on", "allow", "blocking", "counts.*", "tried", "left_out"),
                evidence=(
                    "namespace",
                    *(f"findings.{f}" for f in ("code", "name", "severity", "ref", "text", "blocks")),
                    *(f"ports.{f}" for f in ("pod", "port", "mode", "declared_plaintext", "declared_mtls")),
                    *(f"ports.{f}" for f in ("plaintext", "mtls", "said", "identity", "expires")),
                ),
            ),
            _predicate(
                "environment-check",
                *("verdict", "collection", "blocking", "counts.*"),
                evidence=(
                    "environment",
                    *(f"checks.{f}" for f in ("code", "what", "where", "status", "severity", "said", "fix")),
                ),
            ),
            _predicate(
                "onboarding",
                *("verdict", "counts.*", "open", "excepted"),
                evidence=(
                    *("service", "environment"),
                    *(f"items.{f}" for f in ("id", "verdict", "said", "reason", "until", "fix")),
                ),
            ),
            _predicate(
                "seal",
                *("plan_hash", "outcome", "triggered_by", "approved_by", "approved_at", "change"),
                *("statements", "complete", "incomplete_because", "began_at"),
                *("services.service", "services.verdict", "services.reason"),
                evidence=("statements",),
            ),
        )
    }
)
"""All predicate types of a train's steps, by name."""

LATE_URI: Final = f"{BASE}/late/v1"
"""A statement that was made while no signature could be had, signed when it was shipped."""
SHIPPED_URI: Final = f"{BASE}/shipped/v1"
"""Which statements of a batch had waited, and when they were shipped."""
CLOSED_URI: Final = f"{BASE}/log-closed/v1"
"""The last entry of a year's log."""
OPENED_URI: Final = f"{BASE}/log-opened/v1"
"""The first entry of a log that goes on where the year before ended."""
KNOWN: Final = frozenset(
    {*(one.uri for one in PREDICATES.values()), LATE_URI, SHIPPED_URI, CLOSED_URI, OPENED_URI}
)
"""The URIs of all types that this version makes."""


def predicate(name: str) -> Predicate:
    """Return the predicate type called `name`.

    Raises:
        UnknownPredicateError: there is none; the message lists those that exist.
    """
    found = PREDICATES.get(name)
    if found is None:
        raise UnknownPredicateError(f"no predicate type {name!r}; there are: {', '.join(sorted(PREDICATES))}")
    return found
