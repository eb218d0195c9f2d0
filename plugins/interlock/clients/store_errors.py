"""What can go wrong between Interlock and its evidence store.

StoreError
  StoreUnavailable     away, too slow, or failing by itself: whether it did the request is not known
  StoreRefused         the credentials, or the bucket's policy, don't allow it: somebody has to act
  StoreUntrusted       the bucket can't keep what it is given (no Object Lock)
  StoreConflict        something else is kept under this key
  ObjectMissing        nothing is kept under this key
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, TypeVar

from botocore.exceptions import BotoCoreError, ClientError

_REFUSALS: Final = frozenset(
    {
        *("AccessDenied", "InvalidAccessKeyId", "SignatureDoesNotMatch", "ExpiredToken", "InvalidToken"),
        *("Forbidden", "AllAccessDisabled", "AccountProblem", "TokenRefreshRequired", "RequestTimeTooSkewed"),
    }
)
_AWAY: Final = frozenset({"RequestTimeout", "SlowDown", "Throttling", "IncompleteBody"})
"""Codes of answers below 500 that say nothing of the bucket: the same request may succeed later."""
_NO_CREDENTIALS: Final = frozenset({"NoCredentialsError", "PartialCredentialsError"})
_CORRUPTED: Final = frozenset({"FlexibleChecksumError", "IncompleteReadError"})

T = TypeVar("T")


class StoreError(Exception):
    """The store did not do what it was asked."""


class StoreUnavailable(StoreError):
    """The store is away, too slow, or fails by itself; the same request may succeed later.

    Whether this one was done is not known: its answer may be what was lost.
    """


class StoreRefused(StoreError):
    """The store refuses the credentials, or a policy doesn't allow this request."""


class StoreUntrusted(StoreError):
    """The bucket doesn't exist, or has no Object Lock as evidence needs it, so it can't keep evidence."""


class StoreConflict(StoreError):
    """Something else is kept under this key: content addressed by digest was tampered with, or mixed up."""


class ObjectMissing(StoreError):
    """There is no object under this key."""


class ConditionFailed(StoreError):
    """412: the condition of a conditional write doesn't hold."""


class ConditionRace(StoreError):
    """409: another write to the same key is under way; the store did not look at the condition."""


def asked(ask: Callable[[], T], where: str) -> T:
    """Return what `ask` returns, and raise botocore's errors as ours.

    Args:
        ask: sends one request.
        where: what was asked of whom; the beginning of the error's message.

    Raises:
        StoreError: see the module's description; also ConditionFailed and ConditionRace.
    """
    try:
        return ask()
    except ClientError as error:
        raise _of_answer(error, where) from error
    except (BotoCoreError, OSError) as error:
        name = type(error).__name__
        if name in _NO_CREDENTIALS:
            raise StoreRefused(f"{where}: no credentials") from error
        if name in _CORRUPTED:
            raise StoreUnavailable(f"{where}: what arrived isn't what the store sent ({name})") from error
        raise StoreUnavailable(f"{where}: not reachable ({name})") from error


def _of_answer(error: ClientError, where: str) -> StoreError:
    code = str(error.response.get("Error", {}).get("Code", ""))
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    if status == 412:
        return ConditionFailed(where)
    if status == 409:
        return ConditionRace(f"{where}: another write is under way ({code or status})")
    if code in _AWAY:
        return StoreUnavailable(f"{where}: the store failed ({code})")
    if status in (401, 403) or code in _REFUSALS:
        return StoreRefused(f"{where}: refused ({code or status}); check the keys and policies")
    if status in (404, 405):  # 405: the version that was named is a delete marker
        return ObjectMissing(f"{where}: {code or 'not found'}")
    if 400 <= status < 500 and status != 429:
        return StoreUntrusted(f"{where}: the store doesn't take it ({code or status})")
    return StoreUnavailable(f"{where}: the store failed ({code or status})")
