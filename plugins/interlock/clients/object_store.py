"""An S3 bucket with Object Lock, used as WORM storage: objects are created once, locked, and read.

`create` writes what is never written again: If-None-Match: *. `replace` makes a new version of one of the few
objects that move, such as the newest checkpoint: If-Match, so that no one moves it back unseen; the version
before stays under its lock. Each write carries Object Lock's mode, a retain-until of its own, and a SHA-256
that the store checks. There is no delete here.

A bucket is looked at before it is trusted: without Object Lock a "locked" object is only a promise.

An `ObjectStore` may be used from several threads. Errors: `interlock.clients.store_errors`.
"""

from __future__ import annotations

import base64
import hashlib
import logging
import random
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeVar

from interlock.clients.store_errors import (
    ConditionFailed,
    ConditionRace,
    ObjectMissing,
    StoreConflict,
    StoreError,
    StoreRefused,
    StoreUnavailable,
    StoreUntrusted,
    asked,
)
from interlock.clients.store_objects import Keep, Object, Retention, Version, in_utc, listed, retention_in
from interlock.clients.store_settings import RETENTION_DAYS, StoreSettings, read_descriptions
from interlock.clients.store_trust import trust

__all__ = [
    "RETENTION_DAYS",
    "Keep",
    "Object",
    "ObjectMissing",
    "ObjectStore",
    "Retention",
    "StoreConflict",
    "StoreError",
    "StoreRefused",
    "StoreSettings",
    "StoreUnavailable",
    "StoreUntrusted",
    "Version",
    "read_descriptions",
]

DERIVED_RETENTION: Final = timedelta(days=1)
MAX_BYTES: Final = 64 * 1024 * 1024
"""No object of a log is larger than 17 MB; a larger one isn't read into memory."""
PROLONGED_FROM: Final = timedelta(hours=1)
"""A lock that ends so much too early is left as it is."""
_RACES: Final = 8
_RACE_PAUSE_SECONDS: Final = 0.05

log = logging.getLogger(__name__)
T = TypeVar("T")


class ObjectStore:
    """Creates and reads locked objects in one bucket."""

    def __init__(self, settings: StoreSettings, *, now: Callable[[], datetime] | None = None) -> None:
        """Keep the settings; nothing is sent before the first request.

        Args:
            settings: where the bucket is, who asks, and how objects are locked.
            now: the clock that retention is counted from; the system's when None.
        """
        self._settings = settings
        self._now = now or (lambda: datetime.now(UTC))
        self._s3: Any = settings.client()

    @property
    def bucket(self) -> str:
        """The bucket's name."""
        return self._settings.bucket

    @property
    def settings(self) -> StoreSettings:
        """Where the bucket is, who asks, and how objects are locked."""
        return self._settings

    def close(self) -> None:
        """Close the connections to the store."""
        self._s3.close()

    def probe(self) -> None:
        """Check by its configuration that the bucket can lock what it is given; before the first write.

        Raises:
            StoreUntrusted: it can't, with the reasons.
            StoreError: the store could not be asked.
        """
        trust(self._s3, self._settings)

    def create(
        self, key: str, body: bytes, *, keep: Keep = Keep.LASTING, content_type: str = "application/json"
    ) -> bool:
        """Create a locked object; return whether it is new (False: something is already under this key).

        After a StoreUnavailable it may have been created all the same: the next call then returns False
        although the object is ours, and only its content tells.

        Raises:
            StoreError: see `store_errors`.
        """
        try:
            self._put(f"creating {key}", key, body, keep, content_type, IfNoneMatch="*")
        except ConditionFailed:
            return False
        return True

    def replace(
        self, key: str, body: bytes, *, etag: str, keep: Keep, content_type: str = "application/json"
    ) -> str | None:
        """Put a new locked version where the newest one has this etag; return the new etag.

        None: the newest is another one, or there is none. As with `create`, that may be what an earlier call
        wrote whose answer was lost. An etag stands for content: who writes A, B and A again has the first
        etag again.

        Raises:
            StoreError: see `store_errors`.
        """
        try:
            answer = self._put(f"replacing {key}", key, body, keep, content_type, IfMatch=etag)
        except (ConditionFailed, ObjectMissing):
            return None
        return str(answer["ETag"])

    def read(self, key: str, version_id: str | None = None, *, limit: int = MAX_BYTES) -> Object:
        """Return the newest version of an object, or one that is named.

        Raises:
            ObjectMissing: there is none under this key, or it is a delete marker.
            StoreConflict: it has more bytes than `limit`, so it is not read.
        """
        what, which = f"reading {key}", _version(version_id)
        answer = self._asked(lambda: self._s3.get_object(Bucket=self.bucket, Key=key, **which), what)
        size = int(answer["ContentLength"])
        if size > limit:
            answer["Body"].close()
            raise StoreConflict(f"bucket {self.bucket}: {key} has {size} bytes, expected {limit} at most")
        body = bytes(self._asked(answer["Body"].read, what))
        return Object(
            body,
            str(answer["ETag"]),
            in_utc(answer["LastModified"]),
            str(answer.get("VersionId") or "null"),
            retention_in(answer),
        )

    def get(self, key: str) -> bytes:
        """Return an object's content.

        Raises:
            ObjectMissing: there is none under this key.
        """
        return self.read(key).body

    def retention(self, key: str, version_id: str | None = None) -> Retention:
        """Return how the newest version of an object is locked, or one that is named.

        Raises:
            ObjectMissing: there is none under this key, or it isn't locked.
        """
        which = _version(version_id)
        answer = self._asked(
            lambda: self._s3.get_object_retention(Bucket=self.bucket, Key=key, **which),
            f"reading the retention of {key}",
        )
        told = answer["Retention"]
        return Retention(str(told["Mode"]), in_utc(told["RetainUntilDate"]))

    def prolong(self, key: str, found: Object) -> None:
        """Lock a version that was read until a lasting object of now would be; a longer lock stays.

        Raises:
            StoreError: see `store_errors`.
        """
        until, mode = self._now() + self._settings.retention, str(self._settings.mode)
        if found.retention is not None:
            if found.retention.until > until - PROLONGED_FROM:
                return
            mode = found.retention.mode

        def put() -> Any:
            return self._s3.put_object_retention(
                Bucket=self.bucket,
                Key=key,
                VersionId=found.version_id,
                Retention={"Mode": mode, "RetainUntilDate": until},
            )

        self._asked(put, f"prolonging the lock of {key}")

    def keys(self, prefix: str, after: str = "", delimiter: str = "") -> Iterator[str]:
        """Yield the keys that begin with `prefix`, in the order of their bytes.

        Args:
            prefix: how they begin.
            after: only those that follow this key in the order.
            delimiter: where it occurs after the prefix, the part up to it is yielded once, in place of the
                keys that begin with it.
        """
        more: dict[str, str] = {"StartAfter": after} if after else {}
        if delimiter:
            more["Delimiter"] = delimiter
        while True:

            def page(more: dict[str, str] = more) -> Any:
                return self._s3.list_objects_v2(Bucket=self.bucket, Prefix=prefix, **more)

            answer = self._asked(page, f"listing {prefix}")
            found = [str(item["Key"]) for item in answer.get("Contents", ())]
            found += [str(item["Prefix"]) for item in answer.get("CommonPrefixes", ())]
            yield from sorted(found)
            token = answer.get("NextContinuationToken")
            if not answer.get("IsTruncated") or token is None:
                return
            more["ContinuationToken"] = str(token)

    def versions(self, prefix: str, after: str = "") -> Iterator[Version]:
        """Yield all versions and delete markers of the keys that begin with `prefix`, also of deleted ones.

        Keys come in the order of their bytes; of one key first what it shows now, then by LastModified, which
        has whole seconds: inside a second the order of a version and a marker says nothing.

        Args:
            prefix: how the keys begin.
            after: only keys that follow this one in the order.
        """
        more: dict[str, str] = {"KeyMarker": after} if after else {}
        while True:

            def page(more: dict[str, str] = more) -> Any:
                return self._s3.list_object_versions(Bucket=self.bucket, Prefix=prefix, **more)

            answer = self._asked(page, f"listing the versions of {prefix}")
            found = [listed(item, marker=False) for item in answer.get("Versions", ())]
            found += [listed(item, marker=True) for item in answer.get("DeleteMarkers", ())]
            found.sort(key=lambda one: (one.key, not one.latest, -one.last_modified.timestamp()))
            yield from (one for one in found if one.key > after)
            if not answer.get("IsTruncated") or not answer.get("NextKeyMarker"):
                return
            more = {"KeyMarker": answer["NextKeyMarker"]}
            if answer.get("NextVersionIdMarker"):
                more["VersionIdMarker"] = answer["NextVersionIdMarker"]

    def _put(self, what: str, key: str, body: bytes, keep: Keep, content_type: str, **condition: str) -> Any:
        self.probe()
        checksum = base64.b64encode(hashlib.sha256(body).digest()).decode()
        for attempt in range(_RACES):
            if attempt:
                time.sleep(_RACE_PAUSE_SECONDS * attempt * random.random())
            until = self._now() + (self._settings.retention if keep is Keep.LASTING else DERIVED_RETENTION)

            def put(until: datetime = until) -> Any:
                return self._s3.put_object(
                    Bucket=self.bucket,
                    Key=key,
                    Body=body,
                    ContentType=content_type,
                    ChecksumAlgorithm="SHA256",
                    ChecksumSHA256=checksum,
                    ObjectLockMode=self._settings.mode,
                    ObjectLockRetainUntilDate=until,
                    **condition,
                )

            try:
                return self._asked(put, what)
            except ConditionRace:
                log.info("%s: another writer is %s at this moment; asking again", self.bucket, what)
        raise StoreUnavailable(f"bucket {self.bucket}: {what}: always another writer at the same time")

    def _asked(self, ask: Callable[[], T], what: str) -> T:
        return asked(ask, f"bucket {self.bucket}: {what}")


def _version(version_id: str | None) -> dict[str, str]:
    return {} if version_id is None else {"VersionId": version_id}
