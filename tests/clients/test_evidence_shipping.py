"""Statements that waited in the spool and are shipped, whoever does it, however often, and wherever it
is killed.
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
from datetime import UTC, datetime
from typing import Any

import pytest

from interlock.clients.evidence import Shipped
from interlock.clients.object_store import ObjectStore
from interlock.clients.spool import Spool, SpoolTampered
from interlock.evidence.envelope import Envelope
from interlock.evidence.log import layout
from interlock.evidence.log.checkpoint import Checkpoint
from interlock.evidence.log.claim import Claim
from interlock.evidence.log.merkle import Frontier, leaf_hash
from interlock.evidence.log.note import parse_note
from interlock.evidence.statement import Run, claimed_payload, sha256
from tests.clients.evidence_parts import Parts, statement

SPAWN = multiprocessing.get_context("spawn")
STEPS = ("blobs", "signed", "opened", "claimed", "tiles", "published", "done", "removed")


def logged(store: ObjectStore) -> list[str]:
    """The digests of what the log has, in its order, after a check of its claims and its newest head."""
    year = datetime.now(UTC).year
    tree, found = Frontier(), list[str]()
    for number, key in enumerate(store.keys(layout.seq_prefix(year))):
        claim = Claim.decode(store.get(key))
        assert (claim.number, claim.first, claim.root) == (number, tree.size, tree.root())
        tree = tree.extend(map(leaf_hash, claim.entries))
        found += [sha256(claimed_payload(Envelope.from_json(entry).payload)) for entry in claim.entries]
    head = Checkpoint.of_body(parse_note(store.get(layout.checkpoint_key(year)))[0])
    assert (head.size, head.root) == (tree.size, tree.root())
    return found


def spooled(parts: Parts, run: Run, count: int) -> list[str]:
    without = parts.writer(store=False)
    claims = [statement(run, f"service-{n}") for n in range(count)]
    for claim in claims:
        without.record(claim)
    return [claim.digest for claim in claims]


def fresh(parts: Parts) -> Parts:
    """For another process: without what is open."""
    return parts.elsewhere(parts.folder)


def test_what_waits_is_shipped_in_order(parts: Parts, store: ObjectStore, run: Run) -> None:
    digests = spooled(parts, run, 5)
    assert parts.writer().ship() == Shipped(5, 0)
    assert logged(store) == digests
    assert parts.writer().ship() == Shipped(0, 0)


def ship_until(parts: Parts, step: str) -> None:
    def kill(name: str) -> None:
        if name == step:
            os.kill(os.getpid(), signal.SIGKILL)

    parts.writer(step=kill).ship()


def ship_killed(parts: Parts, step: str) -> None:
    """Ship in a process that is killed at a step."""
    process = SPAWN.Process(target=ship_until, args=(fresh(parts), step))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL


@pytest.mark.parametrize("signed", [True, False])
@pytest.mark.parametrize("step", STEPS)
def test_a_shipper_killed_at_any_step_leaves_nothing_lost_or_doubled(
    parts: Parts, store: ObjectStore, run: Run, step: str, signed: bool
) -> None:
    vault, parts.vault = parts.vault, parts.vault if signed else None
    digests = spooled(parts, run, 3)
    parts.vault = vault
    ship_killed(parts, step)
    assert parts.writer().ship().left == 0
    assert logged(store) == digests
    assert not any((parts.folder / "waiting").iterdir())
    assert parts.writer().record(statement(run, "next")).index == 3


def test_a_rival_that_takes_the_position_of_a_killed_shipper_costs_nothing(
    parts: Parts, store: ObjectStore, run: Run
) -> None:
    digests = spooled(parts, run, 3)
    ship_killed(parts, "opened")
    other = parts.elsewhere(parts.folder.with_name("other"))
    rival = statement(run, "rival")
    assert other.writer().record(rival).index == 0
    other.close()
    assert parts.writer().ship() == Shipped(3, 0)
    assert logged(store) == [rival.digest, *digests]


def test_what_a_killed_writer_claimed_is_published_by_another_host(
    parts: Parts, store: ObjectStore, run: Run
) -> None:
    digests = spooled(parts, run, 3)
    ship_killed(parts, "claimed")
    other = parts.elsewhere(parts.folder.with_name("other"))
    after = statement(run, "after")
    assert other.writer().record(after).index == 3
    other.close()
    assert logged(store) == [*digests, after.digest]
    assert parts.writer().ship() == Shipped(3, 0)
    assert logged(store) == [*digests, after.digest]


def ship_in_process(parts: Parts, result: Any) -> None:
    result.put(parts.writer().ship().count)


def test_shippers_at_the_same_time_ship_each_statement_once(
    parts: Parts, store: ObjectStore, run: Run
) -> None:
    digests = spooled(parts, run, 12)
    result = SPAWN.Queue()
    shippers = [SPAWN.Process(target=ship_in_process, args=(fresh(parts), result)) for _ in range(3)]
    for shipper in shippers:
        shipper.start()
    shipped = sum(result.get(timeout=60) for _ in shippers)
    for shipper in shippers:
        shipper.join()
    result.close()
    result.join_thread()
    assert shipped == 12
    assert Spool(parts.folder).count() == 0
    assert logged(store) == digests


def test_a_changed_file_stops_the_shipping_and_is_named(parts: Parts, run: Run) -> None:
    parts.writer(store=False).record(statement(run))
    path = next((parts.folder / "waiting").iterdir())
    content = json.loads(path.read_text())
    path.write_text(json.dumps({**content, "claimed_at": "2026-11-24T05:00:00.000000Z"}))
    with pytest.raises(SpoolTampered, match=path.name):
        parts.writer().ship()
