"""`interlock ship`: what waits reaches a real store, or the command says why not."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from interlock import cli
from interlock.clients.evidence import BucketWriter
from interlock.clients.object_store import ObjectStore, StoreSettings
from interlock.clients.spool import Spool
from interlock.clients.vault import VaultSettings
from interlock.evidence.log import layout
from interlock.evidence.statement import Run, Statement, make_statement
from tests.clients.real_parts import ACCESS, SECRET, RunningVault, empty


@pytest.fixture(autouse=True)
def environment(
    vault: RunningVault,
    vault_settings: VaultSettings,
    log_vault_settings: VaultSettings,
    store_settings: StoreSettings,
    bucket: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    host, port = vault.address.removeprefix("http://").split(":")
    secret = {"login": vault_settings.role_id, "password": vault_settings.secret_id}
    found = {"conn_type": "vault", "host": host, "port": int(port), **secret}
    monkeypatch.setenv("AIRFLOW_CONN_INTERLOCK_VAULT", json.dumps(found))
    own = {"login": log_vault_settings.role_id, "password": log_vault_settings.secret_id}
    monkeypatch.setenv("AIRFLOW_CONN_INTERLOCK_LOG_VAULT", json.dumps({**found, **own}))
    monkeypatch.setenv("AIRFLOW_CONN_INTERLOCK_EVIDENCE", _store(store_settings, bucket))
    monkeypatch.setenv("AIRFLOW__INTERLOCK__SPOOL", str(tmp_path / "spool"))
    monkeypatch.delenv("AIRFLOW__INTERLOCK__TRANSIT_KEY", raising=False)


def _store(settings: StoreSettings, bucket: str) -> str:
    extra = {"endpoint_url": settings.endpoint_url, "service_config": {"s3": {"bucket_name": bucket}}}
    return json.dumps({"conn_type": "aws", "login": ACCESS, "password": SECRET, "extra": extra})


def _waits(folder: Path) -> Statement:
    """A statement that waits in the spool."""
    run = Run("promotion_train__payments", f"manual__{uuid4().hex}")
    statement = make_statement("verify", run=run, fields={"service": "a"}, at=datetime.now(UTC))
    assert BucketWriter(spool=Spool(folder)).record(statement).where == "spool"
    return statement


def test_what_waits_is_shipped_and_counted(
    tmp_path: Path, store: ObjectStore, capsys: pytest.CaptureFixture[str]
) -> None:
    waiting = [_waits(tmp_path / "spool") for _ in range(2)]
    assert cli.main(["ship"]) == 0
    assert "shipped 2 of the statements" in capsys.readouterr().out
    entries = b"".join(store.get(key) for key in store.keys(layout.seq_prefix(datetime.now(UTC).year)))
    said = [json.loads(line) for line in entries.splitlines()]
    payloads = [base64.b64decode(one["payload"]) for one in said if "payload" in one]
    assert all(any(statement.run.run_id.encode() in text for text in payloads) for statement in waiting)
    assert cli.main(["ship"]) == 0
    assert "shipped 0 of the statements" in capsys.readouterr().out


def test_what_can_not_be_shipped_is_counted_with_the_reason(
    tmp_path: Path,
    store_settings: StoreSettings,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    _waits(tmp_path / "spool")
    monkeypatch.setenv("AIRFLOW_CONN_INTERLOCK_EVIDENCE", _store(store_settings, "plain"))
    assert cli.main(["ship"]) == 1
    said = capsys.readouterr().out
    assert "shipped 0 of the statements" in said
    assert "1 still wait: bucket plain: it doesn't exist, or was made without Object Lock" in said


def test_a_log_that_lost_a_head_which_a_witness_kept_is_refused(
    tmp_path: Path, s3: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AIRFLOW__INTERLOCK__WITNESSES", f"{tmp_path}/head, {tmp_path}/gone/head")
    _waits(tmp_path / "spool")
    assert cli.main(["ship"]) == 0
    assert f"file {tmp_path}/gone/head: its folder is not there" in capsys.readouterr().err
    empty(s3, "evidence")
    monkeypatch.setenv("AIRFLOW__INTERLOCK__SPOOL", str(tmp_path / "another"))
    _waits(tmp_path / "another")
    assert cli.main(["ship"]) == 1
    said = capsys.readouterr().err
    assert f"file {tmp_path}/head holds a head" in said
    assert "the log has no head of that year: it is gone" in said


def test_a_file_that_was_changed_stops_the_shipping_with_its_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    _waits(tmp_path / "spool")
    (file,) = (tmp_path / "spool" / "waiting").iterdir()
    file.write_text("{}")
    assert cli.main(["ship"]) == 1
    assert file.name in capsys.readouterr().err


def test_a_connection_that_is_missing_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("AIRFLOW_CONN_INTERLOCK_EVIDENCE")
    assert cli.main(["ship"]) == 1
    assert "AIRFLOW_CONN_INTERLOCK_EVIDENCE is not set" in capsys.readouterr().err
