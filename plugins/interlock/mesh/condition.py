"""Conditions of authorization rules, evaluated as Envoy does, with a third answer for the unknown.

Envoy: source/extensions/filters/common/rbac/matchers.cc, source/common/common/matchers.cc.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Hashable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar, Protocol

from interlock.mesh.request import Request
from interlock.mesh.verdict import Answer


class Condition(Protocol):
    """Something that a request fulfils or not."""

    def matches(self, request: Request) -> Answer:
        """Whether the request fulfils it; INDETERMINATE if what it asks about is not known."""

    def unknowns(self, request: Request) -> Iterator[str]:
        """What would have to be known of the request, for people."""


@dataclass(frozen=True, slots=True)
class Text:
    """A way to match text: `exact`, `prefix`, `suffix` or `regex` (of all of it)."""

    kind: str
    value: str
    ignore_case: bool = False

    def matches(self, found: str) -> bool:
        """Whether the text matches."""
        value = self.value
        if self.kind == "regex":
            return _compiled(value).fullmatch(found) is not None
        if self.ignore_case:
            found, value = found.lower(), value.lower()
        if self.kind == "prefix":
            return found.startswith(value)
        return found.endswith(value) if self.kind == "suffix" else found == value


@lru_cache(maxsize=65536)
def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern)


@dataclass(frozen=True, slots=True)
class _Several:
    """Several conditions, of which the first one that answers `decides` does so; else it is the opposite."""

    parts: tuple[Condition, ...]
    decides: ClassVar[Answer]

    def matches(self, request: Request) -> Answer:
        """As `Condition.matches`."""
        found = ~self.decides
        for part in self.parts:
            answer = part.matches(request)
            if answer is self.decides:
                return answer
            if answer is Answer.INDETERMINATE:
                found = answer
        return found

    def unknowns(self, request: Request) -> Iterator[str]:
        """As `Condition.unknowns`."""
        return (name for part in self.parts for name in part.unknowns(request))


class All(_Several):
    """Each of several conditions; with none it is fulfilled."""

    __slots__ = ()
    decides = Answer.NO


class Some(_Several):
    """One of several conditions at least."""

    __slots__ = ()
    decides = Answer.YES


@dataclass(frozen=True, slots=True)
class Not:
    """The opposite of a condition."""

    part: Condition

    def matches(self, request: Request) -> Answer:
        """As `Condition.matches`."""
        return ~self.part.matches(request)

    def unknowns(self, request: Request) -> Iterator[str]:
        """As `Condition.unknowns`."""
        return self.part.unknowns(request)


class Leaf(ABC):
    """A condition about one thing of the request, `subject`."""

    __slots__ = ()
    subject: str

    @property
    def topic(self) -> Hashable:
        """What it asks about; conditions of one topic take the same `part` of a request."""
        return type(self)

    @abstractmethod
    def part(self, request: Request) -> object:
        """What it asks about, as `fits` takes it; None if that is not known."""

    @abstractmethod
    def fits(self, part: Any) -> Answer:
        """Whether that fulfils it."""

    @property
    def only(self) -> Hashable:
        """The one part that fulfils it; None if there may be several."""
        return None

    def matches(self, request: Request) -> Answer:
        """As `Condition.matches`."""
        part = self.part(request)
        return Answer.INDETERMINATE if part is None else self.fits(part)

    def unknowns(self, request: Request) -> Iterator[str]:
        """As `Condition.unknowns`."""
        if self.matches(request) is Answer.INDETERMINATE:
            yield self.subject
