"""A store that is away or refuses is no evidence of anything: no finding comes of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import pytest
from auditors_desk import Desk, desk
from botocore.exceptions import ClientError
from made_logs import Bucket, Log
from tampering import fresh, seq

from interlock import verify_cli
from interlock.clients.log_reader import BucketSource
from interlock.clients.store_errors import asked
from interlock.evidence.log.claim import Claim
from interlock.evidence.verification.since import last_claim
from interlock.evidence.verification.source import ObjectMissing, Retention, SourceError

__all__ = ["desk"]

WHAT = "bucket tests: the store failed (503)"


@dataclass
class Failing(Bucket):
    """A bucket whose store fails for some keys."""

    fails: Callable[[str], bool] = lambda key: False
    locks: Callable[[str], bool] = lambda key: False
    asked: int = 0

    def read(self, key: str, limit: int, version_id: str | None = None) -> bytes:
        if self.fails(key):
            raise SourceError(WHAT)
        return super().read(key, limit, version_id)

    def retention(self, key: str, version_id: str) -> Retention | None:
        self.asked += 1
        if self.locks(key):
            raise SourceError(WHAT)
        return super().retention(key, version_id)


def failing(log: Log, **what: Callable[[str], bool]) -> Failing:
    return Failing(stored=log.bucket.stored, **what)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "part", ["/seq/", "/tile/0/", "/tile/entries/", "/checkpoints/", "2026/checkpoint", "/tile/1/"]
)
def test_a_store_that_fails_while_the_log_is_read_is_exit_3(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, part: str
) -> None:
    bucket = failing(desk.log, fails=lambda key: part in key)
    bucket.close = lambda: None  # type: ignore[attr-defined]
    monkeypatch.setattr(verify_cli, "open_bucket", lambda name, endpoint, region: bucket)
    assert desk.run("bucket", "tests") == (3, "", f"interlock-verify: {WHAT}\n")


def test_evidence_that_could_not_be_read_is_not_checked_and_not_missing() -> None:
    log = fresh()
    log.bucket = failing(log, fails=lambda key: key.startswith("evidence/"))
    report = log.verify()
    assert (report.exit, dict(report.findings.counts)) == (4, {})
    assert f"15 evidence blobs could not be read: {WHAT}" in report.missing
    assert not any("evidence blobs have" in one for one in report.proven)


def test_a_lock_that_could_not_be_read_costs_only_itself() -> None:
    log = fresh()
    log.bucket = failing(log, locks=lambda key: key == seq(3))
    report = log.verify()
    assert (report.exit, dict(report.findings.counts)) == (4, {})
    assert report.missing == [f"the locks of 1 versions could not be read: {WHAT}"]
    assert any(one.startswith(f"{report.counts['locks']} versions are locked") for one in report.proven)


def test_a_store_that_tells_no_lock_is_not_asked_for_each() -> None:
    log = fresh()
    log.bucket = bucket = failing(log, locks=lambda key: True)
    report = log.verify()
    (said,) = report.missing
    assert said == f"the locks of 31 versions could not be read: {WHAT}"
    assert bucket.asked <= 21


def test_a_store_failure_beside_tampering_hides_none_of_it() -> None:
    log = fresh()
    log.bucket.marker(seq(3), log.clock)
    log.bucket = failing(log, locks=lambda key: True)
    report = log.verify()
    assert (report.exit, dict(report.findings.counts)) == (1, {"delete-marker": 1})


def test_a_search_for_the_last_claim_does_not_end_where_the_store_fails() -> None:
    log = fresh()
    bucket = failing(log, fails=lambda key: key == seq(4))
    with pytest.raises(SourceError, match="503"):
        last_claim(bucket, 2026, lambda claim: isinstance(claim, Claim))


class Answers:
    """A store that answers each request with one error."""

    bucket = "tests"

    def __init__(self, code: str, status: int) -> None:
        self.answer = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": status}}

    def _raise(self) -> None:
        raise ClientError(self.answer, "Get")  # type: ignore[arg-type]

    def read(self, key: str, version_id: str | None = None, *, limit: int = 0) -> None:
        asked(self._raise, key)

    retention = read

    def close(self) -> None:
        """Nothing is held open."""


@pytest.mark.parametrize(
    ("code", "status", "missing"),
    [
        ("NoSuchKey", 404, True),
        ("NoSuchVersion", 404, True),
        ("MethodNotAllowed", 405, True),
        ("NoSuchBucket", 404, False),
        ("AccessDenied", 403, False),
        ("ExpiredToken", 400, False),
        ("SlowDown", 503, False),
        ("InternalError", 500, False),
    ],
)
def test_only_an_answer_about_the_object_says_that_it_is_missing(
    code: str, status: int, missing: bool
) -> None:
    source = BucketSource(Answers(code, status))  # type: ignore[arg-type]
    try:
        with pytest.raises(SourceError) as caught:
            source.read("log/2026/checkpoint", 100)
        assert isinstance(caught.value, ObjectMissing) == missing
        if missing:
            assert source.retention("log/2026/checkpoint", "v") is None
        else:
            with pytest.raises(SourceError):
                source.retention("log/2026/checkpoint", "v")
    finally:
        source.close()
