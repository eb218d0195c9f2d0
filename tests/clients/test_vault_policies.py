"""The policies that an installer applies, on a real Vault: each role signs with its own key and no other."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from interlock.clients.vault import VaultClient, VaultRefused, VaultSettings
from interlock.project import include
from tests.clients.conftest import PATIENT
from tests.clients.real_parts import KEY, RunningVault

CHECKPOINTS = "interlock-checkpoints"
ClientOf = Callable[[str], VaultClient]


@pytest.fixture(scope="module")
def applied(vault_server: RunningVault) -> RunningVault:
    root = vault_server.root
    root.secrets.transit.create_key(CHECKPOINTS, key_type="ed25519")
    for role in ("interlock", "interlock-log"):
        policy = (include() / "deploy" / "vault" / f"{role}.hcl").read_text()
        root.sys.create_or_update_policy(role, policy)
        root.auth.approle.create_or_update_approle(role, token_policies=[role])
    return vault_server


@pytest.fixture
def client_of(applied: RunningVault) -> Iterator[ClientOf]:
    """A client that logs in with a role."""
    clients = []

    def of(role: str) -> VaultClient:
        approle = applied.root.auth.approle
        settings = VaultSettings(
            applied.address,
            role_id=approle.read_role_id(role)["data"]["role_id"],
            secret_id=approle.generate_secret_id(role)["data"]["secret_id"],
            timeout=PATIENT,
        )
        clients.append(VaultClient(settings))
        return clients[-1]

    yield of
    for client in clients:
        client.close()


@pytest.mark.parametrize(
    ("role", "own", "other"), [("interlock", KEY, CHECKPOINTS), ("interlock-log", CHECKPOINTS, KEY)]
)
def test_a_role_signs_with_its_own_key_alone(client_of: ClientOf, role: str, own: str, other: str) -> None:
    client = client_of(role)
    assert len(client.sign(own, b"words")) == 64
    with pytest.raises(VaultRefused):
        client.sign(other, b"words")


def test_the_workers_can_publish_both_public_keys_and_see_key_names_but_no_value(
    applied: RunningVault, client_of: ClientOf
) -> None:
    applied.root.secrets.kv.v2.create_or_update_secret("interlock/db", secret={"password": "pw"})
    client = client_of("interlock")
    assert all(client.public_key(key)[0].raw for key in (KEY, CHECKPOINTS))
    assert client.secret("interlock/db").keys == ("password",)
    with pytest.raises(VaultRefused):
        client._read("secret/data/interlock/db")
