"""Where the evidence bucket is, who asks, and how what is created there is locked."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final, Literal, Self

import boto3
from botocore.config import Config

from interlock.connections import Connection, ConnectionMissing

TIMEOUT_SECONDS: Final = 3.0
RETENTION_DAYS: Final = 1095
CONNECTIONS: Final = 32
"""How many connections a client keeps open; a thread more than these opens its own, for one request."""

Mode = Literal["GOVERNANCE", "COMPLIANCE"]


@dataclass(frozen=True)
class StoreSettings:
    """Where the bucket is, who asks, and how new objects are locked.

    Attributes:
        bucket: its name.
        access_key: access key id; None for boto3's own search for credentials.
        secret_key: its secret.
        endpoint_url: the S3 endpoint; None for AWS.
        region: region name.
        retention: how long a new lasting object is locked.
        timeout: seconds for connecting, and again for each read.
        mode: GOVERNANCE, which an administrator with the right to bypass it can end, or COMPLIANCE, which
            nobody can, not even the account's owner.
    """

    bucket: str
    access_key: str | None = None
    secret_key: str | None = field(default=None, repr=False)
    endpoint_url: str | None = None
    region: str = "us-east-1"
    retention: timedelta = timedelta(days=RETENTION_DAYS)
    timeout: float = TIMEOUT_SECONDS
    mode: Mode = "GOVERNANCE"

    @classmethod
    def of_connection(cls, found: Connection) -> Self:
        """The settings that an `aws` connection describes.

        Used: login and password, the access key and its secret; and of the extra `endpoint_url`,
        `region_name` and of `service_config.s3`: `bucket_name`, `endpoint_url`, `object_lock_mode` and
        `retention_days`.

        Raises:
            ConnectionMissing: it names no bucket, or a mode or a retention that there isn't.
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
            retention=timedelta(days=_days(found.name, service.get("retention_days"))),
            mode=_mode(found.name, service.get("object_lock_mode")),
        )

    def has_credentials(self) -> bool:
        """Whether there is anything to ask with: the connection's access key, or what boto3 finds itself."""
        given = self.access_key and self.secret_key
        return bool(given) or boto3.Session().get_credentials() is not None

    def client(self, service: str = "s3") -> Any:
        """A boto3 client for these settings; it sends each request once. Safe to use from several threads."""
        return boto3.client(
            service,
            endpoint_url=self.endpoint_url,
            region_name=self.region,
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            config=Config(
                connect_timeout=self.timeout,
                read_timeout=self.timeout,
                retries={"total_max_attempts": 1},
                max_pool_connections=CONNECTIONS,
                s3={"addressing_style": "path" if self.endpoint_url else "auto"},
            ),
        )


def read_descriptions() -> None:
    """Read botocore's descriptions of S3, which take longer than a request; later clients find them read."""
    boto3.client("s3", region_name="us-east-1", aws_access_key_id="-", aws_secret_access_key="-").close()


def _mode(name: str, told: object) -> Mode:
    mode = "GOVERNANCE" if told in (None, "") else str(told).strip().upper()
    if mode == "GOVERNANCE":
        return "GOVERNANCE"
    if mode == "COMPLIANCE":
        return "COMPLIANCE"
    raise ConnectionMissing(
        f"connection {name}: object_lock_mode is {told!r}; it is 'GOVERNANCE' or 'COMPLIANCE'"
    )


def _days(name: str, told: object) -> int:
    text = str(RETENTION_DAYS if told in (None, "") else told).strip()
    # S3 takes no more than 100 years.
    if not (text.isascii() and text.isdecimal() and 1 <= len(text) <= 5 and 1 <= int(text) <= 36500):
        raise ConnectionMissing(
            f"connection {name}: retention_days is {told!r}; it is a whole number of days, 1 to 36500"
        )
    return int(text)
