"""Single fields of a Kubernetes object: naming, reading, writing and removing them.

A plan writes few fields of an object, and a rollback restores just those. `FieldPath` names one field so that
it survives reordering: an item of a list is named by its merge key, as server-side apply does, never by its
position. The text form is what people read in a plan:

    spec.template.spec.containers[name=app].image
    metadata.annotations["a.b/c"]

The functions never change what they are given; results share the untouched parts with it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import pairwise
from typing import Any, Final, TypeAlias, cast

_PLAIN_KEY = re.compile(r"[A-Za-z0-9_-]+")
_PLAIN_VALUE = re.compile(r"[A-Za-z0-9_./-]+")
_INTEGER = re.compile(r"0|-?[1-9][0-9]*")
_QUOTED = r'"(?:[^"\\]|\\.)*"'
_STEP = re.compile(
    rf"(?:^|(?<=.)\.)(?P<key>{_PLAIN_KEY.pattern})"
    rf"|\[(?P<quoted_key>{_QUOTED})\]"
    rf"|\[(?P<name>{_PLAIN_KEY.pattern})=(?:(?P<quoted>{_QUOTED})|(?P<plain>{_PLAIN_VALUE.pattern}))\]",
    re.DOTALL,
)

MERGE_KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    "containers": ("name",),
    "initContainers": ("name",),
    "ephemeralContainers": ("name",),
    "env": ("name",),
    "volumes": ("name",),
    "imagePullSecrets": ("name",),
    "volumeMounts": ("mountPath",),
    "ports": ("containerPort", "port"),
}
"""The lists whose items have a name of their own, after the `x-kubernetes-patch-merge-key` of Kubernetes'
OpenAPI schema. The first key that every item has, once each, is taken; any other list is one value."""


class FieldError(ValueError):
    """A path can't be read, or can't be applied to this object."""


class Absent(Enum):
    """The type of `ABSENT`: a field that isn't there, which differs from one that is null."""

    ABSENT = "absent"

    def __repr__(self) -> str:
        return "ABSENT"


ABSENT: Final = Absent.ABSENT


@dataclass(frozen=True, slots=True)
class ListKey:
    """A step to the item of a list whose field `name` has this value."""

    name: str
    value: str | int

    def __post_init__(self) -> None:
        if not _PLAIN_KEY.fullmatch(self.name):
            raise FieldError(f"{self.name!r} can't be a merge key: expected letters, digits, - and _")
        if isinstance(self.value, bool) or not isinstance(self.value, str | int):
            raise FieldError(f"the merge key {self.name} needs text or a whole number, not {self.value!r}")

    def __str__(self) -> str:
        if isinstance(self.value, int):
            return f"[{self.name}={self.value}]"
        plain = _PLAIN_VALUE.fullmatch(self.value) and not _INTEGER.fullmatch(self.value)
        return f"[{self.name}={self.value if plain else json.dumps(self.value, ensure_ascii=False)}]"


Step: TypeAlias = str | ListKey


@dataclass(frozen=True, slots=True)
class FieldPath:
    """The way to one field. `str(path)` and `FieldPath.parse` are inverse to each other."""

    steps: tuple[Step, ...]

    def __post_init__(self) -> None:
        if not self.steps:
            raise FieldError("a field path needs at least one step")
        if isinstance(self.steps[0], ListKey):
            raise FieldError(f"a field path begins with a field, not with {self.steps[0]}")
        for step, following in pairwise(self.steps):
            if isinstance(step, ListKey) and isinstance(following, ListKey):
                raise FieldError(f"{step}{following}: an item of a list can't be such a list itself")
            if isinstance(step, ListKey) and step.name == following:
                raise FieldError(
                    f"{step}.{following}: the merge key names the item, so it is no field of its own"
                )

    @classmethod
    def of(cls, *steps: Step) -> FieldPath:
        """The path of these steps: `FieldPath.of("spec", "ports", ListKey("port", 80), "name")`."""
        return cls(steps)

    @classmethod
    def parse(cls, text: str) -> FieldPath:
        """Read the text form.

        Raises:
            FieldError: The text is no path; the message says where and what was expected.
        """
        steps: list[Step] = []
        at = 0
        while at < len(text):
            step = _STEP.match(text, at)
            if step is None:
                raise FieldError(
                    f'not a field path: {text!r}: expected .field, ["field"] or [key=value] '
                    f"at position {at + 1}, found {text[at:]!r}"
                )
            steps.append(_step(step, text))
            at = step.end()
        return cls(tuple(steps))

    def __truediv__(self, step: Step) -> FieldPath:
        return FieldPath((*self.steps, step))

    def __str__(self) -> str:
        text = ""
        for step in self.steps:
            if isinstance(step, ListKey):
                text += str(step)
            elif _PLAIN_KEY.fullmatch(step):
                text += f".{step}" if text else step
            else:
                text += f"[{json.dumps(step, ensure_ascii=False)}]"
        return text


def get(raw: Mapping[str, object], path: FieldPath) -> object:
    """The value of a field, or `ABSENT`.

    Raises:
        FieldError: Two items of a list have the merge key, so the path names neither.
    """
    value: object = raw
    for step in path.steps:
        if isinstance(step, ListKey):
            position = _position(value, step, path)
            if position is None or not isinstance(value, Sequence):
                return ABSENT
            value = value[position]
        elif isinstance(value, Mapping) and step in value:
            value = value[step]
        else:
            return ABSENT
    return value


def put(raw: Mapping[str, object], path: FieldPath, value: object) -> dict[str, Any]:
    """A copy of the object in which the field has this value; what leads to it is created where missing.

    A parent that is null counts as missing. Putting `ABSENT` removes the field.

    Raises:
        FieldError: A parent has another type, or the value contradicts the merge key in its path.
    """
    if value is ABSENT:
        return remove(raw, path)
    last = path.steps[-1]
    if isinstance(last, ListKey) and not (
        isinstance(value, Mapping) and same(value.get(last.name, ABSENT), last.value)
    ):
        raise FieldError(f"{path}: the item must be an object with {last.name}: {last.value!r}")
    return cast("dict[str, Any]", _put(raw, path.steps, value, path))


def remove(raw: Mapping[str, object], path: FieldPath) -> dict[str, Any]:
    """A copy of the object without the field; one that isn't there is no error. Parents stay, even empty."""
    if get(raw, path) is ABSENT:
        return dict(raw)
    return cast("dict[str, Any]", _remove(raw, path.steps, path))


def leaves(obj: Mapping[str, object], *, keyed: bool = True) -> list[FieldPath]:
    """The fields that an apply object sets, in its own order.

    The merge key of an item is part of its path and no field of its own, unless the item holds nothing else:
    then the item is the leaf. Empty objects and lists without merge keys are leaves, and all lists if not
    `keyed`. Putting all leaves into an empty object gives the object again.
    """
    found: list[FieldPath] = []
    for key, value in obj.items():
        _leaves((key,), value, found, keyed)
    return found


def merge_key(field: str, items: Sequence[object]) -> str | None:
    """The key that tells the items of this list apart; None if the list is one value."""
    for key in MERGE_KEYS.get(field, ()):
        values = [item.get(key) if isinstance(item, Mapping) else None for item in items]
        if all(isinstance(v, str | int) and not isinstance(v, bool) for v in values):
            return key if items and len(set(values)) == len(values) else None
    return None


def same(one: object, other: object) -> bool:
    """Whether two JSON values are equal; true is not 1, and 1 is 1.0, as in JSON."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(same, one, other))
    return isinstance(one, bool) == isinstance(other, bool) and one == other


def _leaves(steps: tuple[Step, ...], value: object, found: list[FieldPath], keyed: bool) -> None:
    last = steps[-1]
    if keyed and isinstance(value, list) and isinstance(last, str) and (key := merge_key(last, value)):
        for item in value:
            _leaves((*steps, ListKey(key, item[key])), item, found, keyed)
        return
    inner: list[str] = []
    if isinstance(value, Mapping):
        inner = [name for name in value if not (isinstance(last, ListKey) and last.name == name)]
        for name in inner:
            _leaves((*steps, name), value[name], found, keyed)
    if not inner:
        found.append(FieldPath(steps))


def _position(value: object, step: ListKey, path: FieldPath) -> int | None:
    if not isinstance(value, list | tuple):
        return None
    hits = [
        at
        for at, item in enumerate(value)
        if isinstance(item, Mapping) and same(item.get(step.name, ABSENT), step.value)
    ]
    if len(hits) > 1:
        raise FieldError(
            f"{path}: {len(hits)} items have {step.name}: {step.value!r}, so it names none of them"
        )
    return hits[0] if hits else None


def _put(parent: object, steps: tuple[Step, ...], value: object, path: FieldPath) -> object:
    if not steps:
        return value
    step, rest = steps[0], steps[1:]
    if isinstance(step, ListKey):
        if parent is not None and not isinstance(parent, list | tuple):
            raise FieldError(f"{path}: expected a list before {step}, found {type(parent).__name__}")
        items = list(parent or ())
        position = _position(items, step, path)
        if position is None:
            items.append(_put({step.name: step.value}, rest, value, path))
        else:
            items[position] = _put(items[position], rest, value, path)
        return items
    if parent is not None and not isinstance(parent, Mapping):
        raise FieldError(f"{path}: expected an object before {step!r}, found {type(parent).__name__}")
    fields = dict(parent or {})
    fields[step] = _put(fields.get(step), rest, value, path)
    return fields


def _remove(parent: object, steps: tuple[Step, ...], path: FieldPath) -> object:
    step, rest = steps[0], steps[1:]
    changed: Any = (
        list(parent) if isinstance(parent, list | tuple) else dict(cast("Mapping[str, object]", parent))
    )
    at = _position(changed, step, path) if isinstance(step, ListKey) else step
    if rest:
        changed[at] = _remove(changed[at], rest, path)
    else:
        del changed[at]
    return changed


def _step(found: re.Match[str], text: str) -> Step:
    try:
        if found["key"]:
            return found["key"]
        if found["quoted_key"]:
            return str(json.loads(found["quoted_key"]))
        if found["quoted"]:
            return ListKey(found["name"], str(json.loads(found["quoted"])))
    except json.JSONDecodeError as error:
        raise FieldError(f"not a field path: {text!r}: {found[0]} is no JSON string") from error
    plain = found["plain"]
    return ListKey(found["name"], int(plain) if _INTEGER.fullmatch(plain) else plain)
