"""airflow_settings.yaml against the code: every connection and pool that is used, and placeholders alone."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml
from project_documents import CHECKOUT, dags, named, table

from interlock.clients.github_settings import GithubSettings
from interlock.clients.kubeconfig import KubernetesSettings
from interlock.clients.object_store import StoreSettings
from interlock.clients.prometheus_settings import PrometheusSettings
from interlock.clients.vault import VaultSettings
from interlock.connections import Connection

FILE = CHECKOUT / "airflow_settings.yaml"
SETTINGS = {
    "kubernetes": KubernetesSettings,
    "vault": VaultSettings,
    "aws": StoreSettings,
    "github": GithubSettings,
    "http": PrometheusSettings,
}
_PLACEHOLDER = re.compile(r"[A-Z]+(_[A-Z]+)*")


@pytest.fixture(scope="module")
def settings() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(FILE.read_text())["airflow"]
    return found


def test_it_declares_each_connection_with_its_type(settings: dict[str, Any]) -> None:
    # docs/reference.md is compared with the code by test_reference.py.
    documented = dict(zip(named("Connections"), named("Connections", 1), strict=True))
    declared = {entry["conn_id"]: entry["conn_type"] for entry in settings["connections"]}
    assert declared == documented


def test_each_declared_connection_makes_the_settings_of_its_client(settings: dict[str, Any]) -> None:
    for entry in settings["connections"]:
        SETTINGS[entry["conn_type"]].of_connection(
            Connection(
                entry["conn_id"],
                type=entry["conn_type"],
                host=entry["conn_host"] or "",
                port=entry["conn_port"],
                login=entry["conn_login"] or "",
                password=entry["conn_password"] or "",
                schema=entry["conn_schema"] or "",
                extra=entry["conn_extra"] or {},
            )
        )


def test_each_key_of_an_extra_is_one_that_is_read(settings: dict[str, Any]) -> None:
    fields = {row[0].strip("`"): row[2] for row in table("Connections")}
    for entry in settings["connections"]:
        for key in _leaves(entry["conn_extra"] or {}):
            assert f"`{key}`" in fields[entry["conn_id"]], f"{entry['conn_id']}: nothing reads {key}"


def _leaves(value: dict[str, Any], prefix: str = "") -> list[str]:
    found = []
    for key, inner in value.items():
        found += _leaves(inner, f"{prefix}{key}.") if isinstance(inner, dict) else [prefix + key]
    return found


def test_logins_and_passwords_are_placeholders(settings: dict[str, Any]) -> None:
    values = [entry[key] for entry in settings["connections"] for key in ("conn_login", "conn_password")]
    assert any(values)
    for value in values:
        assert value is None or _PLACEHOLDER.fullmatch(value), value
    hosts = [entry["conn_host"] for entry in settings["connections"] if entry["conn_host"]]
    assert all(host.endswith("example.com") for host in hosts)


def test_it_declares_each_pool_that_a_task_uses(settings: dict[str, Any]) -> None:
    used = {task.pool for dag in dags().values() for task in dag.tasks} - {"default_pool"}
    declared = {entry["pool_name"] for entry in settings["pools"] if entry["pool_name"]}
    assert declared == used
