"""Build the evidence writer from Airflow's connections and settings."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from airflow.sdk import BaseHook
from airflow.sdk.exceptions import AirflowNotFoundException

from interlock.connections import ConnectionMissing, of_airflow
from interlock.hooks.settings import settings
from interlock.hooks.vault import InterlockVaultHook

if TYPE_CHECKING:
    from interlock.clients.evidence import BucketWriter
    from interlock.clients.object_store import ObjectStore
    from interlock.clients.vault import VaultClient


class EvidenceHook(BaseHook):
    """Give the evidence writer: a bucket, a signing key in Vault, and the spool between them and the run.

    A connection that doesn't exist, or lacks what is needed, is no error: statements then wait in the spool.

    Which fields of the evidence connection are used is said at `StoreSettings.of_connection`.

    :param evidence_conn_id: id of the connection to the bucket.
    :param vault_conn_id: id of the connection to Vault.
    """

    conn_name_attr = "evidence_conn_id"
    default_conn_name = "interlock_evidence"
    conn_type = "aws"
    hook_name = "Interlock evidence"

    def __init__(
        self,
        evidence_conn_id: str = default_conn_name,
        *,
        vault_conn_id: str = InterlockVaultHook.default_conn_name,
    ) -> None:
        super().__init__()
        self.evidence_conn_id = evidence_conn_id
        self.vault_conn_id = vault_conn_id

    @cached_property
    def writer(self) -> BucketWriter:
        """The writer; nothing is sent before its first statement."""
        from interlock.clients.evidence import BucketWriter
        from interlock.clients.spool import Spool

        found = settings()
        return BucketWriter(
            spool=Spool(found.spool),
            vault=self._vault(),
            store=self._store(),
            key=found.transit_key,
        )

    def get_conn(self) -> BucketWriter:
        """Return the writer."""
        return self.writer

    def test_connection(self) -> tuple[bool, str]:
        """Return whether the bucket can be trusted with evidence, and a sentence about it."""
        from interlock.clients.object_store import StoreError

        store = self._store()
        if store is None:
            return False, f"there is no connection {self.evidence_conn_id}"
        try:
            store.probe()
        except StoreError as error:
            return False, str(error)
        finally:
            store.close()
        return True, f"bucket {store.bucket} has Object Lock"

    def _vault(self) -> VaultClient | None:
        try:
            return InterlockVaultHook(self.vault_conn_id).client
        except AirflowNotFoundException:
            return None
        except ConnectionMissing as error:
            self.log.error("statements are not signed now: %s", error)
            return None

    def _store(self) -> ObjectStore | None:
        from interlock.clients.object_store import ObjectStore, StoreSettings

        try:
            connection = self.get_connection(self.evidence_conn_id)
            return ObjectStore(StoreSettings.of_connection(of_airflow(connection)))
        except AirflowNotFoundException:
            return None
        except ConnectionMissing as error:
            self.log.error("statements wait in the spool: %s", error)
            return None
