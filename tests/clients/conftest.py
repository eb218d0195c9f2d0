"""A real Vault and a real S3 store, one of each for the session."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from interlock.clients.object_store import ObjectStore, StoreSettings
from interlock.clients.vault import VaultClient, VaultSettings
from interlock.evidence.statement import Run
from tests.clients.evidence_parts import Parts
from tests.clients.real_parts import ACCESS, KEY, SECRET, RunningVault, running_s3, running_vault, s3_client

PATIENT = 30.0
"""Seconds that a part may take on a busy machine; the tests of the time limits set their own."""


@pytest.fixture(scope="session")
def vault_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningVault]:
    with running_vault(tmp_path_factory.mktemp("vault")) as server:
        yield server


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A store's endpoint; its bucket `evidence` has Object Lock, `plain` has not."""
    with running_s3(tmp_path_factory.mktemp("s3")) as endpoint:
        yield endpoint


@pytest.fixture
def vault(vault_server: RunningVault) -> Iterator[RunningVault]:
    """The running Vault, unsealed again after the test."""
    yield vault_server
    vault_server.unseal()


@pytest.fixture(scope="session")
def vault_settings(vault_server: RunningVault) -> VaultSettings:
    root = vault_server.root
    role_id = root.auth.approle.read_role_id("worker")["data"]["role_id"]
    secret_id = root.auth.approle.generate_secret_id("worker")["data"]["secret_id"]
    return VaultSettings(vault_server.address, role_id=role_id, secret_id=secret_id, timeout=PATIENT)


@pytest.fixture
def vault_client(vault: RunningVault, vault_settings: VaultSettings) -> Iterator[VaultClient]:
    client = VaultClient(vault_settings)
    yield client
    client.close()


@pytest.fixture
def store_settings(s3_server: str) -> StoreSettings:
    return StoreSettings("evidence", ACCESS, SECRET, s3_server, timeout=PATIENT)


@pytest.fixture
def store(store_settings: StoreSettings) -> Iterator[ObjectStore]:
    store = ObjectStore(store_settings)
    yield store
    store.close()


@pytest.fixture
def s3(s3_server: str) -> Iterator[Any]:
    """boto3 itself, to look at what the client did."""
    client = s3_client(s3_server)
    yield client
    client.close()


@pytest.fixture
def parts(
    tmp_path: Path, vault: RunningVault, vault_settings: VaultSettings, store_settings: StoreSettings
) -> Iterator[Parts]:
    parts = Parts(tmp_path / "spool", vault_settings, store_settings)
    yield parts
    for writer in parts.open:
        writer.close()


@pytest.fixture
def run() -> Run:
    return Run("promotion_train__payments", f"manual__{uuid4().hex}")


@pytest.fixture
def public_keys(vault_client: VaultClient) -> list[bytes]:
    return [key.raw for key in vault_client.public_key(KEY)]
