"""A request (or, on a TCP port, a connection) that is asked about.

What is not known is None, and a decision that would depend on it is indeterminate. What is known to be absent
is empty: no identity, no headers, no token.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from interlock.mesh.path import normalized
from interlock.mesh.settings import PathNormalization

Claim = str | bool | int | float | list["Claim"] | dict[str, "Claim"] | None
"""A value in a token."""

SPIFFE = "spiffe://"


class Identity(Enum):
    """Identities that aren't one certain principal."""

    ANY = "some identity of the mesh, which one is not known"


@dataclass(frozen=True, slots=True)
class Request:
    """One request to a workload's port.

    Attributes:
        port: The port of the container, not of the Service.
        principal: The caller's identity in its certificate, `cluster.local/ns/a/sa/b`, with or without
            `spiffe://`; empty for plaintext; `Identity.ANY` for any identity.
        http: Whether it is HTTP; on a port that Istio takes for HTTP or for TCP the port decides.
        source_ip: The address of the peer; None if not known.
        remote_ip: The original client's address; None takes it from X-Forwarded-For, else from the peer.
        destination_ip: The address that is called; None if not known.
        method: `GET`; None if not known.
        path: Path with query, as the client sends it; None if not known.
        host: The Host or :authority header; None if not known.
        headers: The other headers, names in any case; None if not known.
        claims: The claims of a token that the sidecar has validated; empty without a token, None if not
        known. request_principal: `ISSUER/SUBJECT` of the token, instead of the claims `iss` and `sub`. sni:
        The server name of the TLS handshake; None if not known. metadata: Envoy's dynamic metadata by filter,
        for `experimental.envoy.filters.…` conditions.
    """

    port: int
    principal: str | Identity = ""
    http: bool = True
    source_ip: str | None = None
    remote_ip: str | None = None
    destination_ip: str | None = None
    method: str | None = None
    path: str | None = None
    host: str | None = None
    headers: Mapping[str, str] | None = field(default_factory=dict)
    claims: Mapping[str, Claim] | None = field(default_factory=dict)
    request_principal: str = ""
    sni: str | None = None
    metadata: Mapping[str, Mapping[str, Claim]] | None = None

    @property
    def uri(self) -> str:
        """The identity with `spiffe://`; empty for plaintext or if it isn't a certain one."""
        if not isinstance(self.principal, str) or not self.principal:
            return ""
        return self.principal if self.principal.startswith(SPIFFE) else SPIFFE + self.principal

    @property
    def server_name(self) -> str | None:
        """The SNI; empty for plaintext, None if not known."""
        return "" if self.principal == "" and self.sni is None else self.sni

    @property
    def token(self) -> Mapping[str, Claim] | None:
        """The claims, with those that the request principal stands for; None if not known."""
        if not self.request_principal:
            return self.claims
        issuer, _, subject = self.request_principal.rpartition("/")
        return {"iss": issuer, "sub": subject, **(self.claims or {})}

    def header(self, name: str) -> tuple[bool, str | None]:
        """Whether a header is known, and its value; None if the request has no such header."""
        name = name.lower()
        pseudo = {":method": self.method, ":authority": self.host, "host": self.host, ":path": self.path}
        if name in pseudo:
            return pseudo[name] is not None, pseudo[name]
        if self.headers is None:
            return False, None
        values = [value for key, value in self.headers.items() if key.lower() == name]
        return True, ",".join(values) if values else None

    def url_path(self, normalization: PathNormalization) -> str | None:
        """The path that policies see, without query; None if it is not known."""
        if self.path is None:
            return None
        return normalized(self.path.partition("#")[0].partition("?")[0], normalization)

    @property
    def client_ip(self) -> str | None:
        """The original client's address as a sidecar tells it: last of X-Forwarded-For, else the peer."""
        if self.remote_ip is not None or not self.http:
            return self.remote_ip or self.source_ip
        known, forwarded = self.header("x-forwarded-for")
        if not known:
            return None
        return forwarded.rpartition(",")[2].strip() if forwarded else self.source_ip
