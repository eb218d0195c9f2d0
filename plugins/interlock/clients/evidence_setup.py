"""A writer of evidence from settings and connections: one way for Airflow, the command line and the doctor.

A connection that doesn't exist, or lacks what is needed, is no error: statements then wait in the spool, and
the reason names it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import replace

from interlock.clients.evidence import BucketWriter
from interlock.clients.log import EvidenceLog
from interlock.clients.object_store import ObjectStore, StoreSettings
from interlock.clients.signing import CheckpointSigner, StatementSigner
from interlock.clients.spool import LIMIT_BYTES, Spool
from interlock.clients.vault import VaultClient, VaultSettings
from interlock.connections import Connection, ConnectionAbsent, ConnectionMissing
from interlock.settings import SPOOL_MIB, Settings

log = logging.getLogger(__name__)

Read = Callable[[str], Connection]
"""Gives a connection by its name, or raises ConnectionMissing."""


def evidence_log(
    settings: Settings, read: Read, *, vault: str, store: str, timeout: float | None = None
) -> EvidenceLog:
    """The log that these connections lead to; nothing is sent.

    Args:
        settings: Interlock's settings.
        read: gives connections.
        vault: the connection of the workers' role.
        store: the connection to the bucket.
        timeout: seconds for one answer; the clients' own when None.

    Raises:
        ConnectionMissing: a connection doesn't exist or can't be used.
        ValueError: a setting can't be used.
    """
    bucket = StoreSettings.of_connection(read(store))
    workers = VaultSettings.of_connection(read(vault))
    try:
        own = VaultSettings.of_connection(read(settings.log_vault))
    except ConnectionMissing as error:
        raise type(error)(f"{error}; the log's heads are signed through it, by a role of their own") from None
    if timeout is not None:
        bucket = replace(bucket, timeout=timeout)
        workers, own = replace(workers, timeout=timeout), replace(own, timeout=timeout)
    name = settings.log_of(bucket.bucket)
    return EvidenceLog(
        store=ObjectStore(bucket),
        statements=StatementSigner(VaultClient(workers), settings.transit_key),
        checkpoints=CheckpointSigner(
            VaultClient(own), settings.log_transit_key, name, overlap=settings.key_overlap
        ),
    )


def writer(
    settings: Settings, read: Read, *, vault: str, store: str, timeout: float | None = None
) -> BucketWriter:
    """The writer that these connections lead to; arguments as `evidence_log`. Nothing is sent."""
    signer, found, missing = None, None, ""
    try:
        workers = VaultSettings.of_connection(read(vault))
        workers = workers if timeout is None else replace(workers, timeout=timeout)
        signer = StatementSigner(VaultClient(workers), settings.transit_key)
    except ConnectionMissing as error:
        _note("statements are not signed now", error)
    try:
        found = evidence_log(settings, read, vault=vault, store=store, timeout=timeout)
    except ValueError as error:
        missing = str(error)
        _note("statements wait in the spool", error)
    try:
        wait = settings.evidence_wait
    except ValueError as error:
        log.error("%s; taken as 0", error)
        wait = 0.0
    try:
        limit = settings.spool_limit
    except ValueError as error:
        log.error("%s; taken as %s", error, SPOOL_MIB)
        limit = LIMIT_BYTES
    spool = Spool(settings.spool, limit_bytes=limit)
    return BucketWriter(spool=spool, signer=signer, log=found, missing=missing, wait_seconds=wait)


def _note(what: str, error: ValueError) -> None:
    """A connection that nobody has set up may be meant so; one that can't be used is a mistake."""
    level = logging.INFO if isinstance(error, ConnectionAbsent) else logging.ERROR
    log.log(level, "%s: %s", what, error)
