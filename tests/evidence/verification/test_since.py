"""What came after a trusted head is verified alone, and tampering with it is found."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pytest
from auditors_desk import Desk, desk, trains
from made_logs import Log

from interlock.evidence.verification.heads import read_head
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
