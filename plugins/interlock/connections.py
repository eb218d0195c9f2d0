"""Airflow's connections, read from the environment variables `AIRFLOW_CONN_…`, without Airflow.

Both forms that Airflow documents: JSON, and a URI whose query is the extra.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlsplit

if TYPE_CHECKING:
    from interlock.clients.kubernetes import KubernetesClient
    from interlock.clients.object_store import StoreSettings
    from interlock.clients.vault import VaultSettings


class ConnectionMissing(Exception):
    """A connection isn't there or can't be used; the message says what to set."""


@dataclass(frozen=True)
class Connection:
    """One connection, as Airflow names its parts."""

    name: str
    host: str = ""
    port: int | None = None
    login: str = ""
    password: str = field(default="", repr=False)
    schema: str = ""
    extra: Mapping[str, Any] = field(default_factory=dict, repr=False)


def variable(name: str) -> str:
    """The environment variable that holds a connection."""
    return f"AIRFLOW_CONN_{name.upper()}"


def connection(name: str, variables: Mapping[str, str] | None = None) -> Connection:
    """Read a connection.

    Raises:
        ConnectionMissing: it isn't set, or is neither JSON nor a URI.
    """
    where = variable(name)
    text = (os.environ if variables is None else variables).get(where, "").strip()
    if not text:
        raise ConnectionMissing(f"connection {name}: the environment variable {where} is not set")
    try:
        return _from_json(name, json.loads(text)) if text.startswith("{") else _from_uri(name, text)
    except (ValueError, TypeError, AttributeError):
        # The text holds credentials: it is not shown.
        raise ConnectionMissing(
            f"connection {name}: {where} is neither a JSON object nor a URI of a connection"
        ) from None


def kubernetes_client(found: Connection) -> KubernetesClient:
    """The client of a `kubernetes` connection."""
    from interlock.clients.kubernetes import KubernetesClient

    inline = found.extra.get("kube_config")
    return KubernetesClient.from_settings(
        kube_config_path=found.extra.get("kube_config_path") or None,
        kube_config=json.loads(inline) if isinstance(inline, str) and inline else inline or None,
        in_cluster=_true(found.extra.get("in_cluster")),
        context=found.extra.get("cluster_context") or None,
    )


def vault_settings(found: Connection) -> VaultSettings:
    """The settings of a `vault` connection."""
    from interlock.clients.vault import VaultSettings

    extra = found.extra
    approle = (extra.get("auth_type") or ("approle" if found.login else "token")) == "approle"
    host = found.host.rstrip("/")
    if "://" not in host:
        scheme = "https" if _true(extra.get("use_tls")) else "http"
        host = f"{scheme}://{host}:{found.port or 8200}"
    elif found.port and urlsplit(host).port is None:
        host = f"{host}:{found.port}"
    return VaultSettings(
        address=host,
        role_id=(extra.get("role_id") or found.login) if approle else None,
        secret_id=found.password if approle else None,
        token=None if approle else found.password,
        namespace=extra.get("namespace") or None,
        mount=found.schema or "secret",
        kv_version=int(extra.get("kv_engine_version") or 2),
        transit_mount=extra.get("transit_mount_point") or "transit",
        approle_mount=(extra.get("auth_mount_point") or "approle") if approle else "approle",
    )


def store_settings(found: Connection) -> StoreSettings:
    """The settings of an `aws` connection that names a bucket."""
    from interlock.clients.object_store import StoreSettings

    service = (found.extra.get("service_config") or {}).get("s3") or {}
    if not service.get("bucket_name"):
        raise ConnectionMissing(
            f'connection {found.name}: its extra needs {{"service_config": {{"s3": {{"bucket_name": "…"}}}}}}'
        )
    return StoreSettings(
        bucket=service["bucket_name"],
        access_key=found.login or None,
        secret_key=found.password or None,
        endpoint_url=service.get("endpoint_url") or found.extra.get("endpoint_url") or None,
        region=found.extra.get("region_name") or "us-east-1",
    )


def _from_json(name: str, told: Mapping[str, Any]) -> Connection:
    extra = told.get("extra") or {}
    return Connection(
        name,
        host=told.get("host") or "",
        port=int(told["port"]) if told.get("port") else None,
        login=told.get("login") or "",
        password=told.get("password") or "",
        schema=told.get("schema") or "",
        extra=dict(json.loads(extra) if isinstance(extra, str) else extra),
    )


def _from_uri(name: str, text: str) -> Connection:
    parts = urlsplit(text)
    if not parts.scheme:
        raise ValueError("no scheme")
    query = dict(parse_qsl(parts.query, keep_blank_values=True))
    extra = json.loads(query["__extra__"]) if "__extra__" in query else query
    return Connection(
        name,
        host=unquote(parts.hostname or ""),
        port=parts.port,
        login=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        schema=unquote(parts.path.removeprefix("/")),
        extra=dict(extra),
    )


def _true(value: object) -> bool:
    return str(value or "").lower() in ("true", "1", "yes")
