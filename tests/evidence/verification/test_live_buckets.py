"""A bucket that is written while it is verified or exported raises no alarm, and hides none."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
from live_buckets import LiveBucket, Write, live, recorded
from made_logs import Log

from interlock.clients.archive import open_archive
from interlock.clients.archive_export import export
from interlock.evidence.verification.heads import read_head
from interlock.evidence.verification.report import Report
from interlock.evidence.verification.selection import Selection
from interlock.evidence.verification.verify import Options, verify

PENDING = {"head-behind", "head-pending"}


def verified(log: Log, bucket: LiveBucket, **options: object) -> Report:
    now = bucket.newest + timedelta(minutes=2)
    return verify(bucket, log.trust, Options(**options), now=now)  # type: ignore[arg-type]


def last(writes: list[Write]) -> int:
    """From here on there is a head."""
    return next(at for at, one in enumerate(writes, 1) if one.key.endswith("/checkpoint"))


@pytest.mark.parametrize("seed", range(3))
def test_a_bucket_that_is_written_meanwhile_raises_no_alarm(seed: int) -> None:
    log, writes = recorded(seed, commits=8, most=25)
    for done in range(last(writes) + seed % 2, len(writes), 2):
        for pace in (1, 9) if done % 3 else (2, 40):
            report = verified(log, live(writes, done, pace))
            assert report.exit == 0, (done, pace, [*report.findings])
            assert set(report.findings.counts) <= PENDING, (done, pace, [*report.findings])


@pytest.mark.parametrize("seed", range(2))
def test_what_is_new_in_a_bucket_that_is_written_meanwhile_raises_no_alarm(seed: int) -> None:
    log, writes = recorded(seed, commits=12, most=60)
    heads = [(at, one.body) for at, one in enumerate(writes, 1) if one.key.endswith("/checkpoint")]
    for at, body in heads:
        since = read_head(body, log.trust, "kept")
        for pace in (1, 9):
            report = verified(log, live(writes, at + 10, pace), since=since)
            assert report.exit == 0, (at, pace, [*report.findings])
            assert set(report.findings.counts) <= PENDING, (at, pace, [*report.findings])


@pytest.mark.parametrize("seed", range(2))
def test_an_export_of_a_bucket_that_is_written_meanwhile_is_whole(seed: int, tmp_path: Path) -> None:
    log, writes = recorded(seed, commits=6, most=20)
    for done in range(last(writes), len(writes), 12):
        for pace in (1, 7):
            target = tmp_path / f"{done}-{pace}"
            bucket = live(writes, done, pace)
            export(
                bucket, log.trust, (log.heads.key,), (), Selection(), target, progress=lambda step, done: None
            )
            report = verify(open_archive(target), log.trust, Options(), now=log.clock + timedelta(days=900))
            assert report.exit == 0, (done, pace, [*report.findings])
            assert set(report.findings.counts) <= PENDING, (done, pace, [*report.findings])


def test_tiles_of_a_longer_log_are_found_while_writers_go_on() -> None:
    log, writes = recorded(0)
    bucket = live(writes, len(writes) // 2, 1)
    bucket.put("log/2026/tile/0/005", bytes(8192), log.clock)
    assert verified(log, bucket).findings.counts["rewound"] == 1


def test_before_its_first_head_a_log_is_pending_and_nothing_is_verified() -> None:
    log = Log()
    log.commit(log.leaf(), publish=False)
    report = log.verify()
    assert dict(report.findings.counts) == {"head-pending": 1}
    assert (report.exit, report.verdict[:16]) == (4, "NOTHING VERIFIED")
    report = log.verify(now=log.clock + timedelta(days=2))
    assert dict(report.findings.counts) == {"checkpoint-missing": 1}


def test_two_writers_that_were_interrupted_while_they_published_raise_no_alarm() -> None:
    log = Log()
    log.commit(log.leaf())
    for _ in range(2):
        log.commit(log.leaf(), publish=False)
        log.publish(head=False)
    assert dict(log.verify().findings.counts) == {"head-behind": 1}
    assert dict(log.verify(now=log.clock + timedelta(days=2)).findings.counts) == {"checkpoint-old": 1}
