"""Secrets stay in Vault and in Kubernetes Secrets, and get nowhere that Interlock or Airflow writes to."""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import psycopg2
import pytest
from evidence_bucket import EvidenceBucket
from psycopg2 import sql
from running_sandbox import RunningSandbox
from train_runs import ENDED, NAMESPACE, TrainRuns

pytestmark = pytest.mark.sandbox

PATH = "interlock/tests/canary"
READING = "test_vault_reading"
SECRET = "canary"
SERVICE = "west-a"


@dataclass(frozen=True)
class Told:
    """What was told to whom.

    Attributes:
        canary: a value that is in Vault and in a Kubernetes Secret.
        pasted: a value that somebody pasted into a run's reason.
        reading_id: the run that looked at Vault.
        run_id: the run of the train.
    """

    canary: str
    pasted: str
    reading_id: str
    train: TrainRuns
    run_id: str


@pytest.fixture(scope="module")
def told(sandbox: RunningSandbox) -> Iterator[Told]:
    """A DAG that looks at the secret in Vault, and a train that goes back, whose workload refers to it."""
    train = sandbox.train("west")
    train.settle()
    canary, pasted = (f"canary{uuid.uuid4().hex}" for _ in range(2))
    before = train.deployments()[SERVICE]["spec"]["template"]["spec"]["containers"][0].get("env")
    _put_into_vault(sandbox, canary)
    secret = {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {"name": SECRET, "namespace": NAMESPACE},
        "stringData": {"password": canary},
    }
    sandbox.kubectl_run("create", "-f", "-", given=json.dumps(secret))
    try:
        env = [{"name": "PASSWORD", "valueFrom": {"secretKeyRef": {"name": SECRET, "key": "password"}}}]
        _set_env(sandbox, env)
        sandbox.until(train.whole, 120, f"{SERVICE} with its reference to the secret")
        reading = f"/api/v2/dags/{READING}/dagRuns"
        reading_id = sandbox.send("POST", reading, {"logical_date": None})["dag_run_id"]
        run_id = train.trigger(
            {**train.new_releases(), "west-b": "1.2.0-crash", "reason": f"as asked, password={pasted}"}
        )
        assert train.wait(run_id)[0] == "failed"
        read = f"{reading}/{reading_id}"
        sandbox.until(lambda: sandbox.send("GET", read)["state"] in ENDED, 120, "the reading of Vault")
        assert sandbox.send("GET", read)["state"] == "success"
        yield Told(canary, pasted, reading_id, train, run_id)
    finally:
        _set_env(sandbox, before)
        sandbox.kubectl_run("-n", NAMESPACE, "delete", "secret", SECRET)


def _put_into_vault(sandbox: RunningSandbox, canary: str) -> None:
    httpx.post(
        f"{sandbox.env['VAULT_ADDR']}/v1/secret/data/{PATH}",
        headers={"X-Vault-Token": sandbox.env["VAULT_TOKEN"]},
        json={"data": {"password": canary}},
        timeout=10,
    ).raise_for_status()


def _set_env(sandbox: RunningSandbox, env: object) -> None:
    containers = [{"name": "app", "env": env}]
    patch = json.dumps({"spec": {"template": {"spec": {"containers": containers}}}})
    sandbox.kubectl_run("-n", NAMESPACE, "patch", "deployment", SERVICE, "-p", patch)


def test_a_secret_in_vault_and_in_kubernetes_gets_into_nothing_that_is_kept(
    sandbox: RunningSandbox, told: Told
) -> None:
    assert _tables(sandbox, told.canary) == set()
    assert _files(sandbox, told.canary) == []
    assert _objects(sandbox, told.canary) == []
    assert _journals(sandbox, told.canary) == []
    # The same searches find what is there: the run, the key's name in Vault, the reference to the secret.
    assert {"dag_run", "task_instance"} <= _tables(sandbox, told.run_id)
    assert "xcom" in _tables(sandbox, "password")
    assert _files(sandbox, "CrashLoopBackOff")
    assert _objects(sandbox, PATH)
    journal = f"journal-{told.train.run_hash(told.run_id)}"
    assert f"{journal}-{SERVICE}" in _journals(sandbox, "secretKeyRef")
    assert journal in _journals(sandbox, told.run_id)


def test_what_looks_like_a_secret_in_a_reason_stays_in_airflows_own_record_of_the_request(
    sandbox: RunningSandbox, told: Told
) -> None:
    # Whoever triggers a run hands its conf to Airflow, which keeps it; Interlock passes nothing of it on.
    assert _tables(sandbox, told.pasted) <= {"dag_run", "log"}
    assert _files(sandbox, told.pasted) == []
    assert _objects(sandbox, told.pasted) == []
    assert _journals(sandbox, told.pasted) == []
    statements = EvidenceBucket(sandbox.env).statements(told.train.run_hash(told.run_id)).values()
    (plan,) = [s["predicate"] for s in statements if s["predicateType"].endswith("/plan/v1")]
    assert plan["reason"] == {"redacted": "assignment"}


def _forms(value: str) -> tuple[bytes, ...]:
    """A value as it is, in base64 at each offset, and in hexadecimal."""
    raw = value.encode()
    # Cut off what depends on the bytes before and after it.
    encoded = [base64.b64encode(b"\0" * shift + raw)[4 if shift else 0 : -4] for shift in range(3)]
    return (raw, *encoded, raw.hex().encode())


def _holds(content: bytes, value: str) -> bool:
    return any(form in content for form in _forms(value))


def _tables(sandbox: RunningSandbox, value: str) -> set[str]:
    """The tables of Airflow's database with a row that holds the value."""
    url = sandbox.env["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"].replace("postgresql+psycopg2", "postgresql")
    found = set()
    with psycopg2.connect(url) as connection, connection.cursor() as cursor:
        cursor.execute("SELECT table_name FROM information_schema.tables WHERE table_schema = 'public'")
        for (table,) in cursor.fetchall():
            cursor.execute(
                sql.SQL("SELECT count(*) FROM {} AS t WHERE t::text LIKE ANY(%s)").format(
                    sql.Identifier(table)
                ),
                ([f"%{form.decode()}%" for form in _forms(value)],),
            )
            if cursor.fetchone() != (0,):
                found.add(str(table))
    connection.close()
    return found


def _files(sandbox: RunningSandbox, value: str) -> list[Path]:
    """The files of Airflow's home (task logs, spool) and logs of its programs that hold the value."""
    home = sandbox.root / "airflow"
    files = [*home.rglob("*"), *(sandbox.root / "log").glob("airflow-*")]
    return [file for file in files if file.is_file() and _holds(file.read_bytes(), value)]


def _objects(sandbox: RunningSandbox, value: str) -> list[str]:
    """The objects of the evidence bucket that hold the value; a statement is base64 in its envelope."""
    found = []
    for key, content in EvidenceBucket(sandbox.env).objects():
        if "/seq/" in key:
            payloads = [json.loads(entry)["payload"] for entry in content.splitlines()[1:]]
            content += b"".join(map(base64.b64decode, payloads))
        if _holds(content, value):
            found.append(key)
    return found


def _journals(sandbox: RunningSandbox, value: str) -> list[str]:
    """The Secrets of Interlock's namespace that hold the value."""
    found = []
    for secret in sandbox.kubectl("interlock", "secrets"):
        content = b"\n".join(base64.b64decode(data) for data in (secret.get("data") or {}).values())
        if _holds(content + json.dumps(secret["metadata"]).encode(), value):
            found.append(secret["metadata"]["name"])
    return found
