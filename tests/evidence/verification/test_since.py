"""What came after a trusted head is verified alone, and tampering with it is found."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import cache

import pytest
from auditors_desk import Desk, desk, trains
from made_logs import Log

from interlock.evidence.redaction import rfc3339
from interlock.evidence.statement import Run
from interlock.evidence.verification.heads import read_head
from interlock.evidence.verification.report import Report
from interlock.evidence.verification.verify import Witness

__all__ = ["desk"]


@cache
def grown() -> Log:
    log = trains().copy()
    for _ in range(40):
        log.commit(*[log.leaf() for _ in range(50)])
    return log


def longer(desk: Desk) -> Log:
    """The desk's log with 2,000 entries more."""
    log = grown().copy()
    desk.log.bucket.stored = log.bucket.stored
    log.bucket = desk.log.bucket
    return log


def test_since_a_trusted_head_only_what_is_new_is_read(desk: Desk) -> None:
    log = longer(desk)
    trusted = desk.folder / "trusted"
    trusted.write_bytes(log.checkpoint(2010))
    before = log.bucket.reads
    report = desk.report("bucket", "tests", "--since", trusted)
    assert report["verdict"] == "verified", report["findings"]
    assert report["years"][0]["start"] == 2010
    assert report["years"][0]["proven"] == 2310
    assert log.bucket.reads - before < 60
    assert desk.report("bucket", "tests", "--since", "2010", "--year", "2026")["verdict"] == "verified"


@pytest.mark.parametrize(
    ("does", "tamper", "code", "first"),
    [
        ("a new claim is altered", lambda log: log.bucket.change("log/2026/seq/00000000000000000044", log.bucket.get("log/2026/seq/00000000000000000044").replace(b'"payload":"e', b'"payload":"f', 1)), "entry-altered", 2260),
        ("a new claim is deleted", lambda log: log.bucket.remove("log/2026/seq/00000000000000000043"), "claim-missing", 2210),
        ("a new claim has a marker", lambda log: log.bucket.marker("log/2026/seq/00000000000000000043", log.clock), "delete-marker", 2210),
        ("a new head is forged", lambda log: log.bucket.change(f"log/2026/checkpoints/{2110:020d}", log.checkpoint(2110, root=bytes(32))), "checkpoint-fork", None),
        ("a new tile is altered", lambda log: log.bucket.change("log/2026/tile/0/008", bytes(8192)), "tile-altered", 2048),
        ("the trusted head is of another history", lambda log: None, "witness-fork", None),
    ],
)  # fmt: skip
def test_tampering_since_a_trusted_head_is_found(
    desk: Desk, does: str, tamper: Callable[[Log], object], code: str, first: int | None
) -> None:
    log = longer(desk)
    trusted = desk.folder / "trusted"
    root = hash_of_another() if code == "witness-fork" else None
    trusted.write_bytes(log.checkpoint(2010, root=root))
    tamper(log)
    report = desk.report("bucket", "tests", "--since", trusted)
    assert code in report["findings_by_code"], report["findings_by_code"]
    assert report["first_bad"] == (None if first is None else {"year": 2026, "index": first})


def test_a_witness_of_a_year_before_the_trusted_head_is_passed_over_not_taken_for_a_rewind(
    desk: Desk,
) -> None:
    log = desk.log
    log.commit(log.leaf())
    old = log.checkpoint(1)
    later = log.next_year()
    later.commit(later.leaf())
    witness, trusted = Witness("kept", old), read_head(later.checkpoint(2), later.trust, "trusted")
    report = later.verify(since=trusted, witnesses=[witness], now=later.clock)
    assert report.findings.counts == {}
    assert "kept: older than where this verification begins" in report.unchecked
    assert later.verify(witnesses=[witness], now=later.clock).findings.counts == {}


def hash_of_another() -> bytes:
    return bytes(range(32))


@pytest.mark.parametrize("cited", [5, 6])
@pytest.mark.parametrize("since", [None, 5, 6])
def test_a_year_has_to_cite_the_last_head_of_the_year_before(cited: int, since: int | None) -> None:
    before = Log()
    before.commit(*[before.leaf() for _ in range(5)])
    earlier = before.checkpoint(5)
    before.commit(before.system("log-closed"), closes=True)
    heads = {5: earlier, 6: before.checkpoint(6)}
    log = Log(before.bucket, 2027, signers=(before.heads, before.statements))
    log.commit(log.system("log-opened", checkpoint=heads[cited].decode()))
    trusted = None if since is None else read_head(heads[since], before.trust, "kept")
    report = log.verify(since=trusted)
    assert dict(report.findings.counts) == ({} if cited == 6 else {"year-unlinked": 1})


# Seals and statements of before


def sealed_after(began: timedelta | None, *, gap: bool) -> Report:
    """What comes of a seal, a day after it, that lists a statement which is new or in no log at all."""
    log = Log()
    log.commit(*[log.leaf() for _ in range(3)])
    trusted = read_head(log.checkpoint(3), log.trust, "kept")
    head = log.clock
    log.clock += timedelta(hours=1)
    run = Run("train", "run-7")
    log.commit(one := log.leaf(run=run))
    other = log.leaf(run=run)
    if not gap:
        log.commit(other)
    said = {} if began is None else {"began_at": rfc3339(head + began)}
    log.commit(log.seal(run, one, other, **said))
    return log.verify(since=trusted, now=log.clock + timedelta(days=2))


@pytest.mark.parametrize(
    ("began", "counts", "elsewhere"),
    [
        (timedelta(minutes=6), {"seal-gap": 1}, 0),
        (timedelta(minutes=4), {}, 1),  # clocks may differ by so much
        (timedelta(days=-3), {}, 1),
        (None, {}, 1),
    ],
)
def test_what_is_missing_of_a_run_that_began_after_the_trusted_head_is_not_called_older(
    began: timedelta | None, counts: dict[str, int], elsewhere: int
) -> None:
    report = sealed_after(began, gap=True)
    assert dict(report.findings.counts) == counts
    assert report.counts["listed by seals and elsewhere"] == elsewhere
    assert dict(sealed_after(began, gap=False).findings.counts) == {}


def test_an_old_statement_that_was_logged_again_is_found_without_reading_all_that_is_old() -> None:
    log = grown().copy()
    trusted = read_head(log.checkpoint(2310), log.trust, "kept")
    before = log.bucket.reads
    log.clock += timedelta(days=1)
    log.commit(log.leaf(), log.leaves[700], log.leaf())
    report = log.verify(since=trusted)
    assert report.findings.counts["entry-duplicate"] == 1
    (found,) = [one for one in report.findings if one.code == "entry-duplicate"]
    assert (found.index, found.object) == (2311, f"log/2026/seq/{45:020d}")
    assert found.found.endswith("is entry 700 of 2026 already")
    assert not any("twice" in one for one in report.unchecked)
    assert log.bucket.reads - before < 90


def test_statements_that_waited_cost_a_search_of_bounded_length() -> None:
    log = Log()
    for _ in range(120):
        log.commit(log.leaf())
    log.commit(*[log.leaf() for _ in range(300)])
    log.clock -= timedelta(minutes=10)
    waited = [log.leaf() for _ in range(5)]
    log.clock += timedelta(minutes=10)
    trusted, before = read_head(log.checkpoint(420), log.trust, "kept"), log.bucket.reads
    log.clock += timedelta(days=1)
    log.commit(*waited, log.system("shipped", first=1, last=5, count=5))
    report = log.verify(since=trusted)
    assert (report.exit, dict(report.findings.counts)) == (0, {})
    said = "2026: whether 5 statements that claim times before this verification begins are in the log twice"
    assert said in report.unchecked
    assert log.bucket.reads - before < 110


# A seal before the statements that it lists


def waiting(after: timedelta, *, late: bool) -> Report:
    log, run = Log(), Run("train", "run-7")
    here, there = log.leaf(run=run), log.leaf(run=run)
    log.commit(here)
    log.commit(log.seal(run, here, there))
    began = log.clock
    if late:
        log.clock += timedelta(hours=1)
        log.commit(there, log.system("shipped", first=1, last=1, count=1))
    return log.verify(now=began + after)


@pytest.mark.parametrize("hours", [2, 30])
def test_a_statement_that_comes_after_the_seal_that_lists_it_closes_the_gap(hours: int) -> None:
    report = waiting(timedelta(hours=hours), late=True)
    assert (report.exit, dict(report.findings.counts), report.missing) == (0, {}, [])
    assert "1 runs have a seal, and all that their seals list is there" in report.proven


def test_a_statement_that_is_not_there_a_day_after_its_seal_is_missing() -> None:
    report = waiting(timedelta(hours=23), late=False)
    assert (report.exit, dict(report.findings.counts)) == (4, {})
    assert report.counts["listed by seals and waiting"] == 1
    assert report.missing == [
        "1 statements that seals list and that are not in the log yet: for 24 hours after its seal a "
        "statement may wait on another host; verify again after that"
    ]
    assert dict(waiting(timedelta(hours=25), late=False).findings.counts) == {"seal-gap": 1}
