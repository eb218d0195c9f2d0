"""Statements that waited in the spool and are shipped, whoever does it and however often."""

from __future__ import annotations

import multiprocessing
import os
import signal
from typing import Any

import pytest

from interlock.clients.evidence import Shipped
from interlock.clients.object_store import ObjectStore, StoreConflict
from interlock.clients.spool import Spool, SpoolTampered
from interlock.evidence.envelope import Envelope
from interlock.evidence.statement import Run
from tests.clients.evidence_parts import Parts, statement, versions

SPAWN = multiprocessing.get_context("spawn")


def test_what_waits_is_shipped_in_order(parts: Parts, run: Run) -> None:
    claims = [statement(run, f"service-{n}") for n in range(5)]
    without = parts.writer(store=False)
    for claim in claims:
        without.record(claim)
    order: list[str] = []
    writer = parts.writer()
    assert writer._store is not None
    create = writer._store.create

    def watched(key: str, body: bytes) -> bool:
        order.append(key)
        return create(key, body)

    writer._store.create = watched  # type: ignore[method-assign]
    assert writer.ship() == Shipped(5, 0)
    assert [key for key in order if key.startswith("statements/")] == [claim.key for claim in claims]


def ship_until(parts: Parts, step: str, nth: int) -> None:
    reached: list[str] = []

    def kill(name: str) -> None:
        reached.append(name)
        if reached.count(step) == nth:
            os.kill(os.getpid(), signal.SIGKILL)

    parts.writer(step=kill).ship()


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("step", ["evidence kept", "statement kept", "removed"])
def test_a_shipper_killed_at_any_step_leaves_nothing_lost_or_doubled(
    parts: Parts, s3: Any, store: ObjectStore, run: Run, public_keys: list[bytes], step: str, signed: bool
) -> None:
    claims = [statement(run, f"service-{n}") for n in range(3)]
    vault, parts.vault = parts.vault, parts.vault if signed else None
    without = parts.writer(store=False)
    for claim in claims:
        without.record(claim)
    parts.vault = vault
    fresh = Parts(parts.folder, parts.vault, parts.store)
    process = SPAWN.Process(target=ship_until, args=(fresh, step, 2))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    again = parts.writer().ship()
    assert again.left == 0
    assert again.count == (1 if step == "removed" else 2)
    assert sorted(versions(s3, run)) == sorted(claim.key for claim in claims)
    for claim in claims:
        Envelope.from_json(store.get(claim.key)).verify(public_keys)


def ship_in_process(parts: Parts, result: Any) -> None:
    result.put(parts.writer().ship().count)


def test_shippers_at_the_same_time_ship_each_statement_once(parts: Parts, s3: Any, run: Run) -> None:
    without = parts.writer(store=False)
    claims = [statement(run, f"service-{n}") for n in range(12)]
    for claim in claims:
        without.record(claim)
    fresh = Parts(parts.folder, parts.vault, parts.store)
    result = SPAWN.Queue()
    shippers = [SPAWN.Process(target=ship_in_process, args=(fresh, result)) for _ in range(3)]
    for shipper in shippers:
        shipper.start()
    shipped = sum(result.get(timeout=60) for _ in shippers)
    for shipper in shippers:
        shipper.join()
    result.close()
    result.join_thread()
    assert shipped == 12
    assert Spool(parts.folder).count() == 0
    assert sorted(versions(s3, run)) == sorted(claim.key for claim in claims)


def test_something_else_under_a_statements_key_is_not_taken_for_it(
    parts: Parts, store: ObjectStore, run: Run
) -> None:
    claim = statement(run)
    store.create(claim.key, b'{"not": "an envelope"}')
    recorded = parts.writer().record(claim)
    assert recorded.where == "spool"
    assert "no statement" in recorded.reason
    other = statement(run, "service-b")
    store.create(other.key, Envelope(claim.payload, b"", "k").to_json())
    with pytest.raises(StoreConflict, match="another statement"):
        parts.writer()._put(other.key, Envelope(other.payload, b"", "k"), None)


def test_a_changed_file_stops_the_shipping_and_is_named(parts: Parts, run: Run) -> None:
    without = parts.writer(store=False)
    without.record(statement(run))
    path = next(f for f in parts.folder.iterdir() if f.name[0].isdigit())
    path.write_text(path.read_text().replace("06:00:00", "05:00:00"))
    with pytest.raises(SpoolTampered, match=path.name):
        parts.writer().ship()
