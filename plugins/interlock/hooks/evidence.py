"""Build the evidence writer from Airflow's connections and settings."""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from airflow.sdk import BaseHook
from airflow.sdk.configuration import conf
from airflow.sdk.exceptions import AirflowNotFoundException

from interlock.connections import of_airflow
from interlock.hooks.vault import InterlockVaultHook

if TYPE_CHECKING:
    from interlock.clients.evidence import BucketWriter
    from interlock.clients.object_store import ObjectStore
    from interlock.clients.vault import VaultClient


class EvidenceHook(BaseHook):
    """Give the evidence writer: a bucket, a signing key in Vault, and the spool between them and the run.

    A connection that doesn't exist is no error: statements then wait in the spool, and say why.

    Which fields of the evidence connection are used is said at `StoreSettings.of_connection`.

    Settings of Airflow's section `[interlock]`: `spool`, the spool's folder (default `$AIRFLOW_HOME/spool`),
    and `transit_key`, the signing key's name (default `interlock-statements`).

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
        from interlock.clients.evidence import DEFAULT_KEY, BucketWriter
        from interlock.clients.spool import Spool

        return BucketWriter(
            spool=Spool(spool_folder()),
            vault=self._vault(),
            store=self._store(),
            key=conf.get("interlock", "transit_key", fallback=DEFAULT_KEY),
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

    def _store(self) -> ObjectStore | None:
        from interlock.clients.object_store import ObjectStore, StoreSettings

        try:
            connection = self.get_connection(self.evidence_conn_id)
        except AirflowNotFoundException:
            return None
        return ObjectStore(StoreSettings.of_connection(of_airflow(connection)))


def spool_folder() -> Path:
    """Return the spool's folder from Airflow's settings."""
    home = os.environ.get("AIRFLOW_HOME", "~/airflow")
    configured = conf.get("interlock", "spool", fallback="") or f"{home}/spool"
    return Path(configured).expanduser().absolute()
