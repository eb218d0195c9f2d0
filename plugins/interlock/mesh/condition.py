"""Conditions of authorization rules, evaluated as Envoy does, with a third answer for the unknown.

Envoy: source/extensions/filters/common/rbac/matchers.cc, source/common/common/matchers.cc.
"""

from __future__ import annotations

import ipaddress
import re
from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar, Protocol

from interlock.mesh.path import template
from interlock.mesh.request import Claim, Identity, Request
from interlock.mesh.settings import PathNormalization
from interlock.mesh.verdict import Answer

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


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

    @abstractmethod
    def matches(self, request: Request) -> Answer:
        """As `Condition.matches`."""

    def unknowns(self, request: Request) -> Iterator[str]:
        """As `Condition.unknowns`."""
        if self.matches(request) is Answer.INDETERMINATE:
            yield self.subject


@dataclass(frozen=True, slots=True)
class Address(Leaf):
    """An address in a network; `subject` is `source.ip`, `remote.ip` or `destination.ip`."""

    network: Network
    subject: str

    def matches(self, request: Request) -> Answer:
        """As `Condition.matches`."""
        found = {
            "source.ip": request.source_ip,
            "remote.ip": request.client_ip,
            "destination.ip": request.destination_ip,
        }[self.subject]
        if found is None:
            return Answer.INDETERMINATE
        try:
            return Answer.of(ipaddress.ip_address(found) in self.network)
        except ValueError:
            return Answer.NO


@dataclass(frozen=True, slots=True)
class Port(Leaf):
    """The container's port."""

    number: int
    subject: str = "destination.port"

    def matches(self, request: Request) -> Answer:
        """As `Condition.matches`."""
        return Answer.of(request.port == self.number)


@dataclass(frozen=True, slots=True)
class ServerName(Leaf):
    """The SNI; of a plaintext connection it is empty."""

    text: Text
    subject: str = "connection.sni"

    def matches(self, request: Request) -> Answer:
        """As `Condition.matches`."""
        found = request.server_name
        return Answer.INDETERMINATE if found is None else Answer.of(self.text.matches(found))


@dataclass(frozen=True, slots=True)
class Peer(Leaf):
    """The identity in the peer's certificate; plaintext never matches."""

    text: Text
    subject: str = "source.principal"

    def matches(self, request: Request) -> Answer:
        """As `Condition.matches`."""
        if request.principal is Identity.ANY:
            every = self.text in (Text("regex", ".+"), Text("prefix", "spiffe://"))
            return Answer.YES if every else Answer.INDETERMINATE
        return Answer.of(bool(request.uri) and self.text.matches(request.uri))


@dataclass(frozen=True, slots=True)
class Header(Leaf):
    """A header's value; `text` None asks only whether there is one."""

    name: str
    text: Text | None

    @property
    def subject(self) -> str:  # type: ignore[override]
        """The header, for people."""
        return {":method": "method", ":authority": "host"}.get(self.name, f"header {self.name}")

    def matches(self, request: Request) -> Answer:
        """As `Condition.matches`."""
        if not self.name:
            return Answer.INDETERMINATE  # Envoy refuses such a configuration, and keeps the one before it.
        known, value = request.header(self.name)
        if not known:
            return Answer.INDETERMINATE
        return Answer.of(value is not None and (self.text is None or self.text.matches(value)))


@dataclass(frozen=True, slots=True)
class UrlPath(Leaf):
    """The path without query; a template if `text` is one as text."""

    text: Text | str
    normalization: PathNormalization
    subject: str = "path"

    def matches(self, request: Request) -> Answer:
        """As `Condition.matches`."""
        found = request.url_path(self.normalization)
        if found is None:
            return Answer.INDETERMINATE
        if isinstance(self.text, Text):
            return Answer.of(self.text.matches(found))
        pattern = template(self.text)
        return Answer.INDETERMINATE if pattern is None else Answer.of(pattern.fullmatch(found) is not None)


@dataclass(frozen=True, slots=True)
class TokenClaim(Leaf):
    """A claim that is one of several texts, or a list that holds one; no other kind of value matches."""

    path: tuple[str, ...]
    texts: tuple[Text, ...]

    @property
    def subject(self) -> str:  # type: ignore[override]
        """The claim, for people."""
        return f"claim {'.'.join(self.path)}"

    def matches(self, request: Request) -> Answer:
        """As `Condition.matches`."""
        claims = request.token
        if claims is None:
            return Answer.INDETERMINATE
        found: Claim = dict(claims)
        for key in self.path:
            found = found.get(key) if isinstance(found, dict) else None
        if self.path in (("scope",), ("permission",)) and isinstance(found, str):
            found = list(found.split())
        values = found if isinstance(found, list) else [found]
        return Answer.of(any(isinstance(v, str) and any(t.matches(v) for t in self.texts) for v in values))


@dataclass(frozen=True, slots=True)
class Metadata(Leaf):
    """Envoy's dynamic metadata; a value as `[x]` asks for a list that holds `x`."""

    filter: str
    key: str
    text: Text
    in_list: bool

    @property
    def subject(self) -> str:  # type: ignore[override]
        """The metadata, for people."""
        return f"metadata {self.filter}[{self.key}]"

    def matches(self, request: Request) -> Answer:
        """As `Condition.matches`."""
        if request.metadata is None:
            return Answer.INDETERMINATE
        found = request.metadata.get(self.filter, {}).get(self.key)
        if self.in_list:
            values = found if isinstance(found, list) else []
            return Answer.of(any(isinstance(value, str) and self.text.matches(value) for value in values))
        return Answer.of(isinstance(found, str) and self.text.matches(found))
