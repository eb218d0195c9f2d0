"""The evidence store: has the bucket Object Lock, and is what we create in it locked."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, Final

from interlock.connections import Connection, ConnectionMissing
from interlock.doctor.line import CONNECTIONS, PATIENCE_SECONDS, Line, attempt
from interlock.trains.model import Environment

if TYPE_CHECKING:
    from interlock.clients.object_store import ObjectStore

LOCK: Final = "include/deploy/s3/object-lock.json"
WRITER: Final = "include/deploy/s3/writer-policy.json"
PROBE: Final = "doctor/probe"
"""Created once: where it is already, a store still looks at the rights before it refuses the second one."""


def examine_store(environment: Environment, read: Callable[[str], Connection]) -> Iterator[Line]:
    """One line for the bucket, one for a locked object."""
    from interlock.clients.object_store import ObjectStore, StoreError, StoreSettings

    what = f"evidence store ({environment.store})"
    try:
        settings = StoreSettings.of_connection(read(environment.store))
    except ConnectionMissing as error:
        yield Line(what, False, str(error), CONNECTIONS)
        return
    store = ObjectStore(replace(settings, timeout=PATIENCE_SECONDS))
    try:
        yield attempt(what, LOCK, lambda: _probe(store), refused=(StoreError,))
        yield attempt("write to the evidence store", WRITER, lambda: _write(store), refused=(StoreError,))
    finally:
        store.close()


def _probe(store: ObjectStore) -> str:
    store.probe()
    return f"bucket {store.bucket} has Object Lock"


def _write(store: ObjectStore) -> str:
    made = store.create(PROBE, b"interlock doctor", content_type="text/plain")
    store.get(PROBE)
    lock = store.retention(PROBE)
    return f"{PROBE} {'created' if made else 'is there'}, {lock.mode} until {lock.until:%Y-%m-%d}"
