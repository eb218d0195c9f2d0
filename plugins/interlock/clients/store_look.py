"""Looks at the evidence store for an environment check: whose credentials, which region, which bucket.

Nothing is written: what a store really does with a locked object is tried by `interlock.clients.store_probe`.
"""

from __future__ import annotations

from contextlib import closing
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from interlock.clients.store_errors import (
    ObjectMissing,
    StoreError,
    StoreRefused,
    StoreUntrusted,
    asked,
)
from interlock.clients.store_settings import StoreSettings
from interlock.clients.store_trust import configuration, unfit
from interlock.environment.check import Unseen
from interlock.environment.store import Credentials, StoreFacts

AWS = "Amazon S3"


def pending(name: str, why: str) -> StoreFacts:
    """The facts of a store whose connection isn't there yet, or can't be used."""
    nothing = Unseen("there are no credentials to ask with")
    return StoreFacts(name, "no address", "", "pending", why, nothing, "", None, nothing)


def look_at_store(name: str, settings: StoreSettings) -> StoreFacts:
    """All that is seen of a store.

    Args:
        name: the connection's.
        settings: where the bucket is, and who asks.
    """
    if not settings.has_credentials():
        return pending(name, "the connection has no access key, and boto3 finds none")
    with closing(settings.client()) as s3:
        credentials, said, region = _credentials(s3, settings)
        identity = _identity(settings)
        fit: str | Unseen = Unseen("the bucket was not asked")
        if credentials == "valid":
            fit = _fit(s3, settings)
        elif credentials == "refused" and isinstance(identity, str):
            # A bucket's head has no words: whether it was the credentials or their rights, STS knows.
            credentials, fit = "valid", Unseen(said, "forbidden")
            said = "Amazon takes them, and doesn't let them see the bucket"
        return StoreFacts(
            connection=name,
            address=settings.endpoint_url or AWS,
            bucket=settings.bucket,
            credentials=credentials,
            said=said,
            identity=identity,
            region=settings.region,
            found_region=region,
            fit=fit,
        )


def _credentials(s3: Any, settings: StoreSettings) -> tuple[Credentials | Unseen, str, str | None]:
    """Whether the store takes them, what it said, and the bucket's region."""
    bucket = settings.bucket
    where = f"bucket {bucket}: asking for its head"
    try:
        answer = asked(lambda: s3.head_bucket(Bucket=bucket), where)
    except (StoreRefused, StoreUntrusted) as error:
        # Amazon says 400 to a token that has expired.
        return "refused", str(error), None
    except ObjectMissing as error:
        # The store knows who asks: it is the bucket that is not as it should be.
        return "valid", f"the store takes them; {error}", None
    except StoreError as error:
        return Unseen(str(error)), "", None
    headers = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    region = answer.get("BucketRegion") or headers.get("x-amz-bucket-region")
    return "valid", f"the store takes them for bucket {bucket}", region or None


def _identity(settings: StoreSettings) -> str | Unseen:
    if settings.endpoint_url is not None:
        return Unseen("this store is not Amazon's, and has no service that tells whose credentials these are")
    try:
        with closing(settings.client("sts")) as sts:
            return str(sts.get_caller_identity()["Arn"])
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "")
        return Unseen(f"STS GetCallerIdentity refuses them ({code})", "refused")
    except (BotoCoreError, OSError) as error:
        return Unseen(f"STS GetCallerIdentity gave no answer ({type(error).__name__})")


def _fit(s3: Any, settings: StoreSettings) -> str | Unseen:
    try:
        return unfit(configuration(s3, settings))
    except StoreUntrusted as error:
        return str(error)
    except StoreError as error:
        return Unseen(str(error))
