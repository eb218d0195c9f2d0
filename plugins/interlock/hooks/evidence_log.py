"""Give the evidence log for reading: the bucket as a source for verification, and the keys to trust."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

from airflow.sdk import BaseHook

from interlock.connections import of_airflow
from interlock.hooks.settings import settings
from interlock.hooks.vault import InterlockVaultHook

if TYPE_CHECKING:
    from interlock.clients.log_reader import BucketSource
    from interlock.evidence.verification.trust import Trust


class EvidenceLogHook(BaseHook):
    """Give the bucket of an `aws` connection for reading, and the keys by which its log is trusted.

    Without key files the public keys come from Vault: good for a watch over the bucket, while an auditor
    brings keys from elsewhere (`interlock-verify`).

    :param evidence_conn_id: id of the connection to the bucket.
    :param vault_conn_id: id of the connection to Vault.
    :param checkpoint_keys: files with verifier keys of the log's checkpoints.
    :param statement_keys: files with verifier keys of statements.
    :param log_name: the log's name where the keys come from Vault; when empty the setting `log_name`, else
        `interlock/BUCKET`.
    """

    conn_name_attr = "evidence_conn_id"
    default_conn_name = "interlock_evidence"
    conn_type = "aws"
    hook_name = "Interlock evidence log"

    def __init__(
        self,
        evidence_conn_id: str = default_conn_name,
        *,
        vault_conn_id: str = InterlockVaultHook.default_conn_name,
        checkpoint_keys: Sequence[str] = (),
        statement_keys: Sequence[str] = (),
        log_name: str = "",
    ) -> None:
        super().__init__()
        self.evidence_conn_id = evidence_conn_id
        self.vault_conn_id = vault_conn_id
        self.checkpoint_keys = checkpoint_keys
        self.statement_keys = statement_keys
        self.log_name = log_name

    def get_conn(self) -> BucketSource:
        """The bucket; close it."""
        from interlock.clients.log_reader import BucketSource
        from interlock.clients.object_store import ObjectStore, StoreSettings

        connection = of_airflow(self.get_connection(self.evidence_conn_id))
        return BucketSource(ObjectStore(StoreSettings.of_connection(connection)))

    def trust(self, bucket: str) -> Trust:
        """The keys to trust.

        Raises:
            KeyFileError: a file holds something else.
            VaultError: Vault gives no public keys.
        """
        from interlock.evidence.log.note import VerifierKey
        from interlock.evidence.verification.trust import Trust, read_keys

        if self.checkpoint_keys:
            files = [
                tuple(key for name in names for key in read_keys(Path(name).read_bytes(), name))
                for names in (self.checkpoint_keys, self.statement_keys)
            ]
            return Trust.of(*files)
        found = settings()
        log = self.log_name or found.log_of(bucket)
        with closing(InterlockVaultHook(self.vault_conn_id).client) as vault:
            heads = vault.public_key(found.log_transit_key)
            statements = vault.public_key(found.transit_key)
        return Trust.of(
            tuple(VerifierKey(log, key.raw) for key in heads),
            tuple(VerifierKey("interlock-statements", key.raw) for key in statements),
        )
