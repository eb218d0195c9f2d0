"""The hooks, operators and the sensor over the clients: connections in, results out."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import uuid4

import pytest
from airflow.sdk import BaseHook, Connection, Variable
from airflow.sdk.exceptions import AirflowException, AirflowFailException, AirflowNotFoundException

from interlock.clients.object_store import ObjectStore, StoreSettings
from interlock.clients.vault import VaultRefused, VaultSettings
from interlock.evidence.envelope import Envelope
from interlock.evidence.log import layout
from interlock.evidence.redaction import rfc3339
from interlock.hooks.evidence import EvidenceHook
from interlock.hooks.vault import InterlockVaultHook
from interlock.operators.evidence import EvidenceOperator, ShipEvidenceOperator, seal
from interlock.operators.vault import VaultSecretsOperator
from interlock.sensors.vault import VaultSecretsSensor
from tests.clients.real_parts import RunningVault, empty

AT = datetime(2026, 11, 24, 6, tzinfo=UTC)


@pytest.fixture
def connections(
    vault: RunningVault,
    vault_settings: VaultSettings,
    log_vault_settings: VaultSettings,
    store_settings: StoreSettings,
    bucket: str,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> dict[str, Connection]:
    host, port = vault.address.removeprefix("http://").split(":")
    found = {
        "interlock_vault": Connection(
            conn_id="interlock_vault",
            conn_type="vault",
            host=host,
            port=int(port),
            schema="secret",
            login=vault_settings.role_id,
            password=vault_settings.secret_id,
            extra=json.dumps({"auth_type": "approle"}),
        ),
        "interlock_log_vault": Connection(
            conn_id="interlock_log_vault",
            conn_type="vault",
            host=host,
            port=int(port),
            login=log_vault_settings.role_id,
            password=log_vault_settings.secret_id,
            extra=json.dumps({"auth_type": "approle"}),
        ),
        "interlock_evidence": Connection(
            conn_id="interlock_evidence",
            conn_type="aws",
            login=store_settings.access_key,
            password=store_settings.secret_key,
            extra=json.dumps(
                {
                    "endpoint_url": store_settings.endpoint_url,
                    "region_name": "us-east-1",
                    "service_config": {"s3": {"bucket_name": "evidence"}},
                }
            ),
        ),
    }

    def get(conn_id: str) -> Connection:
        if conn_id not in found:
            raise AirflowNotFoundException(conn_id)
        return found[conn_id]

    monkeypatch.setattr(BaseHook, "get_connection", staticmethod(get))
    monkeypatch.setenv("AIRFLOW__INTERLOCK__SPOOL", str(tmp_path / "spool"))
    return found


@pytest.fixture(autouse=True)
def variables(monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Airflow's variables."""
    found: dict[str, str] = {}
    monkeypatch.setattr(Variable, "get", lambda key, default=None: found.get(key, default))
    monkeypatch.setattr(Variable, "set", lambda key, value, description=None: found.update({key: value}))
    return found


@pytest.fixture
def context() -> Any:
    run = SimpleNamespace(
        dag_id="promotion_train__payments", run_id=f"manual__{uuid4().hex}", run_after=datetime.now(UTC)
    )
    ti = SimpleNamespace(xcom_push=lambda *, key, value: None)
    return {"dag_run": run, "run_id": run.run_id, "ti": ti}


def entries(store: ObjectStore) -> list[dict[str, Any]]:
    """The statements in the log, in their order."""
    claims = [store.get(key) for key in store.keys(layout.seq_prefix(datetime.now(UTC).year))]
    return [
        json.loads(Envelope.from_json(line).payload) for claim in claims for line in claim.splitlines()[1:]
    ]


def test_the_hooks_test_their_connections(connections: dict[str, Connection], vault: RunningVault) -> None:
    assert EvidenceHook().test_connection() == (True, "bucket evidence has Object Lock")
    hook = InterlockVaultHook()
    assert hook.test_connection()[0]
    vault.seal()
    assert hook.test_connection() == (False, "Vault is sealed")
    hook.client.close()
    del connections["interlock_evidence"]
    assert EvidenceHook().test_connection() == (False, "there is no connection interlock_evidence")


def test_the_operator_records_a_statement_about_its_run(
    connections: dict[str, Connection], context: Any, store: ObjectStore
) -> None:
    operator = EvidenceOperator(
        task_id="say",
        predicate_type="verify",
        fields={"service": "service-a"},
        subjects={"a": {"sha256": "ab"}},
    )
    recorded = operator.execute(context)
    assert recorded["where"] == "log"
    (said,) = entries(store)
    assert said["predicate"]["run"]["run_id"] == context["run_id"]
    assert said["subject"] == [{"name": "a", "digest": {"sha256": "ab"}}]


def test_required_evidence_that_has_to_wait_fails_the_task_and_waits(
    connections: dict[str, Connection], context: Any
) -> None:
    bucket = connections.pop("interlock_evidence")
    operator = EvidenceOperator(task_id="say", predicate_type="verify", fields={}, require=True)
    with pytest.raises(AirflowException, match="there is no connection interlock_evidence"):
        operator.execute(context)
    with pytest.raises(AirflowException, match="1 still wait: there is no connection interlock_evidence"):
        ShipEvidenceOperator(task_id="ship").execute(context)
    assert ShipEvidenceOperator(task_id="ship", fail_when_left=False).execute(context)["left"] == 1
    connections["interlock_evidence"] = bucket
    assert ShipEvidenceOperator(task_id="ship").execute(context) == {"count": 1, "left": 0, "reason": ""}


def test_shipping_keeps_the_head_in_a_variable_and_refuses_a_log_that_was_rewound(
    connections: dict[str, Connection],
    context: Any,
    variables: dict[str, str],
    s3: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AIRFLOW__INTERLOCK__WITNESSES", f"{tmp_path}/head")
    ship = ShipEvidenceOperator(task_id="ship")
    for size in (1, 2):
        EvidenceOperator(task_id="say", predicate_type="verify", fields={}).execute(context)
        ship.execute(context)
        assert f"/{datetime.now(UTC).year}\n{size}\n" in variables["interlock_evidence_head"]
        assert (tmp_path / "head").read_text() == variables["interlock_evidence_head"]
    empty(s3, "evidence")
    monkeypatch.setenv("AIRFLOW__INTERLOCK__SPOOL", str(tmp_path / "another"))
    EvidenceOperator(task_id="say", predicate_type="verify", fields={}).execute(context)
    with pytest.raises(AirflowFailException, match="Airflow variable interlock_evidence_head holds a head"):
        ship.execute(context)
    del variables["interlock_evidence_head"]
    with pytest.raises(AirflowFailException, match=f"file {tmp_path}/head holds a head"):
        ship.execute(context)
    assert "interlock_evidence_head" not in variables
    (tmp_path / "head").unlink()
    ship.execute(context)
    assert "\n1\n" in variables["interlock_evidence_head"]


def test_a_run_is_sealed_with_the_statements_that_were_recorded(
    connections: dict[str, Connection], context: Any, store: ObjectStore
) -> None:
    digest = EvidenceOperator(task_id="say", predicate_type="verify", fields={}).execute(context)["digest"]
    sealed = seal(context, triggered_by="ada", approved_by=["bo"], outcome="all-new", at=AT)
    assert sealed.where == "log"
    said = entries(store)[-1]["predicate"]
    assert (said["statements"], said["complete"]) == ([digest], True)
    assert said["began_at"] == rfc3339(context["dag_run"].run_after)


def test_secrets_are_described_without_their_values_and_that_is_recorded(
    connections: dict[str, Connection], context: Any, vault: RunningVault, store: ObjectStore
) -> None:
    vault.root.secrets.kv.v2.create_or_update_secret("payments/api", secret={"api_key": "the-value"})
    operator = VaultSecretsOperator(
        task_id="look", paths=["payments/api"], evidence_conn_id="interlock_evidence"
    )
    (found,) = operator.execute(context)
    assert (found["keys"], found["version"]) == (["api_key"], 1)
    assert 0 <= found["age_seconds"] < 60
    assert "the-value" not in json.dumps(found)
    said = entries(store)[-1]["predicate"]
    assert (said["keys"], said["dropped_fields"], said["redacted_values"]) == (["api_key"], 0, 0)


def test_the_sensor_waits_for_paths_and_keys_and_for_a_sealed_vault(
    connections: dict[str, Connection], context: Any, vault: RunningVault
) -> None:
    path = f"payments/{uuid4().hex}"
    sensor = VaultSecretsSensor(task_id="wait", secrets={path: ["user", "password"]})
    assert not sensor.poke(context)
    vault.root.secrets.kv.v2.create_or_update_secret(path, secret={"user": "u"})
    assert not sensor.poke(context)
    vault.root.secrets.kv.v2.create_or_update_secret(path, secret={"user": "u", "password": "p"})
    assert sensor.poke(context)
    vault.seal()
    assert not sensor.poke(context)


def test_the_sensor_does_not_wait_for_credentials_to_become_right(
    connections: dict[str, Connection], context: Any
) -> None:
    connections["interlock_vault"].password = "wrong"
    with pytest.raises(VaultRefused):
        VaultSecretsSensor(task_id="wait", secrets={"a": []}).poke(context)


def test_parsing_a_dag_loads_no_client_library() -> None:
    modules = "interlock.operators.vault, interlock.operators.evidence, interlock.sensors.vault"
    code = (
        f"import sys, {modules}; "
        "print([m for m in ('boto3', 'botocore', 'hvac', 'kubernetes') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": "plugins"},
    )
    assert done.stdout.strip().splitlines()[-1] == "[]"
