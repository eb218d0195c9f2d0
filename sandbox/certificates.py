"""The keys and certificates of the sandbox's Kubernetes."""

from __future__ import annotations

import ipaddress
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from sandbox.state import HOST, State

_LIFETIME = timedelta(days=3650)
_SERVICE_IP = "10.96.0.1"


def folder(state: State) -> Path:
    """Where the keys and certificates are."""
    return state.data("kubernetes")


def make(state: State) -> None:
    """Write CA, serving and client certificates and the ServiceAccount keys, unless they are there.

    The files are ca.crt, apiserver.{crt,key}, etcd.{crt,key}, admin.{crt,key} and
    service-accounts.{key,pub}.
    """
    target = folder(state)
    if (target / "service-accounts.pub").exists():
        return
    authority_key = ec.generate_private_key(ec.SECP256R1())
    authority = _certificate(_name("interlock-sandbox"), authority_key, None, authority_key, ())
    state.write(target / "ca.crt", _pem(authority))

    def issue(name: str, subject: x509.Name, *extensions: x509.ExtensionType) -> None:
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = _certificate(subject, key, authority, authority_key, extensions)
        state.write(target / f"{name}.crt", _pem(certificate))
        state.write(target / f"{name}.key", _private_pem(key))

    addresses = [x509.IPAddress(ipaddress.ip_address(text)) for text in (HOST, _SERVICE_IP)]
    names = ("localhost", "kubernetes", "kubernetes.default", "kubernetes.default.svc")
    alternatives = x509.SubjectAlternativeName([*addresses, *(x509.DNSName(name) for name in names)])
    serving = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
    client = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH])
    issue("apiserver", _name("kube-apiserver"), alternatives, serving)
    issue("etcd", _name("etcd"), alternatives, x509.ExtendedKeyUsage([*serving, *client]))
    issue("admin", _name("sandbox-admin", "system:masters"), client)

    accounts = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    state.write(target / "service-accounts.key", _private_pem(accounts))
    public = accounts.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    state.write(target / "service-accounts.pub", public.decode())


def make_injector(state: State) -> None:
    """Write injector.{crt,key} for the mesh's injector, unless they are there; it is its own authority."""
    target = folder(state)
    if (target / "injector.crt").exists():
        return
    key = ec.generate_private_key(ec.SECP256R1())
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(HOST))])
    serving = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
    certificate = _certificate(_name("istio-injector"), key, None, key, (address, serving))
    state.write(target / "injector.key", _private_pem(key))
    state.write(target / "injector.crt", _pem(certificate))


def _name(common_name: str, organization: str | None = None) -> x509.Name:
    attributes = [x509.NameAttribute(NameOID.COMMON_NAME, common_name)]
    if organization is not None:
        attributes.append(x509.NameAttribute(NameOID.ORGANIZATION_NAME, organization))
    return x509.Name(attributes)


def _certificate(
    subject: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    issuer: x509.Certificate | None,
    issuer_key: ec.EllipticCurvePrivateKey,
    extensions: tuple[x509.ExtensionType, ...],
) -> x509.Certificate:
    """A certificate; one without an issuer is its own and may issue others."""
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject if issuer is None else issuer.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(minutes=5))
        .not_valid_after(now + _LIFETIME)
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), critical=False
        )
        .add_extension(
            key_usage(digital_signature=True, key_cert_sign=issuer is None, crl_sign=issuer is None),
            critical=True,
        )
    )
    for extension in extensions:
        builder = builder.add_extension(extension, critical=False)
    return builder.sign(issuer_key, hashes.SHA256())


def key_usage(
    *, digital_signature: bool = False, key_cert_sign: bool = False, crl_sign: bool = False
) -> x509.KeyUsage:
    """What a key may be used for: nothing but this."""
    return x509.KeyUsage(
        digital_signature=digital_signature,
        key_cert_sign=key_cert_sign,
        crl_sign=crl_sign,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _pem(certificate: x509.Certificate) -> str:
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def _private_pem(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey) -> str:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()
