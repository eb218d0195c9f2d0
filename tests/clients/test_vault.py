from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from interlock.clients.vault import (
    SecretMissing,
    VaultClient,
    VaultRefused,
    VaultSettings,
    VaultUnavailable,
)
from tests.clients.real_parts import KEY, RunningVault


def test_a_signature_is_verified_by_the_public_key_that_vault_gives_out(vault_client: VaultClient) -> None:
    signature = vault_client.sign(KEY, b"words")
    Ed25519PublicKey.from_public_bytes(vault_client.public_key(KEY)[0].raw).verify(signature, b"words")


def test_several_are_signed_by_one_request_each_for_itself_and_in_order(
    vault_client: VaultClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    vault_client.sign(KEY, b"words")
    requests: list[str] = []
    post = vault_client._hvac.adapter.post
    monkeypatch.setattr(
        vault_client._hvac.adapter, "post", lambda url, **more: (requests.append(url), post(url, **more))[1]
    )
    data = [b"words %d" % n for n in range(12)]
    signatures = vault_client.sign_all(KEY, data)
    public = Ed25519PublicKey.from_public_bytes(vault_client.public_key(KEY)[0].raw)
    for one, signature in zip(data, signatures, strict=True):
        public.verify(signature.raw, one)
    assert requests == [f"/v1/transit/sign/{KEY}"]


def test_an_older_key_version_stays_readable_after_a_rotation(
    vault: RunningVault, vault_client: VaultClient
) -> None:
    before = vault_client.public_key(KEY)
    vault.root.secrets.transit.rotate_key(KEY)
    after = vault_client.public_key(KEY)
    assert after[1:] == before
    assert after[0].version == before[0].version + 1


def test_a_secret_is_described_by_key_names_versions_and_age_without_its_values(
    vault: RunningVault, vault_client: VaultClient
) -> None:
    vault.root.secrets.kv.v2.create_or_update_secret(
        "payments/db", secret={"user": "u", "password": "pw-one"}
    )
    vault.root.secrets.kv.v2.create_or_update_secret(
        "payments/db", secret={"user": "u", "password": "pw-two"}
    )
    facts = vault_client.secret("/payments/db")
    assert facts.keys == ("password", "user")
    assert facts.version == 2
    assert [v.version for v in facts.versions] == [1, 2]
    age = facts.age_seconds(datetime.now(UTC))
    assert age is not None
    assert 0 <= age < 60
    assert "pw-" not in repr(facts)


def test_the_workers_policy_needs_no_right_to_read_values(
    vault: RunningVault, vault_client: VaultClient
) -> None:
    vault.root.secrets.kv.v2.create_or_update_secret("payments/db", secret={"password": "pw"})
    assert vault_client.secret("payments/db").keys == ("password",)
    with pytest.raises(VaultRefused, match="refused"):
        vault_client._read("secret/data/payments/db")


def test_kv_version_1_has_key_names_and_no_age(vault: RunningVault, vault_settings: VaultSettings) -> None:
    vault.root.secrets.kv.v1.create_or_update_secret("db", secret={"b": "1", "a": "2"}, mount_point="legacy")
    client = VaultClient(replace(vault_settings, mount="legacy", kv_version=1))
    facts = client.secret("db")
    client.close()
    assert facts.keys == ("a", "b")
    assert facts.age_seconds(datetime.now(UTC)) is None


def test_a_path_without_a_secret_is_missing(vault_client: VaultClient) -> None:
    with pytest.raises(SecretMissing, match="nothing at secret/subkeys/nowhere"):
        vault_client.secret("nowhere")


def test_a_deleted_secret_is_missing(vault: RunningVault, vault_client: VaultClient) -> None:
    vault.root.secrets.kv.v2.create_or_update_secret("gone", secret={"a": "1"})
    vault.root.secrets.kv.v2.delete_latest_version_of_secret("gone")
    with pytest.raises(SecretMissing):
        vault_client.secret("gone")


def test_a_sealed_vault_is_unavailable_and_its_health_says_sealed(
    vault: RunningVault, vault_client: VaultClient
) -> None:
    assert not vault_client.health().sealed
    vault.seal()
    assert vault_client.health().sealed
    with pytest.raises(VaultUnavailable, match="sealed"):
        vault_client.sign(KEY, b"words")


def test_a_vault_that_is_away_is_unavailable() -> None:
    client = VaultClient(VaultSettings("http://127.0.0.1:1", token="t"))
    with pytest.raises(VaultUnavailable, match="not reachable"):
        client.sign(KEY, b"words")
    with pytest.raises(VaultUnavailable):
        client.health()


@pytest.mark.parametrize(
    "wrong",
    [
        {"secret_id": "00000000-0000-0000-0000-000000000000"},
        {"role_id": None, "secret_id": None},
        {"token": "no"},
    ],
)
def test_wrong_credentials_are_refused(
    vault: RunningVault, vault_settings: VaultSettings, wrong: dict[str, str | None]
) -> None:
    client = VaultClient(replace(vault_settings, **wrong))
    with pytest.raises(VaultRefused):
        client.sign(KEY, b"words")
    client.close()


def test_an_expired_token_is_replaced_by_a_new_login(vault: RunningVault, vault_client: VaultClient) -> None:
    vault_client.sign(KEY, b"words")
    vault.root.auth.token.revoke(vault_client._hvac.token)
    assert len(vault_client.sign(KEY, b"words")) == 64


def test_a_proxy_and_a_ca_bundle_of_the_environment_are_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HTTPS_PROXY", "https_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    client = VaultClient(VaultSettings("https://vault.example", token="t"))
    with pytest.raises(VaultUnavailable, match="ProxyError"):
        client.sign(KEY, b"words")
    client.close()
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(tmp_path / "none.pem"))
    for name in ("HTTPS_PROXY", "https_proxy"):
        monkeypatch.delenv(name)
    client = VaultClient(VaultSettings("https://vault.example", token="t"))
    with pytest.raises(OSError, match=r"none\.pem"):
        client.sign(KEY, b"words")
    client.close()


def test_settings_never_print_their_secrets() -> None:
    assert "s3cret" not in repr(VaultSettings("http://v", role_id="r", secret_id="s3cret", token="s3cret"))


def test_a_token_of_the_environment_is_not_used(
    vault: RunningVault, vault_settings: VaultSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VAULT_TOKEN", "root")
    client = VaultClient(replace(vault_settings, secret_id=None))
    with pytest.raises(VaultRefused, match="neither a token nor an AppRole"):
        client.sign(KEY, b"words")
    client.close()
