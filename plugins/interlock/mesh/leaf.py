"""The single conditions of authorization rules: each about one thing of a request.

Envoy: source/extensions/filters/common/rbac/matchers.cc, source/common/common/matchers.cc.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Hashable
from dataclasses import dataclass
from functools import lru_cache

from interlock.mesh.condition import Leaf, Text
from interlock.mesh.path import template
from interlock.mesh.request import Claim, Identity, Request
from interlock.mesh.settings import PathNormalization
from interlock.mesh.verdict import Answer

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class Address(Leaf):
    """An address in a network; `subject` is `source.ip`, `remote.ip` or `destination.ip`."""

    network: Network
    subject: str

    @property
    def topic(self) -> Hashable:
        """As `Leaf`."""
        return self.subject

    def part(self, request: Request) -> str | None:
        """As `Leaf.part`."""
        if self.subject == "remote.ip":
            return request.client_ip
        return request.source_ip if self.subject == "source.ip" else request.destination_ip

    def fits(self, part: str) -> Answer:
        """As `Leaf.fits`."""
        found = _address(part)
        return Answer.of(found is not None and found in self.network)


@lru_cache(maxsize=65536)
def _address(written: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        return ipaddress.ip_address(written)
    except ValueError:
        return None


@dataclass(frozen=True, slots=True)
class Port(Leaf):
    """The container's port."""

    number: int
    subject: str = "destination.port"

    def part(self, request: Request) -> int:
        """As `Leaf.part`."""
        return request.port

    def fits(self, part: int) -> Answer:
        """As `Leaf.fits`."""
        return Answer.of(part == self.number)

    @property
    def only(self) -> Hashable:
        """As `Leaf.only`."""
        return self.number


@dataclass(frozen=True, slots=True)
class ServerName(Leaf):
    """The SNI; of a plaintext connection it is empty."""

    text: Text
    subject: str = "connection.sni"

    def part(self, request: Request) -> str | None:
        """As `Leaf.part`."""
        return request.server_name

    def fits(self, part: str) -> Answer:
        """As `Leaf.fits`."""
        return Answer.of(self.text.matches(part))


@dataclass(frozen=True, slots=True)
class Peer(Leaf):
    """The identity in the peer's certificate; plaintext never matches."""

    text: Text
    subject: str = "source.principal"

    def part(self, request: Request) -> str | None:
        """As `Leaf.part`; for `Identity.ANY`, of which something is known, None too."""
        return None if request.principal is Identity.ANY else request.uri

    def fits(self, part: str) -> Answer:
        """As `Leaf.fits`."""
        return Answer.of(part != "" and self.text.matches(part))

    @property
    def only(self) -> Hashable:
        """As `Leaf.only`."""
        return self.text.value if self.text.kind == "exact" and self.text.value else None

    def matches(self, request: Request) -> Answer:
        """As `Condition.matches`."""
        part = self.part(request)
        if part is not None:
            return self.fits(part)
        every = self.text in (Text("regex", ".+"), Text("prefix", "spiffe://"))
        return Answer.YES if every else Answer.INDETERMINATE


@dataclass(frozen=True, slots=True)
class Header(Leaf):
    """A header's value; `text` None asks only whether there is one."""

    name: str
    text: Text | None

    @property
    def subject(self) -> str:  # type: ignore[override]
        """The header, for people."""
        return {":method": "method", ":authority": "host"}.get(self.name, f"header {self.name}")

    @property
    def topic(self) -> Hashable:
        """As `Leaf`."""
        return (Header, self.name)

    def part(self, request: Request) -> tuple[str, ...] | None:
        """As `Leaf.part`: the value; empty without the header."""
        if not self.name:
            return None  # Envoy refuses such a configuration, and keeps the one before it.
        known, value = request.header(self.name)
        if not known:
            return None
        return () if value is None else (value,)

    def fits(self, part: tuple[str, ...]) -> Answer:
        """As `Leaf.fits`."""
        return Answer.of(bool(part) and (self.text is None or self.text.matches(part[0])))

    @property
    def only(self) -> Hashable:
        """As `Leaf.only`."""
        one = self.text is not None and self.text.kind == "exact" and not self.text.ignore_case
        return (self.text.value,) if self.text is not None and one else None


@dataclass(frozen=True, slots=True)
class UrlPath(Leaf):
    """The path without query; a template if `text` is one as text."""

    text: Text | str
    normalization: PathNormalization
    subject: str = "path"

    @property
    def topic(self) -> Hashable:
        """As `Leaf`."""
        return (UrlPath, self.normalization)

    def part(self, request: Request) -> str | None:
        """As `Leaf.part`."""
        return request.url_path(self.normalization)

    def fits(self, part: str) -> Answer:
        """As `Leaf.fits`; a template that Envoy would refuse is INDETERMINATE."""
        if isinstance(self.text, Text):
            return Answer.of(self.text.matches(part))
        pattern = template(self.text)
        return Answer.INDETERMINATE if pattern is None else Answer.of(pattern.fullmatch(part) is not None)

    @property
    def only(self) -> Hashable:
        """As `Leaf.only`."""
        return self.text.value if isinstance(self.text, Text) and self.text.kind == "exact" else None


@dataclass(frozen=True, slots=True)
class TokenClaim(Leaf):
    """A claim that is one of several texts, or a list that holds one; no other kind of value matches."""

    path: tuple[str, ...]
    texts: tuple[Text, ...]

    @property
    def subject(self) -> str:  # type: ignore[override]
        """The claim, for people."""
        return f"claim {'.'.join(self.path)}"

    @property
    def topic(self) -> Hashable:
        """As `Leaf`."""
        return (TokenClaim, self.path)

    def part(self, request: Request) -> tuple[str, ...] | None:
        """As `Leaf.part`: the texts that the claim holds."""
        claims = request.token
        if claims is None:
            return None
        found: Claim = dict(claims)
        for key in self.path:
            found = found.get(key) if isinstance(found, dict) else None
        if self.path in (("scope",), ("permission",)) and isinstance(found, str):
            found = list(found.split())
        values = found if isinstance(found, list) else [found]
        return tuple(value for value in values if isinstance(value, str))

    def fits(self, part: tuple[str, ...]) -> Answer:
        """As `Leaf.fits`."""
        return Answer.of(any(text.matches(value) for value in part for text in self.texts))


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

    @property
    def topic(self) -> Hashable:
        """As `Leaf`."""
        return (Metadata, self.filter, self.key, self.in_list)

    def part(self, request: Request) -> tuple[str, ...] | None:
        """As `Leaf.part`: the text, or those of the list."""
        if request.metadata is None:
            return None
        found = request.metadata.get(self.filter, {}).get(self.key)
        values = (found if isinstance(found, list) else []) if self.in_list else [found]
        return tuple(value for value in values if isinstance(value, str))

    def fits(self, part: tuple[str, ...]) -> Answer:
        """As `Leaf.fits`."""
        return Answer.of(any(self.text.matches(value) for value in part))
