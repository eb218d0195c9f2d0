"""A writer is killed at every step of an append, alone and with another host: nothing is lost or doubled."""

from __future__ import annotations

import multiprocessing
import os
import signal
from pathlib import Path

import pytest

from interlock.clients.evidence import Shipped
from interlock.evidence.statement import Run, Statement
from tests.clients.evidence_parts import Parts, statement
from tests.clients.log_checks import CheckedLog

SPAWN = multiprocessing.get_context("spawn")
pytestmark = pytest.mark.sandbox
STEPS = ("blobs", "signed", "opened", "claimed", "tiles", "published", "done", "removed")


def left_waiting(parts: Parts, run: Run, count: int, *, signed: bool = True) -> list[Statement]:
    """Statements that wait."""
    claims = [statement(run, f"service-{n}") for n in range(count)]
    vault, parts.vault = parts.vault, parts.vault if signed else None
    for claim in claims:
        parts.writer(store=False).record(claim)
    parts.vault = vault
    return claims


def fresh(parts: Parts, folder: Path | None = None) -> Parts:
    """The parts for another process."""
    return Parts(folder or parts.folder, parts.vault, parts.store, parts.log_vault)


def ship_until(parts: Parts, step: str) -> None:
    def kill(reached: str) -> None:
        if reached == step:
            os.kill(os.getpid(), signal.SIGKILL)

    parts.writer(step=kill).ship()


def killed_at(parts: Parts, step: str) -> None:
    process = SPAWN.Process(target=ship_until, args=(parts, step))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL


@pytest.mark.parametrize("rival", [False, True], ids=["alone", "another host comes in between"])
@pytest.mark.parametrize("step", STEPS)
def test_a_shipper_killed_at_any_step_leaves_nothing_lost_or_doubled(
    parts: Parts, run: Run, checked: CheckedLog, tmp_path: Path, step: str, rival: bool
) -> None:
    claims = left_waiting(parts, run, 3, signed=step != "signed")
    killed_at(fresh(parts), step)
    if rival:
        claims.append(statement(run, "of another host"))
        assert fresh(parts, tmp_path / "other").writer().record(claims[-1]).where == "log"
        checked.go_on().head()
    claims.append(statement(run, "after"))
    assert parts.writer().record(claims[-1]).where == "log"
    assert parts.writer().ship().left == 0
    checked.go_on().has_each_once(claim.digest for claim in claims)
    checked.head()
    checked.gapless()


def test_a_spool_keeps_to_its_log(parts: Parts, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    assert parts.writer().record(statement(run)).where == "log"
    left_waiting(parts, run, 1)
    monkeypatch.setattr("tests.clients.evidence_parts.NAME", "interlock/elsewhere")
    shipped = parts.writer().ship()
    assert (shipped.count, shipped.left) == (0, 1)
    assert "go to the log interlock/evidence, not to interlock/elsewhere" in shipped.reason


def test_what_is_more_than_a_claim_holds_goes_in_several(
    parts: Parts, run: Run, checked: CheckedLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("interlock.clients.log_batch.MAX_ENTRIES", 5)
    claims = left_waiting(parts, run, 10)
    assert parts.writer().ship() == Shipped(10, 0)
    assert [len(claim.entries) for claim in checked.go_on().claims] == [4, 4, 2]
    checked.has_each_once(claim.digest for claim in claims)
    checked.head()
