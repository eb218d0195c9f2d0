"""What writers leave that were killed while they published: no alarm, as long as somebody may still go on."""

from __future__ import annotations

from datetime import timedelta

import pytest
from made_logs import Log

DAY = timedelta(days=1, minutes=5)


def interrupted(*sizes: int) -> Log:
    """A log of 300 entries, and further claims whose heads are kept and not published."""
    log = Log()
    log.commit(*[log.leaf() for _ in range(300)])
    for size in sizes:
        log.commit(*[log.leaf() for _ in range(size)], publish=False)
        log.publish(head=False)
    return log


@pytest.mark.parametrize("sizes", [(7,), (7, 300, 1)], ids=["one", "several"])
def test_heads_that_are_kept_and_not_published_are_no_alarm(sizes: tuple[int, ...]) -> None:
    report = interrupted(*sizes).verify()
    assert (report.exit, report.findings.counts) == (0, {"head-behind": 1})
    assert report.entries == 300 + sum(sizes)


def test_several_of_them_are_bad_after_a_day() -> None:
    log = interrupted(7, 300)
    assert log.verify(now=log.clock + DAY).findings.counts == {"checkpoint-old": 1}


def test_an_older_head_over_a_newer_one_is_bad_at_once() -> None:
    log = interrupted()
    log.commit(log.leaf())
    log.bucket.put("log/2026/checkpoint", log.checkpoint(300), log.clock, keep=timedelta(days=1))
    assert log.verify().findings.counts == {"checkpoint-old": 1}


@pytest.mark.parametrize("tile", ["tile/0/001.p/51", "tile/entries/001.p/51", "tile/1/000.p/1"])
def test_a_tile_that_only_an_unpublished_head_needs_may_be_missing(tile: str) -> None:
    log = interrupted(7)
    log.bucket.remove(f"log/2026/{tile}")
    assert log.verify().findings.counts.keys() <= {"head-behind", "partial-missing"}
    assert (log.verify().exit == 0) is (not tile.startswith("tile/1"))


@pytest.mark.parametrize("tile", ["tile/0/001.p/44", "tile/entries/001.p/44", "tile/0/000"])
def test_a_tile_that_the_published_head_needs_may_not(tile: str) -> None:
    log = interrupted(7)
    log.bucket.remove(f"log/2026/{tile}")
    assert log.verify().exit == 1


def test_a_tile_of_an_unpublished_head_has_to_be_right() -> None:
    log = interrupted(7)
    key = "log/2026/tile/0/001.p/51"
    body = log.bucket.get(key)
    log.bucket.remove(key)
    log.bucket.put(key, body[:-1] + bytes([body[-1] ^ 1]), log.clock)
    assert log.verify().findings.counts["partial-altered"] == 1


def test_the_first_head_of_all_that_is_kept_and_not_published_is_no_alarm_for_a_day() -> None:
    log = Log()
    log.commit(log.leaf(), publish=False)
    log.publish(head=False)
    assert log.verify().findings.counts == {"head-behind": 1}
    assert log.verify(now=log.clock + DAY).findings.counts == {"checkpoint-missing": 1}
