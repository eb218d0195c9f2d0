"""Wait for secrets in Vault."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseSensorOperator

from interlock.hooks.vault import InterlockVaultHook

if TYPE_CHECKING:
    from airflow.sdk import Context


class VaultSecretsSensor(BaseSensorOperator):
    """Wait until secrets exist and have the keys they should; their values are never read (KV version 2).

    While Vault is sealed or away it goes on waiting. When Vault refuses the credentials it fails at once,
    because waiting changes nothing about that.

    :param secrets: each path under the connection's mount point with the keys that it must have; an empty
        list asks only that the secret is there.
    :param vault_conn_id: id of the connection to Vault.
    """

    template_fields: Sequence[str] = ("secrets", "vault_conn_id")

    def __init__(
        self,
        *,
        secrets: Mapping[str, Sequence[str]],
        vault_conn_id: str = InterlockVaultHook.default_conn_name,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.secrets = secrets
        self.vault_conn_id = vault_conn_id

    def poke(self, context: Context) -> bool:
        """Return whether all secrets are there; log what is missing."""
        from interlock.clients.vault import SecretMissing, VaultUnavailable

        missing: list[str] = []
        with closing(InterlockVaultHook(self.vault_conn_id).client) as client:
            for path, keys in self.secrets.items():
                try:
                    found = client.secret(path).keys
                except SecretMissing:
                    missing.append(path)
                except VaultUnavailable as error:
                    self.log.info("still waiting: %s", error)
                    return False
                else:
                    missing += [f"{path}#{key}" for key in keys if key not in found]
        if missing:
            self.log.info("still missing: %s", ", ".join(missing))
        return not missing
