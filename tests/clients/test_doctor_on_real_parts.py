"""What the doctor says of a real Vault and a real store, with all rights and without some."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from interlock.connections import Connection, ConnectionMissing
from interlock.doctor.line import Line
from interlock.doctor.store import examine_store
from interlock.doctor.vault import LOG_POLICY, POLICY, examine_vault
from interlock.project import include
from interlock.trains.model import Environment
from tests.clients.real_parts import KEY, RunningVault

ENVIRONMENT = Environment("sandbox", "kubernetes", "payments", "interlock", "vault", "require", "store")
DEPLOY = include() / "deploy" / "vault"
LOG_KEY = "interlock-checkpoints"


def _role(vault: RunningVault, policies: dict[str, str]) -> Connection:
    """A connection of a new role with policies, given by name and text."""
    for name, text in policies.items():
        vault.root.sys.create_or_update_policy(name, text)
    role = "-".join(policies)
    approle = vault.root.auth.approle
    approle.create_or_update_approle(role, token_policies=list(policies))
    host, port = vault.address.removeprefix("http://").split(":")
    return Connection(
        "vault",
        host=host,
        port=int(port),
        login=approle.read_role_id(role)["data"]["role_id"],
        password=approle.generate_secret_id(role)["data"]["secret_id"],
    )


def _vault_lines(connection: Connection) -> dict[str, Line]:
    return {line.what: line for line in examine_vault(ENVIRONMENT, include(), KEY, lambda name: connection)}


@pytest.fixture
def workers(vault: RunningVault) -> str:
    vault.root.secrets.transit.create_key(LOG_KEY, key_type="ed25519")
    return (DEPLOY / "interlock.hcl").read_text()


def test_the_workers_policy_as_it_is_leaves_nothing_to_say(vault: RunningVault, workers: str) -> None:
    lines = _vault_lines(_role(vault, {"workers-all": workers}))
    assert [str(line) for line in lines.values() if not line.ok or line.warning] == []
    assert lines["Vault login and transit signature"].said.endswith("and verified")


@pytest.mark.parametrize(
    ("lost", "what", "said"),
    [
        ("transit/sign/interlock-statements", "Vault login and transit signature", "refused"),
        ("transit/sign/interlock-statements", "Vault rights", "update on transit/sign/interlock-statements"),
        ("transit/keys/interlock-checkpoints", "Vault rights", "read on transit/keys/interlock-checkpoints"),
        ("secret/metadata/interlock/*", "Vault rights", "list, read on secret/metadata/interlock/doctor"),
    ],
)
def test_a_right_that_is_missing_is_named_with_its_file(
    vault: RunningVault, workers: str, lost: str, what: str, said: str
) -> None:
    assert lost in workers
    lines = _vault_lines(_role(vault, {"workers-less": workers.replace(lost, "elsewhere")}))
    assert not lines[what].ok
    assert said in lines[what].said
    assert lines[what].given_by == POLICY


def test_workers_that_may_sign_checkpoints_are_one_right_too_far(vault: RunningVault, workers: str) -> None:
    both = {"workers-too": workers, "log-too": (DEPLOY / "interlock-log.hcl").read_text()}
    line = _vault_lines(_role(vault, both))["Vault rights of the log"]
    assert not line.ok
    assert "transit/sign/interlock-checkpoints, which is for the log's role alone" in line.said
    assert line.given_by == LOG_POLICY


def test_a_sealed_vault_is_named(vault: RunningVault, workers: str) -> None:
    connection = _role(vault, {"workers-sealed": workers})
    vault.seal()
    line = _vault_lines(connection)["Vault (vault)"]
    assert (line.ok, line.said) == (False, "it is sealed: unseal it")


@pytest.mark.parametrize(
    "examine",
    [lambda read: examine_vault(ENVIRONMENT, Path(), KEY, read), lambda r: examine_store(ENVIRONMENT, r)],
)
def test_a_connection_that_is_missing_is_one_line(
    examine: Callable[[Callable[[str], Connection]], Any],
) -> None:
    def read(name: str) -> Connection:
        raise ConnectionMissing(json.dumps({"no": name}))

    (line,) = examine(read)
    assert (line.ok, line.given_by) == (False, "Airflow's connections")
