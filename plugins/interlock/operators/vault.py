"""Look at secrets in Vault: which keys they have, which version, how old; never what they hold."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator

from interlock.hooks.vault import InterlockVaultHook
from interlock.operators.evidence import Said, record

if TYPE_CHECKING:
    from airflow.sdk import Context

    from interlock.clients.vault import SecretFacts


class VaultSecretsOperator(BaseOperator):
    """Return key names, versions and age of secrets, as a list with one object a path.

    Each object has `path`, `mount`, `keys`, `version`, `created_at`, `age_seconds` and `versions`. The values
    of the secrets never reach the worker (KV version 2), so they can't reach XCom, logs or evidence.

    :param paths: the secrets' paths under the connection's mount point.
    :param vault_conn_id: id of the connection to Vault.
    :param evidence_conn_id: id of the connection to the evidence bucket; None records nothing.
    """

    template_fields: Sequence[str] = ("paths", "vault_conn_id", "evidence_conn_id")

    def __init__(
        self,
        *,
        paths: Sequence[str],
        vault_conn_id: str = InterlockVaultHook.default_conn_name,
        evidence_conn_id: str | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.paths = paths
        self.vault_conn_id = vault_conn_id
        self.evidence_conn_id = evidence_conn_id

    def execute(self, context: Context) -> list[dict[str, Any]]:
        """Ask Vault about each path."""
        now = datetime.now(UTC)
        with closing(InterlockVaultHook(self.vault_conn_id).client) as client:
            found = [_described(client.secret(path), now) for path in self.paths]
        if self.evidence_conn_id is not None:
            record(
                context,
                [Said("vault-read", facts) for facts in found],
                at=now,
                evidence_conn_id=self.evidence_conn_id,
                vault_conn_id=self.vault_conn_id,
            )
        return found


def _described(facts: SecretFacts, now: datetime) -> dict[str, Any]:
    return {
        "path": facts.path,
        "mount": facts.mount,
        "keys": list(facts.keys),
        "version": facts.version,
        "created_at": None if facts.created_at is None else facts.created_at.isoformat(),
        "age_seconds": facts.age_seconds(now),
        "versions": [
            {
                "version": v.version,
                "created_at": v.created_at.isoformat(),
                "deleted": v.deleted,
                "destroyed": v.destroyed,
            }
            for v in facts.versions
        ],
    }
