"""The evidence store: what it does with locked objects, as `interlock.clients.store_probe` tries it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from interlock.connections import Connection, ConnectionMissing
from interlock.doctor.line import CONNECTIONS, PATIENCE_SECONDS, Line
from interlock.trains.model import Environment

if TYPE_CHECKING:
    from interlock.clients.store_probe import Fitness
    from interlock.clients.store_settings import StoreSettings

WRITER: Final = "include/deploy/s3/writer-policy.json"


def examine_store(environment: Environment, read: Callable[[str], Connection]) -> Iterator[Line]:
    """One line for the bucket, one for each thing that makes it unfit or should be looked at."""
    from interlock.clients.object_store import ObjectStore, StoreError, StoreSettings
    from interlock.clients.store_probe import probe

    what = f"evidence store ({environment.store})"
    try:
        settings = StoreSettings.of_connection(read(environment.store))
    except ConnectionMissing as error:
        yield Line(what, False, str(error), CONNECTIONS)
        return
    store = ObjectStore(replace(settings, timeout=PATIENCE_SECONDS))
    try:
        fitness = probe(store)
    except StoreError as error:
        yield Line(what, False, str(error), CONNECTIONS)
    else:
        yield from _lines(what, fitness)
    finally:
        store.close()
    yield from _retention(environment.store, settings)


def _lines(what: str, fitness: Fitness) -> Iterator[Line]:
    told = f"bucket {fitness.bucket} is fit for evidence: {len(fitness.findings)} things were tried"
    wrong = [finding for finding in fitness.findings if not finding.ok]
    if wrong:
        told = f"bucket {fitness.bucket} is UNFIT for evidence: {len(wrong)} of {len(fitness.findings)} tries"
    yield Line(what, not wrong, told, WRITER if not wrong else wrong[0].change)
    for finding in fitness.findings:
        if not finding.ok or finding.warning:
            said = f"{finding.found}; expected {finding.expected}"
            yield Line(f"{what}: {finding.tried}", finding.ok, said, finding.change, finding.warning)


def _retention(name: str, settings: StoreSettings) -> Iterator[Line]:
    from interlock.clients.store_settings import RETENTION_DAYS

    if settings.retention < timedelta(days=RETENTION_DAYS):
        said = (
            f"ONLY {settings.retention.days} DAYS, not {RETENTION_DAYS}: after that, who may delete can "
            f"remove it. What is written today keeps this lock, also when the setting is raised later"
        )
        given_by = f"service_config.s3.retention_days of the connection {name}"
        yield Line("retention of evidence", True, said, given_by, warning=True)
