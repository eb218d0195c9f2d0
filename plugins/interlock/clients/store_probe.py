"""Try a store before it is trusted: does it keep what it locks, from everybody who has the writer's keys?

Documentation and settings are promises. So each thing that the evidence log stands on is done once with small
objects, and each thing that must not be possible is attempted, with the writer's own identity; what counts is
what is there afterwards, not the answer alone. The objects are under `probe/<random>/` and locked for a day.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from typing import Any, Final

from interlock.clients.object_store import DERIVED_RETENTION, Keep, ObjectStore
from interlock.clients.store_errors import StoreError, StoreRefused, StoreUnavailable, asked
from interlock.clients.store_trust import Finding, configuration

PREFIX: Final = "probe/"
WRITER: Final = "include/deploy/s3/writer-policy.json"
OTHER_STORE: Final = "the store: this one can't hold evidence"
CLOCK: Final = "the clocks of this host and of the store (NTP)"
SKEW_SECONDS: Final = 60.0
_FIRST: Final = b"interlock probe: first"
_SECOND: Final = b"interlock probe: second"
_THIRD: Final = b"interlock probe: third"
_WRITE: Final = "a locked write"
_MAY: Final = "that it does what the writer needs"
_STILL: Final = "refused, and the version is there with its lock"


@dataclass(frozen=True)
class Fitness:
    """What was found of a store.

    Attributes:
        bucket: the bucket.
        findings: everything that was tried, in order.
    """

    bucket: str
    findings: tuple[Finding, ...]

    @property
    def fit(self) -> bool:
        """Whether the store can be trusted with evidence."""
        return all(finding.ok for finding in self.findings)

    def __str__(self) -> str:
        return "\n".join(
            [
                f"bucket {self.bucket} is {'fit' if self.fit else 'UNFIT'} for evidence",
                *map(str, self.findings),
            ]
        )


def probe(store: ObjectStore, now: Callable[[], datetime] = lambda: datetime.now(UTC)) -> Fitness:
    """Try a bucket with the store's own identity.

    Args:
        store: the bucket, as evidence is written to it.
        now: this host's clock, the one that retention is counted from.

    Raises:
        StoreUnavailable: the store did not answer: nothing is said of its fitness.
    """
    s3 = store.settings.client()
    try:
        findings = _guarded("configuration", lambda: iter(configuration(s3, store.settings)))
        if all(finding.ok for finding in findings):
            for what, check in _Probe(store, s3, now).checks():
                findings += _guarded(what, check, lambda: configuration(s3, store.settings))
                if what == _WRITE and not findings[-1].ok:
                    break  # nothing more can be tried
        return Fitness(store.bucket, tuple(findings))
    finally:
        s3.close()


def _guarded(
    what: str, check: Callable[[], Iterator[Finding]], answers: Callable[[], object] | None = None
) -> list[Finding]:
    """A check's findings; what the store refuses to do at all is one as well.

    Args:
        what: what is tried.
        check: tries it.
        answers: asks the store for something else: what fails twice while that works, the store can't do.

    Raises:
        StoreUnavailable: the store is away.
    """
    try:
        try:
            return list(check())
        except StoreUnavailable:
            if answers is None:
                raise
            answers()
            return list(check())
    except StoreUnavailable as error:
        if answers is None:
            raise
        answers()
        return [Finding(what, False, _MAY, str(error), OTHER_STORE)]
    except StoreError as error:
        change = f"{WRITER}, or the connection's key" if isinstance(error, StoreRefused) else OTHER_STORE
        return [Finding(what, False, _MAY, str(error), change)]


class _Probe:
    def __init__(self, store: ObjectStore, s3: Any, now: Callable[[], datetime]) -> None:
        self._store = store
        self._s3 = s3
        self._now = now
        self._prefix = f"{PREFIX}{secrets.token_hex(8)}/"

    def checks(self) -> Iterator[tuple[str, Callable[[], Iterator[Finding]]]]:
        yield "clocks", self._clocks
        yield _WRITE, self._written
        yield "a lock that a write names", self._carried
        yield "a second conditional create", self._once
        yield "If-Match with an old etag", self._moved
        yield "an overwrite without a condition", self._overwritten
        yield "a checksum that is wrong", self._checksum
        yield "shortening a lock", lambda: self._shortened(bypass=False)
        yield "shortening a lock with bypass", lambda: self._shortened(bypass=True)
        yield "deleting a locked version", lambda: self._deleted(bypass=False)
        yield "deleting a locked version with bypass", lambda: self._deleted(bypass=True)
        yield "a delete marker", self._hidden

    def _clocks(self) -> Iterator[Finding]:
        before = self._now()
        answer = self._asked(
            lambda: self._s3.get_bucket_versioning(Bucket=self._store.bucket), "reading its clock"
        )
        here = before + (self._now() - before) / 2
        there = parsedate_to_datetime(answer["ResponseMetadata"]["HTTPHeaders"]["date"])
        # The store tells whole seconds; on the average half a second is cut off.
        skew = (there - here).total_seconds() + 0.5
        found = f"the store is {abs(skew):.0f} s {'ahead' if skew > 0 else 'behind'}"
        yield Finding("clocks", abs(skew) <= SKEW_SECONDS, f"{SKEW_SECONDS:.0f} s at most", found, CLOCK)

    def _written(self) -> Iterator[Finding]:
        key, version = self._made("written")
        right = self._store.get(key) == _FIRST and version not in ("", "null")
        found = f"{key} is there as version {version}"
        yield Finding(_WRITE, right, "it is there, as a version of its own", found, OTHER_STORE)

    def _carried(self) -> Iterator[Finding]:
        """Stores take a retention shorter than the default; so ours has to be there as we named it."""
        begun = self._now()
        key, version = self._made("carried")
        wanted = begun + DERIVED_RETENTION
        lock = self._store.retention(key, version)
        mode = self._store.settings.mode
        right = lock.mode == mode and abs(lock.until - wanted) < timedelta(seconds=SKEW_SECONDS)
        expected, found = f"{mode} until {wanted:%F %T}", f"{lock.mode} until {lock.until:%F %T}"
        yield Finding("a lock that a write names", right, expected, found, OTHER_STORE)

    def _once(self) -> Iterator[Finding]:
        key, _ = self._made("once")
        made = self._store.create(key, _SECOND, keep=Keep.DERIVED)
        kept = self._store.get(key) == _FIRST and len(list(self._store.versions(key))) == 1
        found = f"{'accepted' if made else 'refused'}, the first is {'kept' if kept else 'NOT what is read'}"
        expected = "refused, the first is kept"
        yield Finding("a second conditional create", not made and kept, expected, found, OTHER_STORE)

    def _moved(self) -> Iterator[Finding]:
        key, _ = self._made("moved")
        old = self._store.read(key).etag
        new = self._store.replace(key, _SECOND, etag=old, keep=Keep.DERIVED)
        again = self._store.replace(key, _THIRD, etag=old, keep=Keep.DERIVED)
        right = new is not None and again is None and self._store.get(key) == _SECOND
        words = {True: "refused", False: "accepted"}
        found = f"the newest etag {words[new is None]}, an old one {words[again is None]}"
        expected = "the newest etag accepted, an old one refused"
        yield Finding("If-Match with an old etag", right, expected, found, OTHER_STORE)

    def _overwritten(self) -> Iterator[Finding]:
        key, version = self._made("overwritten")
        self._asked(lambda: self._put(key, _SECOND, _digest(_SECOND)), f"overwriting {key}")
        listed = [one.version_id for one in self._store.versions(key)]
        kept = self._kept(key, version)
        found = f"{len(listed)} versions, the first is {'kept' if kept else 'LOST'}"
        right = kept and len(listed) == 2 and version in listed
        what, expected = "an overwrite without a condition", "2 versions, the first is kept"
        yield Finding(what, right, expected, found, OTHER_STORE)

    def _checksum(self) -> Iterator[Finding]:
        key = f"{self._prefix}checksum"
        refused = self._refused(lambda: self._put(key, _FIRST, _digest(_SECOND)), f"writing {key}")
        right = bool(refused) and not list(self._store.versions(key))
        found = f"refused ({refused})" if right else "stored all the same"
        yield Finding("a checksum that is wrong", right, "refused", found, OTHER_STORE)

    def _shortened(self, *, bypass: bool) -> Iterator[Finding]:
        what = "shortening a lock" + (" with bypass" if bypass else "")
        key, version = self._made("shortened-bypass" if bypass else "shortened")
        before = self._store.retention(key, version)
        shorter = {"Mode": before.mode, "RetainUntilDate": before.until - timedelta(hours=12)}
        more = {"BypassGovernanceRetention": True} if bypass else {}
        refused = self._refused(
            lambda: self._s3.put_object_retention(
                Bucket=self._store.bucket, Key=key, VersionId=version, Retention=shorter, **more
            ),
            f"{what} of {key}",
        )
        still = self._store.retention(key, version) == before
        change = WRITER if bypass else OTHER_STORE
        found = _told(refused, still, "SHORTENED")
        yield Finding(what, bool(refused) and still, _STILL, found, change)

    def _deleted(self, *, bypass: bool) -> Iterator[Finding]:
        what = "deleting a locked version" + (" with bypass" if bypass else "")
        key, version = self._made("deleted-bypass" if bypass else "deleted")
        more = {"BypassGovernanceRetention": True} if bypass else {}
        refused = self._refused(
            lambda: self._s3.delete_object(Bucket=self._store.bucket, Key=key, VersionId=version, **more),
            f"{what}: {key}",
        )
        still = self._kept(key, version)
        change = WRITER if bypass else OTHER_STORE
        yield Finding(what, bool(refused) and still, _STILL, _told(refused, still, "GONE"), change)

    def _hidden(self) -> Iterator[Finding]:
        """A marker destroys nothing, but it hides a claim, and then a conditional create succeeds again."""
        key, _ = self._made("hidden")
        refused = self._refused(
            lambda: self._s3.delete_object(Bucket=self._store.bucket, Key=key), f"hiding {key}"
        )
        still = [one.marker for one in self._store.versions(key)] == [False]
        expected = "refused, and the object is there"
        found = f"refused ({refused})" if refused and still else "the writer can hide what it wrote"
        yield Finding("a delete marker", bool(refused) and still, expected, found, WRITER)

    def _made(self, name: str) -> tuple[str, str]:
        """A new locked object; its key and version."""
        key = f"{self._prefix}{name}"
        self._store.create(key, _FIRST, keep=Keep.DERIVED, content_type="text/plain")
        return key, self._store.read(key).version_id

    def _put(self, key: str, body: bytes, digest: str) -> Any:
        return self._s3.put_object(
            Bucket=self._store.bucket,
            Key=key,
            Body=body,
            ChecksumAlgorithm="SHA256",
            ChecksumSHA256=digest,
            ObjectLockMode=self._store.settings.mode,
            ObjectLockRetainUntilDate=self._now() + DERIVED_RETENTION,
        )

    def _kept(self, key: str, version: str) -> bool:
        try:
            lock = self._store.retention(key, version)
            return self._store.read(key, version).body == _FIRST and lock.until > self._now()
        except StoreUnavailable:
            raise
        except StoreError:
            return False

    def _refused(self, ask: Callable[[], Any], what: str) -> str:
        """How the store refused, or nothing where it did not."""
        try:
            self._asked(ask, what)
        except StoreUnavailable:
            raise
        except StoreError as error:
            cause = getattr(error.__cause__, "response", {}).get("Error", {}).get("Code")
            return str(cause or type(error).__name__)
        return ""

    def _asked(self, ask: Callable[[], Any], what: str) -> Any:
        return asked(ask, f"bucket {self._store.bucket}: {what}")


def _told(refused: str, still: bool, lost: str) -> str:
    answer = f"refused ({refused})" if refused else "accepted"
    return f"{answer}, and the version is {'there with its lock' if still else lost}"


def _digest(body: bytes) -> str:
    return base64.b64encode(hashlib.sha256(body).digest()).decode()
