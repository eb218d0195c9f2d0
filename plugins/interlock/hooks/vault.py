"""Turn Airflow's `vault` connection into Interlock's client."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from airflow.sdk import BaseHook

if TYPE_CHECKING:
    from airflow.sdk import Connection

    from interlock.clients.vault import VaultClient, VaultSettings


class InterlockVaultHook(BaseHook):
    """Give Interlock's Vault client for a connection of type `vault`, as the hashicorp provider documents it.

    Used of the connection: host (also a whole URL) and port; schema, the KV mount point (default `secret`);
    login and password, the AppRole's role_id and secret_id, or the password alone, a token; and of its extra
    `auth_type` (`approle` or `token`), `auth_mount_point`, `role_id`, `namespace`, `kv_engine_version`,
    `use_tls` (default false, as in the provider), and `transit_mount_point` (default `transit`).

    :param vault_conn_id: id of the connection.
    """

    conn_name_attr = "vault_conn_id"
    default_conn_name = "interlock_vault"
    conn_type = "vault"
    hook_name = "Interlock Vault"

    def __init__(self, vault_conn_id: str = default_conn_name) -> None:
        super().__init__()
        self.vault_conn_id = vault_conn_id

    @cached_property
    def client(self) -> VaultClient:
        """The client; nothing is sent before its first request."""
        from interlock.clients.vault import VaultClient

        return VaultClient(vault_settings(self.get_connection(self.vault_conn_id)))

    def get_conn(self) -> VaultClient:
        """Return the client."""
        return self.client

    def test_connection(self) -> tuple[bool, str]:
        """Return whether Vault can be reached and is unsealed, and a sentence about it."""
        from interlock.clients.vault import VaultError

        try:
            health = self.client.health()
        except VaultError as error:
            return False, str(error)
        if health.sealed:
            return False, "Vault is sealed"
        return True, f"Vault {health.version} is unsealed"


def vault_settings(connection: Connection) -> VaultSettings:
    """Return the client's settings that a `vault` connection describes.

    Raises:
        ValueError: its authentication is neither AppRole nor a token.
    """
    from interlock.clients.vault import VaultSettings

    extra = connection.extra_dejson
    method = extra.get("auth_type") or ("approle" if connection.login else "token")
    if method not in ("approle", "token"):
        raise ValueError(
            f"connection {connection.conn_id}: auth_type {method!r}; Interlock uses 'approle' or 'token'"
        )
    approle = method == "approle"
    return VaultSettings(
        address=_address(connection, extra),
        role_id=(extra.get("role_id") or connection.login) if approle else None,
        secret_id=connection.password if approle else None,
        token=None if approle else connection.password,
        namespace=extra.get("namespace") or None,
        mount=connection.schema or "secret",
        kv_version=int(extra.get("kv_engine_version") or 2),
        transit_mount=extra.get("transit_mount_point") or "transit",
        approle_mount=(extra.get("auth_mount_point") or "approle") if approle else "approle",
    )


def _address(connection: Connection, extra: dict[str, object]) -> str:
    host = connection.host or ""
    if "://" in host:
        parts = urlsplit(host)
        scheme = {"vault": "http", "vaults": "https"}.get(parts.scheme, parts.scheme)
        port = parts.port or connection.port
        return f"{scheme}://{parts.hostname}" + (f":{port}" if port else "")
    tls = str(extra.get("use_tls", connection.conn_type == "vaults")).lower() in ("true", "1", "yes")
    return f"{'https' if tls else 'http'}://{host}:{connection.port or 8200}"
