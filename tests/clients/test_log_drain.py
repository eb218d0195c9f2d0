"""After a long outage: all that waited goes to the log once, in its order, also when shippers are killed."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace

import pytest

from interlock.clients.object_store import StoreSettings
from interlock.clients.spool import Spool
from interlock.evidence.statement import Run
from tests.clients.evidence_parts import Parts, statement
from tests.clients.log_checks import OF_THE_LOG, CheckedLog, statements
from tests.clients.log_writers import Shippers

pytestmark = pytest.mark.sandbox
STATEMENTS, AT_ONCE = 20_000, 2_500
SHIPPERS, KILLED_AT = 4, (14_000, 7_000)
"""At how many statements that are left the shipper at work is killed."""
WANTED_SECONDS, AT_MOST_SECONDS = 15.0, 120.0
"""On this project's machine with nothing else on it, and on one that is very busy."""
NOWHERE = StoreSettings("evidence", "a", "b", "http://127.0.0.1:1")


def test_an_outage_of_20_000_statements_is_drained_by_four_shippers_of_which_two_are_killed(
    parts: Parts, run: Run, checked: CheckedLog, say: Callable[[str], None]
) -> None:
    away = replace(parts, store=NOWHERE, open=[])
    claims = [statement(run, f"service-{number}", blob=False) for number in range(STATEMENTS)]
    began = time.monotonic()
    for at in range(0, STATEMENTS, AT_ONCE):
        kept = away.writer().record_all(claims[at : at + AT_ONCE])
        assert {one.where for one in kept} == {"spool"}
    away.close()
    spooled = time.monotonic() - began
    spool = Spool(parts.folder)
    with Shippers(parts, SHIPPERS) as shippers:
        began = time.monotonic()
        shippers.begin()
        for left in KILLED_AT:
            shippers.kill_at_work(lambda left=left: spool.count() <= left)
        shippers.wait(AT_MOST_SECONDS)
        took = time.monotonic() - began
    say(
        f"\n{STATEMENTS} statements: spooled in {spooled:.1f} s, "
        f"drained in {took:.1f} s ({STATEMENTS / took:.0f} a second; wanted within {WANTED_SECONDS:.0f} s)"
    )
    assert spool.count() == 0
    checked.go_on().head()
    checked.gapless()
    found = [one for claim in checked.claims for one in statements(claim.entries)]
    assert [digest for kind, digest in found if kind not in OF_THE_LOG] == [one.digest for one in claims]
    assert took < AT_MOST_SECONDS
