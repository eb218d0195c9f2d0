"""From a connection to a client's settings: one mapping for the hooks and for the command line.

Each row is read twice, by Airflow and by us, and both ways have to give the same settings.
"""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any
from urllib.parse import quote

import pytest
from airflow.sdk import BaseHook
from airflow.sdk import Connection as InAirflow

from interlock.clients.kubeconfig import KubernetesSettings
from interlock.clients.object_store import StoreSettings
from interlock.clients.prometheus_settings import PrometheusSettings
from interlock.clients.vault import VaultSettings
from interlock.connections import Connection, ConnectionMissing, connection, of_airflow, variable
from interlock.hooks import evidence
from interlock.hooks.kubernetes import InterlockKubernetesHook
from interlock.hooks.vault import InterlockVaultHook

Settings = VaultSettings | StoreSettings | KubernetesSettings | PrometheusSettings

VAULT: list[tuple[str, dict[str, Any] | str, VaultSettings]] = [
    ("a host and a port", {"host": "v", "port": 8300}, VaultSettings("http://v:8300")),
    ("8200 where no port is set", {"host": "v"}, VaultSettings("http://v:8200")),
    ("TLS by use_tls", {"host": "v", "extra": {"use_tls": True}}, VaultSettings("https://v:8200")),
    ("TLS by use_tls as text", {"host": "v", "extra": {"use_tls": "true"}}, VaultSettings("https://v:8200")),
    ("TLS by the type", {"conn_type": "vaults", "host": "v"}, VaultSettings("https://v:8200")),
    (
        "use_tls goes before the type",
        {"conn_type": "vaults", "host": "v", "extra": {"use_tls": False}},
        VaultSettings("http://v:8200"),
    ),
    ("a whole URL", {"host": "https://v.example:8300"}, VaultSettings("https://v.example:8300")),
    (
        "a URL without a port keeps its own",
        {"host": "https://v.example/"},
        VaultSettings("https://v.example"),
    ),
    ("a URL with the port beside it", {"host": "http://v", "port": 80}, VaultSettings("http://v:80")),
    ("a URL with a path", {"host": "https://v/vault/"}, VaultSettings("https://v/vault")),
    ("a URL of the type's own scheme", {"host": "vault://v:8200"}, VaultSettings("http://v:8200")),
    ("a URL of the TLS type's scheme", {"host": "vaults://v:8200"}, VaultSettings("https://v:8200")),
    ("an IPv6 address", {"host": "::1"}, VaultSettings("http://[::1]:8200")),
    ("a URL with an IPv6 address", {"host": "http://[::1]:8300"}, VaultSettings("http://[::1]:8300")),
    (
        "an AppRole by login and password",
        {"host": "v", "schema": "kv", "login": "role", "password": "secret"},
        VaultSettings("http://v:8200", role_id="role", secret_id="secret", mount="kv"),
    ),
    (
        "an AppRole whose role_id is in the extra",
        {"host": "v", "password": "s", "extra": {"auth_type": "approle", "role_id": "role"}},
        VaultSettings("http://v:8200", role_id="role", secret_id="s"),
    ),
    (
        "a token by the password alone",
        {"host": "v", "password": "secret"},
        VaultSettings("http://v:8200", token="secret"),
    ),
    (
        "a token although there is a login",
        {"host": "v", "login": "me", "password": "secret", "extra": {"auth_type": "token"}},
        VaultSettings("http://v:8200", token="secret"),
    ),
    (
        "mounts, namespace and KV version",
        {
            "host": "v",
            "login": "role",
            "extra": {
                "auth_mount_point": "ours",
                "transit_mount_point": "keys",
                "namespace": "team",
                "kv_engine_version": "1",
            },
        },
        VaultSettings(
            "http://v:8200",
            role_id="role",
            namespace="team",
            kv_version=1,
            transit_mount="keys",
            approle_mount="ours",
        ),
    ),
    (
        "a URI",
        "vault://role:p%2Fw@127.0.0.1:8200/kv?auth_type=approle",
        VaultSettings("http://127.0.0.1:8200", role_id="role", secret_id="p/w", mount="kv"),
    ),
    ("a URI of the TLS type", "vaults://:t@v:8200", VaultSettings("https://v:8200", token="t")),
    ("a URI with the scheme in the host", "vault://https://v:8300", VaultSettings("https://v:8300")),
    (
        "a URI whose extra is JSON",
        "vault://:t@v?__extra__=" + quote(json.dumps({"use_tls": True})),
        VaultSettings("https://v:8200", token="t"),
    ),
]

PROMETHEUS: list[tuple[str, dict[str, Any] | str, PrometheusSettings]] = [
    ("9090 where no port is set", {"host": "p"}, PrometheusSettings("http://p:9090")),
    ("a scheme as schema", {"host": "p", "port": 1, "schema": "https"}, PrometheusSettings("https://p:1")),
    ("TLS by use_tls", {"host": "p", "extra": {"use_tls": True}}, PrometheusSettings("https://p:9090")),
    ("an IPv6 address", {"host": "::1"}, PrometheusSettings("http://[::1]:9090")),
    ("a URL with a prefix", {"host": "https://p/prometheus/"}, PrometheusSettings("https://p/prometheus")),
    (
        "a user, and seconds for a query",
        {"host": "p", "login": "u", "password": "s", "extra": {"query_timeout": 2.5}},
        PrometheusSettings("http://p:9090", "u", "s", 2.5),
    ),
    ("a bearer token", {"host": "p", "password": "t"}, PrometheusSettings("http://p:9090", "", "t")),
    ("a URI", "http://u:s@p:80/https", PrometheusSettings("https://p:80", "u", "s")),
]
IN_BUCKET = {"bucket_name": "b"}
BUCKET = {"service_config": {"s3": IN_BUCKET}}
STORE: list[tuple[str, dict[str, Any] | str, StoreSettings]] = [
    ("a bucket at AWS with boto3's own credentials", {"extra": BUCKET}, StoreSettings("b")),
    (
        "keys, region and endpoint",
        {
            "login": "key",
            "password": "secret",
            "extra": {**BUCKET, "endpoint_url": "http://s3", "region_name": "eu"},
        },
        StoreSettings("b", "key", "secret", "http://s3", "eu"),
    ),
    (
        "an endpoint of S3 alone goes before the connection's",
        {
            "extra": {
                "endpoint_url": "http://all",
                "service_config": {"s3": {"bucket_name": "b", "endpoint_url": "http://s3"}},
            }
        },
        StoreSettings("b", endpoint_url="http://s3"),
    ),
    (
        "mode and retention of the lock",
        {
            "extra": {
                "service_config": {
                    "s3": {**IN_BUCKET, "object_lock_mode": "compliance", "retention_days": "3650"}
                }
            }
        },
        StoreSettings("b", retention=timedelta(days=3650), mode="COMPLIANCE"),
    ),
    (
        "a URI whose extra is JSON",
        "aws://key:secret@/?__extra__=" + quote(json.dumps(BUCKET)),
        StoreSettings("b", "key", "secret"),
    ),
]


def locked(key: str, value: Any) -> Connection:
    return Connection("c", extra={"service_config": {"s3": {**IN_BUCKET, key: value}}})


CONFIG = {"kind": "Config", "clusters": []}
KUBERNETES: list[tuple[str, dict[str, Any] | str, KubernetesSettings]] = [
    ("where kubectl looks", {}, KubernetesSettings()),
    ("in the cluster", {"extra": {"in_cluster": True}}, KubernetesSettings(in_cluster=True)),
    ("in the cluster, as text", {"extra": {"in_cluster": "True"}}, KubernetesSettings(in_cluster=True)),
    ("not in the cluster, as text", {"extra": {"in_cluster": "false"}}, KubernetesSettings()),
    (
        "a file and a context",
        {"extra": {"kube_config_path": "/k", "cluster_context": "c"}},
        KubernetesSettings(config_path="/k", context="c"),
    ),
    ("a kubeconfig", {"extra": {"kube_config": CONFIG}}, KubernetesSettings(config=CONFIG)),
    (
        "a kubeconfig as text",
        {"extra": {"kube_config": json.dumps(CONFIG)}},
        KubernetesSettings(config=CONFIG),
    ),
    (
        "a URI",
        "kubernetes://?in_cluster=true&kube_config_path=&cluster_context=c",
        KubernetesSettings(in_cluster=True, context="c"),
    ),
]

ROWS = [
    *(pytest.param("vault", told, wanted, id=f"vault: {name}") for name, told, wanted in VAULT),
    *(pytest.param("aws", told, wanted, id=f"aws: {name}") for name, told, wanted in STORE),
    *(pytest.param("http", told, wanted, id=f"http: {name}") for name, told, wanted in PROMETHEUS),
    *(
        pytest.param("kubernetes", told, wanted, id=f"kubernetes: {name}")
        for name, told, wanted in KUBERNETES
    ),
]


def _text(conn_type: str, told: dict[str, Any] | str) -> str:
    return told if isinstance(told, str) else json.dumps({"conn_type": conn_type, **told})


def _airflows(conn_type: str, told: dict[str, Any] | str) -> InAirflow:
    text = _text(conn_type, told)
    if isinstance(told, str):
        return InAirflow.from_uri(text, conn_id="c")
    return InAirflow.from_json(text, conn_id="c")


@pytest.mark.parametrize(("conn_type", "told", "wanted"), ROWS)
def test_the_environment_and_airflow_give_the_same_settings(
    conn_type: str, told: dict[str, Any] | str, wanted: Settings
) -> None:
    ours = connection("c", {"AIRFLOW_CONN_C": _text(conn_type, told)})
    airflows = of_airflow(_airflows(conn_type, told))
    assert type(wanted).of_connection(ours) == wanted
    assert type(wanted).of_connection(airflows) == wanted


def test_the_hooks_use_this_mapping(monkeypatch: pytest.MonkeyPatch) -> None:
    told = {"vault": {"host": "vaults://v:8300"}, "aws": {"extra": BUCKET}}
    config = {
        "kind": "Config",
        "apiVersion": "v1",
        "clusters": [{"name": "c", "cluster": {"server": "http://k"}}],
        "contexts": [{"name": "c", "context": {"cluster": "c"}}],
    }
    kubernetes = {"extra": {"kube_config": json.dumps(config), "cluster_context": "c"}}

    monkeypatch.setattr(BaseHook, "get_connection", lambda self, name: _airflows("vault", told["vault"]))
    vault = InterlockVaultHook("c").client
    assert vault._settings == VaultSettings("https://v:8300")
    vault.close()
    monkeypatch.setattr(BaseHook, "get_connection", staticmethod(lambda name: _airflows("aws", told["aws"])))
    store = StoreSettings.of_connection(evidence.connection("c"))
    assert store.bucket == "b"
    monkeypatch.setattr(BaseHook, "get_connection", lambda self, name: _airflows("kubernetes", kubernetes))
    client = InterlockKubernetesHook("c").get_conn()
    assert client._context == "c"
    assert client._config.clusters["c"].server == "http://k"


@pytest.mark.parametrize(
    ("settings", "found", "said"),
    [
        (
            VaultSettings,
            Connection("c", host="v", extra={"auth_type": "ldap"}),
            "connection c: auth_type 'ldap'; Interlock uses 'approle' or 'token'",
        ),
        (VaultSettings, Connection("c"), "connection c: it names no host"),
        (VaultSettings, Connection("c", host="v", extra={"kv_engine_version": "3"}), "it is 1 or 2"),
        (StoreSettings, Connection("c"), "bucket_name"),
        (StoreSettings, locked("object_lock_mode", "NONE"), "it is 'GOVERNANCE' or 'COMPLIANCE'"),
        (StoreSettings, locked("retention_days", 0), "a whole number of days, 1 to 36500"),
        (StoreSettings, locked("retention_days", "ten"), "a whole number of days, 1 to 36500"),
        (StoreSettings, locked("retention_days", 36501), "a whole number of days, 1 to 36500"),
        (PrometheusSettings, Connection("c"), "connection c: it names no host"),
        (PrometheusSettings, Connection("c", host="p", login="u"), "it has a login and no password"),
        (
            PrometheusSettings,
            Connection("c", host="p", extra={"query_timeout": "soon"}),
            "query_timeout 'soon' of its extra: expected seconds, up to 600",
        ),
        (KubernetesSettings, Connection("c", extra={"kube_config": "{broken"}), "kube_config is no JSON"),
        (KubernetesSettings, Connection("c", extra={"kube_config": "[1]"}), "kube_config is no JSON"),
    ],
)
def test_what_can_not_be_used_is_named(settings: type[Settings], found: Connection, said: str) -> None:
    with pytest.raises(ConnectionMissing, match=said):
        settings.of_connection(found)


@pytest.mark.parametrize("text", ["{broken secret", "no-uri-secret"])
def test_a_broken_connection_is_refused_without_showing_it(text: str) -> None:
    with pytest.raises(ConnectionMissing) as refused:
        connection("v", {"AIRFLOW_CONN_V": text})
    assert "secret" not in str(refused.value)


def test_a_connection_that_is_not_set_names_its_variable() -> None:
    with pytest.raises(ConnectionMissing, match="AIRFLOW_CONN_MY_VAULT is not set"):
        connection("my_vault", {})
    assert variable("my_vault") == "AIRFLOW_CONN_MY_VAULT"


def test_neither_a_connection_nor_its_settings_print_their_secrets() -> None:
    found = Connection("c", host="v", password="s3cret", extra={"kube_config": {"token": "s3cret"}})
    settings = VaultSettings.of_connection(found), KubernetesSettings.of_connection(found)
    assert "s3cret" not in repr((found, settings))
