"""Turn Airflow's `vault` connection into Interlock's client."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from airflow.sdk import BaseHook

from interlock.connections import of_airflow

if TYPE_CHECKING:
    from interlock.clients.vault import VaultClient


class InterlockVaultHook(BaseHook):
    """Give Interlock's Vault client for a connection of type `vault`, as the hashicorp provider documents it.

    Which of its fields are used is said at `VaultSettings.of_connection`.

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
        from interlock.clients.vault import VaultClient, VaultSettings

        connection = self.get_connection(self.vault_conn_id)
        return VaultClient(VaultSettings.of_connection(of_airflow(connection)))

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
