"""An S3 bucket with Object Lock, used as WORM storage: objects are created once, locked, and read.

`create` is the only way to write: If-None-Match: *, Object Lock in GOVERNANCE mode with a retention of its
own, and a SHA-256 that the store checks. There is no overwrite and no delete here.

A bucket is probed before it is trusted: without Object Lock a "locked" object is only a promise.

Errors:

    StoreError
      StoreUnavailable     away, too slow, or failing by itself: try again later
      StoreRefused         the credentials, or the bucket's policy, don't allow it: somebody has to act
      StoreUntrusted       the bucket can't keep what it is given (no Object Lock)
      StoreConflict        something else is kept under this key
"""

from __future__ import annotations

import base64
import hashlib
import logging
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final, Self, TypeVar

import boto3
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError

from interlock.connections import Connection, ConnectionMissing

TIMEOUT_SECONDS: Final = 3.0
RETENTION_DAYS: Final = 1095
_REFUSALS: Final = frozenset(
    {
        *("AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken"),
        *("Forbidden", "AllAccessDisabled", "AccountProblem", "TokenRefreshRequired", "RequestTimeTooSkewed"),
    }
)
_CONDITION_RACES: Final = 5

log = logging.getLogger(__name__)
T = TypeVar("T")


class StoreError(Exception):
    """The store did not do what it was asked."""


class StoreUnavailable(StoreError):
    """The store is away, too slow, or fails by itself; the same request may succeed later."""


class StoreRefused(StoreError):
    """The store refuses the credentials, or a policy doesn't allow this request."""


class StoreUntrusted(StoreError):
    """The bucket doesn't exist or has no Object Lock, so it can't keep evidence."""


class StoreConflict(StoreError):
    """Something else is kept under this key: content addressed by digest was tampered with, or mixed up."""


class ObjectMissing(StoreError):
    """There is no object under this key."""


@dataclass(frozen=True)
class StoreSettings:
    """Where the bucket is and who asks.

    Attributes:
        bucket: its name.
        access_key: access key id; None for boto3's own search for credentials.
        secret_key: its secret.
        endpoint_url: the S3 endpoint; None for AWS.
        region: region name.
        retention: how long a new object is locked.
        timeout: seconds for connecting, and again for each read.
    """

    bucket: str
    access_key: str | None = None
    secret_key: str | None = field(default=None, repr=False)
    endpoint_url: str | None = None
    region: str = "us-east-1"
    retention: timedelta = timedelta(days=RETENTION_DAYS)
    timeout: float = TIMEOUT_SECONDS

    @classmethod
    def of_connection(cls, found: Connection) -> Self:
        """The settings that an `aws` connection describes.

        Used: login and password, the access key and its secret; and of the extra `endpoint_url`,
        `region_name` and `service_config.s3.bucket_name` (also `service_config.s3.endpoint_url`).

        Raises:
            ConnectionMissing: it names no bucket.
        """
        service = (found.extra.get("service_config") or {}).get("s3") or {}
        if not service.get("bucket_name"):
            raise ConnectionMissing(
                f"connection {found.name}: it names no bucket; "
                f'its extra needs {{"service_config": {{"s3": {{"bucket_name": "…"}}}}}}'
            )
        return cls(
            bucket=service["bucket_name"],
            access_key=found.login or None,
            secret_key=found.password or None,
            endpoint_url=service.get("endpoint_url") or found.extra.get("endpoint_url") or None,
            region=found.extra.get("region_name") or "us-east-1",
        )


@dataclass(frozen=True)
class Retention:
    """How an object is locked: its mode, and until when."""

    mode: str
    until: datetime


class ObjectStore:
    """Creates and reads locked objects in one bucket."""

    def __init__(self, settings: StoreSettings, *, now: Callable[[], datetime] | None = None) -> None:
        """Keep the settings; nothing is sent before the first request.

        Args:
            settings: where the bucket is and who asks.
            now: the clock that retention is counted from; the system's when None.
        """
        self._settings = settings
        self._now = now or (lambda: datetime.now(UTC))
        self._trusted = False
        self._s3: Any = boto3.client(
            "s3",
            endpoint_url=settings.endpoint_url,
            region_name=settings.region,
            aws_access_key_id=settings.access_key,
            aws_secret_access_key=settings.secret_key,
            config=Config(
                connect_timeout=settings.timeout,
                read_timeout=settings.timeout,
                retries={"total_max_attempts": 1},
                s3={"addressing_style": "path" if settings.endpoint_url else "auto"},
            ),
        )

    @property
    def bucket(self) -> str:
        """The bucket's name."""
        return self._settings.bucket

    def close(self) -> None:
        """Close the connections to the store."""
        self._s3.close()

    def probe(self) -> None:
        """Check that the bucket can lock what it is given; asked once, before the first write.

        Raises:
            StoreUntrusted: it can't, with the reason.
            StoreError: the store could not be asked.
        """
        if self._trusted:
            return
        try:
            answer = self._asked(
                lambda: self._s3.get_object_lock_configuration(Bucket=self.bucket), "reading its Object Lock"
            )
        except ObjectMissing as error:
            raise StoreUntrusted(
                f"bucket {self.bucket}: it doesn't exist, or was made without Object Lock; evidence needs a "
                f"bucket with Object Lock enabled"
            ) from error
        enabled = answer.get("ObjectLockConfiguration", {}).get("ObjectLockEnabled")
        if enabled != "Enabled":
            raise StoreUntrusted(f"bucket {self.bucket}: Object Lock is {enabled!r}, expected 'Enabled'")
        self._trusted = True

    def create(self, key: str, body: bytes, *, content_type: str = "application/json") -> bool:
        """Create a locked object; return whether it is new (False: something is already under this key).

        Raises:
            StoreError: see the module's description.
        """
        self.probe()
        checksum = base64.b64encode(hashlib.sha256(body).digest()).decode()
        for _ in range(_CONDITION_RACES):
            until = self._now() + self._settings.retention

            def put(until: datetime = until) -> Any:
                return self._s3.put_object(
                    Bucket=self.bucket,
                    Key=key,
                    Body=body,
                    ContentType=content_type,
                    IfNoneMatch="*",
                    ChecksumSHA256=checksum,
                    ObjectLockMode="GOVERNANCE",
                    ObjectLockRetainUntilDate=until,
                )

            try:
                self._asked(put, f"creating {key}")
            except _ExistsError:
                return False
            except _RaceError:
                log.info("%s: another writer is creating %s at this moment; asking again", self.bucket, key)
                continue
            return True
        raise StoreUnavailable(
            f"bucket {self.bucket}: creating {key}: always another writer at the same time"
        )

    def get(self, key: str) -> bytes:
        """Return an object's content.

        Raises:
            ObjectMissing: there is none under this key.
        """
        answer = self._asked(lambda: self._s3.get_object(Bucket=self.bucket, Key=key), f"reading {key}")
        return bytes(self._asked(lambda: answer["Body"].read(), f"reading {key}"))

    def retention(self, key: str) -> Retention:
        """Return how an object is locked.

        Raises:
            ObjectMissing: there is none under this key, or it isn't locked.
        """
        answer = self._asked(
            lambda: self._s3.get_object_retention(Bucket=self.bucket, Key=key),
            f"reading the retention of {key}",
        )
        told = answer["Retention"]
        return Retention(str(told["Mode"]), told["RetainUntilDate"].astimezone(UTC))

    def keys(self, prefix: str) -> Iterator[str]:
        """Yield the keys that begin with `prefix`, in the store's order."""
        token: str | None = None
        while True:
            more = {} if token is None else {"ContinuationToken": token}

            def page(more: dict[str, str] = more) -> Any:
                return self._s3.list_objects_v2(Bucket=self.bucket, Prefix=prefix, **more)

            answer = self._asked(page, f"listing {prefix}")
            yield from (str(item["Key"]) for item in answer.get("Contents", ()))
            token = answer.get("NextContinuationToken")
            if not answer.get("IsTruncated") or token is None:
                return

    def _asked(self, ask: Callable[[], T], what: str) -> T:
        where = f"bucket {self.bucket}: {what}"
        try:
            return ask()
        except ClientError as error:
            code = str(error.response.get("Error", {}).get("Code", ""))
            status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
            if status == 412:
                raise _ExistsError(where) from error
            if status == 409:
                raise _RaceError(where) from error
            if status in (401, 403) or code in _REFUSALS:
                raise StoreRefused(
                    f"{where}: refused ({code or status}); check the keys and policies"
                ) from error
            if status == 404:
                raise ObjectMissing(f"{where}: {code or 'not found'}") from error
            if 400 <= status < 500 and status != 429:
                raise StoreUntrusted(f"{where}: the store doesn't take it ({code or status})") from error
            raise StoreUnavailable(f"{where}: the store failed ({code or status})") from error
        except (BotoCoreError, OSError) as error:
            if type(error).__name__ in ("NoCredentialsError", "PartialCredentialsError"):
                raise StoreRefused(f"{where}: no credentials") from error
            raise StoreUnavailable(f"{where}: not reachable ({type(error).__name__})") from error


def read_descriptions() -> None:
    """Read botocore's descriptions of S3, which take longer than a request; later clients find them read."""
    boto3.client("s3", region_name="us-east-1", aws_access_key_id="-", aws_secret_access_key="-").close()


class _ExistsError(StoreError):
    """412: the condition doesn't hold."""


class _RaceError(StoreError):
    """409: another conditional write is under way."""
