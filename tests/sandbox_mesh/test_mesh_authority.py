"""The certificate authority of the sandbox's mesh, alone and with real sidecars."""

from __future__ import annotations

import socket
import ssl
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509

from sandbox.mesh.authority import LIFETIME, ROOT_LIFETIME, SETTLED, Authority, Certificate
from sandbox.mesh.objects import inner_address
from sandbox.mesh.outbound import OUTBOUND_PORT
from tests.mesh.mesh_objects import peer
from tests.sandbox_mesh.mesh_calls import HTTP, PODS, SERVER, SERVICES, WEB, call_http, programs
from tests.sandbox_mesh.mesh_envoys import envoys

NOW = datetime(2026, 5, 1, 12, tzinfo=UTC)
WEB_ID = "spiffe://cluster.local/ns/shop/sa/web"


def verified(authority: Authority, chain: str) -> int:
    """How many of the trusted roots have signed a certificate."""
    leaf = x509.load_pem_x509_certificate(chain.encode())
    found = 0
    for root in x509.load_pem_x509_certificates(authority.trusted.encode()):
        if leaf.issuer == root.subject:
            leaf.verify_directly_issued_by(root)
            found += 1
    return found


def test_a_certificate_names_its_pod_and_is_renewed_at_half_its_life(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "ca", NOW)
    given = authority.issue(WEB_ID, NOW)
    leaf = x509.load_pem_x509_certificate(given.chain.encode())
    names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert names.critical
    assert names.value.get_values_for_type(x509.UniformResourceIdentifier) == [WEB_ID]
    assert leaf.not_valid_after_utc == NOW + LIFETIME
    assert verified(authority, given.chain) == 1
    assert [given.is_due(NOW + LIFETIME * part) for part in (0.4, 0.6)] == [False, True]


def test_no_certificate_outlives_its_root_however_long_it_is_to_live(tmp_path: Path) -> None:
    given = Authority(tmp_path / "ca", NOW).issue(WEB_ID, NOW, timedelta.max)
    leaf = x509.load_pem_x509_certificate(given.chain.encode())
    assert leaf.not_valid_after_utc == NOW + ROOT_LIFETIME


def test_the_roots_outlive_the_agent_and_only_the_owner_reads_them(tmp_path: Path) -> None:
    first = Authority(tmp_path / "ca", NOW)
    first.rotate(NOW)
    assert Authority(tmp_path / "ca", NOW).trusted == first.trusted
    assert stat.S_IMODE((tmp_path / "ca").stat().st_mode) == 0o600


def test_a_new_root_is_trusted_at_once_and_signs_once_it_has_settled(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "ca", NOW)
    later = NOW + timedelta(hours=1)
    before = authority.signer(later)
    authority.rotate(later)
    assert authority.trusted.count("BEGIN") == 2
    assert authority.signer(later) == before
    assert authority.signer(later + SETTLED) != before


def test_a_root_gives_way_before_it_expires_and_is_forgotten_when_it_has(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "ca", NOW)
    assert not authority.tend(NOW + ROOT_LIFETIME / 2)
    assert authority.tend(NOW + ROOT_LIFETIME * 0.7)
    assert authority.trusted.count("BEGIN") == 2
    assert authority.tend(NOW + ROOT_LIFETIME * 1.1)
    assert authority.trusted.count("BEGIN") == 1


def test_an_agent_that_slept_too_long_begins_with_a_new_root(tmp_path: Path) -> None:
    old = Authority(tmp_path / "ca", NOW).trusted
    later = NOW + ROOT_LIFETIME * 2
    authority = Authority(tmp_path / "ca", later)
    assert authority.trusted != old
    assert verified(authority, authority.issue(WEB_ID, later).chain) == 1


def test_a_file_that_holds_no_roots_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "ca").write_text("-----BEGIN CERTIFICATE-----\nnonsense")
    authority = Authority(tmp_path / "ca", NOW)
    assert verified(authority, authority.issue(WEB_ID, NOW).chain) == 1


async def works() -> bool:
    return await call_http(WEB, (inner_address(WEB), OUTBOUND_PORT), "api.shop", "GET", "/", {})


def accepted(own: Certificate, folder: Path) -> bool:
    """Whether the server's sidecar takes a certificate, in a handshake of its own."""
    file = folder / "own.pem"
    file.write_text(own.chain + own.key)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.maximum_version = ssl.TLSVersion.TLSv1_2  # where a refusal is part of the handshake
    context.load_cert_chain(file)
    context.set_alpn_protocols(["istio-http/1.1"])
    try:
        with (
            socket.create_connection((SERVER, HTTP), timeout=5) as plain,
            context.wrap_socket(plain, server_hostname="api"),
        ):
            return True
    except ssl.SSLError:
        return False


async def test_old_and_new_certificates_are_accepted_while_the_root_changes(tmp_path: Path) -> None:
    async with programs(), envoys(tmp_path, [*PODS, *SERVICES, peer("STRICT")]) as sidecars:
        authority, now = sidecars.authority, datetime.now(UTC)
        old = authority.issue(WEB_ID, now)
        assert accepted(old, tmp_path)
        authority.rotate(now - SETTLED)  # signs from now on
        new = authority.issue(WEB_ID, now)
        # The server has not heard of the new root yet: this is why a root settles before it signs.
        assert not accepted(new, tmp_path)
        for pod in PODS[:2]:
            sidecars.certify(pod)
        await sidecars.told()
        assert accepted(old, tmp_path)
        assert accepted(new, tmp_path)
        assert await works()


async def test_an_expired_certificate_is_refused_until_it_is_renewed(tmp_path: Path) -> None:
    fixed = [*PODS, *SERVICES, peer("STRICT")]
    async with programs(), envoys(tmp_path, fixed) as sidecars:
        own = sidecars.authority.issue(WEB_ID, datetime.now(UTC) - timedelta(hours=2))
        sidecars.give(PODS[1], own)
        await sidecars.told()
        assert not await works()
        sidecars.certify(PODS[1])
        await sidecars.told()
        assert await works()
