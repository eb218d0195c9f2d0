"""Build the evidence writer from Airflow's connections and settings."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

from airflow.sdk import BaseHook
from airflow.sdk.exceptions import AirflowNotFoundException

from interlock.connections import Connection, ConnectionAbsent, ConnectionMissing, of_airflow
from interlock.hooks.settings import settings
from interlock.hooks.vault import InterlockVaultHook

if TYPE_CHECKING:
    from interlock.clients.evidence import BucketWriter


class EvidenceHook(BaseHook):
    """Give the evidence writer: a log in a bucket, two signing keys in Vault, and the spool before them.

    A connection that doesn't exist, or lacks what is needed, is no error: statements then wait in the spool.

    Which fields of the evidence connection are used is said at `StoreSettings.of_connection`. The log's heads
    are signed through a third connection, the setting `[interlock] log_vault`.

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
        from interlock.clients.evidence_setup import writer

        return writer(settings(), connection, vault=self.vault_conn_id, store=self.evidence_conn_id)

    def get_conn(self) -> BucketWriter:
        """Return the writer."""
        return self.writer

    def test_connection(self) -> tuple[bool, str]:
        """Return whether the bucket can be trusted with evidence, and a sentence about it."""
        from interlock.clients.object_store import ObjectStore, StoreError, StoreSettings

        try:
            store = ObjectStore(StoreSettings.of_connection(connection(self.evidence_conn_id)))
        except ConnectionMissing as error:
            return False, str(error)
        try:
            store.probe()
        except StoreError as error:
            return False, str(error)
        finally:
            store.close()
        return True, f"bucket {store.bucket} has Object Lock"


def connection(name: str) -> Connection:
    """A connection of Airflow's.

    Raises:
        ConnectionMissing: it doesn't exist, or says something that can't be used.
    """
    try:
        return of_airflow(BaseHook.get_connection(name))
    except AirflowNotFoundException:
        raise ConnectionAbsent(f"there is no connection {name}") from None
