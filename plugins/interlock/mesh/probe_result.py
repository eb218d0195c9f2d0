"""The probe's result, read from its pod's log: what came of each connection, and the certificates shown."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from cryptography import x509

from interlock.mesh.reading import items, mapping, number, path, text
from interlock.mesh_probe import BEGIN, END


class ProbeResultError(ValueError):
    """A log holds no result, or one that can't be read; the message says what it holds."""


class Heard(StrEnum):
    """What came of a connection, in the words of `interlock.mesh_probe`."""

    ANSWERED = "answered"
    OPEN = "open"
    CLOSED = "closed"
    REJECTED = "rejected"
    SILENT = "silent"
    REFUSED = "refused"
    UNREACHABLE = "unreachable"
    UNTRIED = "untried"

    @property
    def taken(self) -> bool:
        """Whether the other side took the connection: it answered, or did not end it."""
        return self in (Heard.ANSWERED, Heard.OPEN)


@dataclass(frozen=True, slots=True)
class Certificate:
    """What a server's certificate says.

    Attributes:
        identities: The URIs that it names; of a sidecar one, its SPIFFE identity.
        since: From when it holds, UTC.
        until: Until when it holds, UTC.
    """

    identities: tuple[str, ...]
    since: datetime
    until: datetime

    @classmethod
    def of_pem(cls, pem: str) -> Certificate:
        """The certificate of its PEM; raises ValueError."""
        found = x509.load_pem_x509_certificate(pem.encode())
        try:
            names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
            identities = tuple(names.get_values_for_type(x509.UniformResourceIdentifier))
        except x509.ExtensionNotFound:
            identities = ()
        return cls(identities, found.not_valid_before_utc, found.not_valid_after_utc)


@dataclass(frozen=True, slots=True)
class Tried:
    """What came of trying one port.

    Attributes:
        plaintext: What came of the plaintext connection.
        mtls: What came of the mTLS connection.
        plaintext_said: What was said on it: a status, an error.
        mtls_said: As `plaintext_said`.
        certificate: The one that the server showed; None if it showed none.
        untrusted: Why it does not verify against the mesh's roots; empty if it does.
    """

    plaintext: Heard
    mtls: Heard
    plaintext_said: str = ""
    mtls_said: str = ""
    certificate: Certificate | None = None
    untrusted: str = ""


def read_result(log: str) -> Mapping[tuple[str, int], Tried]:
    """What was tried, by address and port.

    Args:
        log: The log of the probe's container.

    Raises:
        ProbeResultError: It holds no result.
    """
    _, begun, rest = log.rpartition(f"{BEGIN}\n")
    body, ended, _ = rest.partition(f"\n{END}")
    if not begun or not ended:
        last = log.strip().splitlines()[-1:] or ["nothing"]
        raise ProbeResultError(f"the probe's log holds no whole result; its last line: {last[0][:300]}")
    try:
        found = json.loads(body)
        if path(found, "version") != 1:
            raise ValueError(f"version {path(found, 'version')!r}, expected 1")
        certificates = [_certificate(text(pem)) for pem in items(path(found, "certificates"))]
        return dict(_tried(mapping(one), certificates) for one in items(path(found, "results")))
    except (ValueError, IndexError) as error:
        raise ProbeResultError(f"the probe's result can't be read: {error}") from error


def _certificate(pem: str) -> Certificate | None:
    """None for one that can't be read: a server may show what it likes, and names nobody with it."""
    try:
        return Certificate.of_pem(pem)
    except ValueError:
        return None


def _tried(
    raw: Mapping[str, object], certificates: list[Certificate | None]
) -> tuple[tuple[str, int], Tried]:
    plaintext, mtls = mapping(raw.get("plaintext")), mapping(raw.get("mtls"))
    shown = number(mtls.get("certificate"))
    return (text(raw.get("address")), number(raw.get("port")) or 0), Tried(
        plaintext=Heard(text(plaintext.get("result"))),
        mtls=Heard(text(mtls.get("result"))),
        plaintext_said=text(plaintext.get("said")),
        mtls_said=text(mtls.get("said")),
        certificate=None if shown is None else certificates[shown],
        untrusted=text(mtls.get("untrusted")),
    )
