"""The certificate authority of the sandbox's mesh: short-lived SPIFFE certificates, and roots that give way.

A new root is trusted at once and signs a little later, when every sidecar has heard of it; the old one is
trusted until it expires. So neither renewing a certificate nor changing the root ends a connection.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from sandbox.certificates import key_usage

LIFETIME = timedelta(hours=1)
ROOT_LIFETIME = timedelta(days=30)
SETTLED = timedelta(seconds=5)
_SKEW = timedelta(minutes=1)
_BEGIN = "-----BEGIN CERTIFICATE-----"


@dataclass(frozen=True)
class Certificate:
    """A certificate with its private key.

    Attributes:
        chain: The certificate, in PEM.
        key: Its private key, in PEM.
        since: When it was signed.
        until: When it expires.
    """

    chain: str
    key: str
    since: datetime
    until: datetime

    def is_due(self, now: datetime) -> bool:
        """Whether half of its life is over, so that it should be renewed."""
        return now >= self.since + (self.until - self.since) / 2


@dataclass(frozen=True)
class _Root:
    certificate: x509.Certificate
    key: ec.EllipticCurvePrivateKey

    @property
    def since(self) -> datetime:
        return self.certificate.not_valid_before_utc + _SKEW

    @property
    def until(self) -> datetime:
        return self.certificate.not_valid_after_utc


class Authority:
    """The roots, kept in one file for the owner's eyes only."""

    def __init__(self, path: Path, now: datetime) -> None:
        """Read the roots that are still valid; there is a new one if none is, or the file can't be read.

        Args:
            path: The file.
            now: The time.
        """
        self._path = path
        self._roots = [root for root in _read(path) if root.until > now]
        if not self._roots:
            self.rotate(now)

    @property
    def trusted(self) -> str:
        """The certificates of all roots, in PEM."""
        return "".join(_pem(root.certificate) for root in self._roots)

    def tend(self, now: datetime) -> bool:
        """Make a new root once two thirds of the newest's life are over, and forget what has expired.

        Returns:
            Whether the roots have changed.
        """
        before = self.trusted
        newest = self._roots[-1]
        if now >= newest.since + (newest.until - newest.since) * 2 / 3:
            self.rotate(now)
        self._roots = [root for root in self._roots if root.until > now]
        return self.trusted != before

    def rotate(self, now: datetime, lifetime: timedelta = ROOT_LIFETIME) -> None:
        """Make a new root; the ones before stay trusted until they expire."""
        key = ec.generate_private_key(ec.SECP256R1())
        # Roots of one name would be taken for each other when a chain is built.
        text = f"interlock-sandbox-mesh {now:%Y-%m-%dT%H:%M:%S.%fZ}"
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])
        usage = key_usage(key_cert_sign=True, crl_sign=True)
        certificate = (
            _builder(key, name, now, now + lifetime)
            .subject_name(name)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(usage, critical=True)
            .sign(key, hashes.SHA256())
        )
        self._roots.append(_Root(certificate, key))
        content = "".join(_pem(root.certificate) + _key_pem(root.key) for root in self._roots)
        part = self._path.with_name(f"{self._path.name}.part")
        part.touch(mode=0o600)
        part.write_text(content)
        os.replace(part, self._path)

    def signer(self, now: datetime) -> str:
        """The name of the root that signs now, which changes when a new one has settled."""
        return self._issuer(now).certificate.subject.rfc4514_string()

    def issue(self, identity: str, now: datetime, lifetime: timedelta = LIFETIME) -> Certificate:
        """A new certificate for a SPIFFE identity, of a new key."""
        key = ec.generate_private_key(ec.SECP256R1())
        issuer = self._issuer(now)
        until = now + min(lifetime, issuer.until - now)
        both = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        uri = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(identity)])
        certificate = (
            _builder(key, issuer.certificate.subject, now, until)
            .subject_name(x509.Name([]))
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(key_usage(digital_signature=True), critical=True)
            .add_extension(x509.ExtendedKeyUsage(both), critical=False)
            .add_extension(uri, critical=True)
            .sign(issuer.key, hashes.SHA256())
        )
        return Certificate(_pem(certificate), _key_pem(key), now, until)

    def _issuer(self, now: datetime) -> _Root:
        settled = [root for root in self._roots if now >= root.since + SETTLED and root.until > now]
        return settled[-1] if settled else self._roots[-1]


def _builder(
    key: ec.EllipticCurvePrivateKey, issuer: x509.Name, now: datetime, until: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _SKEW)
        .not_valid_after(until)
    )


def _read(path: Path) -> list[_Root]:
    try:
        blocks = path.read_text().split(_BEGIN)[1:]
        found = []
        for block in blocks:
            content = (_BEGIN + block).encode()
            key = serialization.load_pem_private_key(content[content.index(b"-----BEGIN PRIVATE") :], None)
            assert isinstance(key, ec.EllipticCurvePrivateKey)
            found.append(_Root(x509.load_pem_x509_certificate(content), key))
    except (OSError, ValueError, AssertionError):
        return []
    return found


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def _key_pem(key: ec.EllipticCurvePrivateKey) -> str:
    encoding, format_ = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    return key.private_bytes(encoding, format_, serialization.NoEncryption()).decode()
