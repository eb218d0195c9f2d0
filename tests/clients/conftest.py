"""A real Vault and a real S3 store, one of each for the session."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from interlock.clients.object_store import ObjectStore, StoreSettings
from interlock.clients.vault import VaultClient, VaultSettings
from interlock.evidence.log.note import VerifierKey
from interlock.evidence.statement import Run
from tests.clients.evidence_parts import NAME, Parts
from tests.clients.log_checks import CheckedLog
from tests.clients.real_parts import (
    ACCESS,
    KEY,
    LOG_KEY,
    SECRET,
    RunningVault,
    empty,
    running_s3,
    running_vault,
    s3_client,
)

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
    """Of the workers' role."""
    return vault_server.settings("worker", PATIENT)


@pytest.fixture(scope="session")
def log_vault_settings(vault_server: RunningVault) -> VaultSettings:
    """Of the log's role."""
    return vault_server.settings("log", PATIENT)


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
def bucket(s3: Any) -> str:
    """The bucket with Object Lock, without a log: what other tests left is taken out."""
    empty(s3, "evidence")
    return "evidence"


@pytest.fixture
def parts(
    tmp_path: Path,
    bucket: str,
    vault: RunningVault,
    vault_settings: VaultSettings,
    log_vault_settings: VaultSettings,
    store_settings: StoreSettings,
) -> Iterator[Parts]:
    parts = Parts(tmp_path / "spool", vault_settings, store_settings, log_vault_settings)
    yield parts
    parts.close()


@pytest.fixture
def log_keys(vault_server: RunningVault, log_vault_settings: VaultSettings) -> list[VerifierKey]:
    with closing(VaultClient(log_vault_settings)) as client:
        return [VerifierKey(NAME, key.raw) for key in client.public_key(LOG_KEY)]


@pytest.fixture
def checked(store: ObjectStore, log_keys: list[VerifierKey]) -> CheckedLog:
    """The log of this year in the bucket, to be checked."""
    return CheckedLog(store, datetime.now(UTC).year, log_keys)


@pytest.fixture
def run() -> Run:
    return Run("promotion_train__payments", f"manual__{uuid4().hex}")


@pytest.fixture
def public_keys(vault_client: VaultClient) -> list[bytes]:
    return [key.raw for key in vault_client.public_key(KEY)]


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]) -> Callable[[str], None]:
    """Tells how far it is, past pytest's capturing."""

    def tell(text: str) -> None:
        with capsys.disabled():
            print(text, flush=True)

    return tell
