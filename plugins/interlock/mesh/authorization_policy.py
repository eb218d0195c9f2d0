"""AuthorizationPolicy: its fields, as Istio reads them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from interlock.mesh.reading import Problem, items, labels, mapping, path, text, timestamp, typed_texts
from interlock.mesh.selection import Selection

DRY_RUN = "istio.io/dry-run"

SOURCE_FIELDS = (
    "principals",
    "requestPrincipals",
    "serviceAccounts",
    "trustDomains",
    "namespaces",
    "remoteIpBlocks",
    "ipBlocks",
)
"""The fields of `from.source`; each has a negative, `notPrincipals`."""

OPERATION_FIELDS = ("hosts", "methods", "paths", "ports")
"""The fields of `to.operation`; each has a negative."""


class Action(StrEnum):
    """What a policy does with what its rules match; UNKNOWN is an action that Istio can't read."""

    ALLOW = "ALLOW"
    DENY = "DENY"
    AUDIT = "AUDIT"
    CUSTOM = "CUSTOM"
    UNKNOWN = "UNKNOWN"


_ACTIONS: dict[object, Action] = {
    None: Action.ALLOW,
    "ALLOW": Action.ALLOW,
    "DENY": Action.DENY,
    "AUDIT": Action.AUDIT,
    "CUSTOM": Action.CUSTOM,
    0: Action.ALLOW,
    1: Action.DENY,
    2: Action.AUDIT,
    3: Action.CUSTOM,
}


@dataclass(frozen=True, slots=True)
class Values:
    """One field of a rule: its name, the values it must have one of, and those it must have none of."""

    key: str
    values: tuple[str, ...]
    not_values: tuple[str, ...]

    def __bool__(self) -> bool:
        return bool(self.values or self.not_values)


@dataclass(frozen=True, slots=True, eq=False)
class Rule:
    """One rule: it matches if one source, one operation and each condition match.

    Two rules are equal only if they are the same one, so that what a rule compiles to is found quickly.

    Attributes:
        sources: The fields of each `from`; without any, every source matches.
        operations: The fields of each `to`; without any, every operation matches.
        conditions: The entries of `when`.
    """

    sources: tuple[tuple[Values, ...], ...]
    operations: tuple[tuple[Values, ...], ...]
    conditions: tuple[Values, ...]

    def every(self) -> Iterator[Values]:
        """All its fields."""
        yield from (values for group in (*self.sources, *self.operations) for values in group)
        yield from self.conditions


@dataclass(frozen=True, slots=True)
class AuthorizationPolicy:
    """One AuthorizationPolicy. Build it with `of`.

    Attributes:
        namespace: Its namespace.
        name: Its name.
        created: When it was created, UTC.
        action: What it does.
        selection: Whom it is for.
        rules: Its rules; with none it matches nothing, so an ALLOW policy then allows nothing.
        dry_run: Whether it is only tried (`istio.io/dry-run`).
        provider: Who decides for CUSTOM.
        has_rules: Whether `rules` is there at all.
        annotated: Whether it has the annotation `istio.io/dry-run`, whatever it says.
        problems: What is wrong with it.
    """

    namespace: str
    name: str
    created: datetime
    action: Action
    selection: Selection
    rules: tuple[Rule, ...]
    dry_run: bool
    provider: str
    has_rules: bool
    annotated: bool = False
    problems: tuple[Problem, ...] = ()

    @classmethod
    def of(cls, raw: Mapping[str, object]) -> AuthorizationPolicy:
        """The policy of its JSON; what can't be read is among its problems."""
        metadata, spec = mapping(raw.get("metadata")), mapping(raw.get("spec"))
        problems: list[Problem] = []
        given = spec.get("action")
        action = _ACTIONS.get(given) if isinstance(given, str | int | None) else None
        if action is None or isinstance(given, bool):
            action = Action.UNKNOWN
            problems.append(
                Problem(
                    "spec.action", f"found {given!r}, expected ALLOW, DENY, AUDIT or CUSTOM", undecodable=True
                )
            )
        selection = Selection.of(spec)
        rules = tuple(
            _rule(rule, f"spec.rules.{index}", problems)
            for index, rule in enumerate(items(spec.get("rules")))
        )
        if spec.get("rules") is not None and not isinstance(spec.get("rules"), list | tuple):
            problems.append(Problem("spec.rules", "expected a list", undecodable=True))
        return cls(
            namespace=text(metadata.get("namespace")) or "default",
            name=text(metadata.get("name")),
            created=timestamp(metadata.get("creationTimestamp")),
            action=action,
            selection=selection,
            rules=rules,
            dry_run=_parse_bool(labels(metadata.get("annotations")).get(DRY_RUN), problems),
            provider=text(path(spec, "provider", "name")),
            has_rules=spec.get("rules") is not None,
            annotated=DRY_RUN in labels(metadata.get("annotations")),
            problems=(*problems, *selection.problems),
        )

    @property
    def ref(self) -> str:
        """`AuthorizationPolicy payments/callers`."""
        return f"AuthorizationPolicy {self.namespace}/{self.name}"

    @property
    def readable(self) -> bool:
        """Whether Istio can read it; one that it can't, it ignores."""
        return not any(problem.undecodable for problem in self.problems)

    @property
    def age_order(self) -> tuple[datetime, str, str]:
        """Sorts the oldest first, as Istio lists them."""
        return (self.created, self.name, self.namespace)


def _rule(raw: object, field: str, problems: list[Problem]) -> Rule:
    if not isinstance(raw, Mapping):
        problems.append(Problem(field, f"found {raw!r}, expected a rule", undecodable=True))
    found = mapping(raw)
    sources = tuple(
        _group(path(entry, "source"), SOURCE_FIELDS, f"{field}.from.{index}.source", problems)
        for index, entry in enumerate(items(found.get("from")))
    )
    operations = tuple(
        _group(path(entry, "operation"), OPERATION_FIELDS, f"{field}.to.{index}.operation", problems)
        for index, entry in enumerate(items(found.get("to")))
    )
    conditions = []
    for index, entry in enumerate(map(mapping, items(found.get("when")))):
        at = f"{field}.when.{index}"
        conditions.append(
            Values(
                text(entry.get("key")),
                typed_texts(entry.get("values"), f"{at}.values", problems),
                typed_texts(entry.get("notValues"), f"{at}.notValues", problems),
            )
        )
    return Rule(sources, operations, tuple(conditions))


def _group(raw: object, names: tuple[str, ...], field: str, problems: list[Problem]) -> tuple[Values, ...]:
    found = mapping(raw)
    values = (
        Values(
            name,
            typed_texts(found.get(name), f"{field}.{name}", problems),
            typed_texts(found.get(negative), f"{field}.{negative}", problems),
        )
        for name in names
        for negative in (f"not{name[0].upper()}{name[1:]}",)
    )
    return tuple(value for value in values if value)


def _parse_bool(value: str | None, problems: list[Problem]) -> bool:
    """As Go's strconv.ParseBool; what it can't read is false, so that the policy is enforced."""
    if value is None:
        return False
    if value in ("1", "t", "T", "TRUE", "true", "True"):
        return True
    if value not in ("0", "f", "F", "FALSE", "false", "False"):
        problems.append(
            Problem(f"metadata.annotations.{DRY_RUN}", f"found {value!r}, expected true or false")
        )
    return False
