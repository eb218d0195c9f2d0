"""A bucket as a source for verification: read with the auditor's own credentials, some requests at a time."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Final, TypeVar

from interlock.clients import object_store as store
from interlock.evidence.verification.source import (
    ObjectMissing,
    ObjectTooLarge,
    Retention,
    SourceError,
    Version,
)

AT_ONCE: Final = 8
"""Requests that are under way at a time: a bundle has up to 17 MB, so this bounds the memory too."""

T = TypeVar("T")
R = TypeVar("R")


class BucketSource:
    """Reads a bucket; changes nothing in it."""

    knows_versions = True
    live = True
    taken_at = None

    def __init__(self, objects: store.ObjectStore, *, at_once: int = AT_ONCE) -> None:
        """Keep the store; nothing is sent yet.

        Args:
            objects: the bucket.
            at_once: how many requests are under way at a time.
        """
        self._store = objects
        self._at_once = at_once
        self._pool = ThreadPoolExecutor(at_once, thread_name_prefix="verify")

    @property
    def name(self) -> str:
        """The bucket, for people."""
        return f"bucket {self._store.bucket}"

    @property
    def bucket(self) -> str:
        """The bucket's name."""
        return self._store.bucket

    def close(self) -> None:
        """End the threads and the connections."""
        self._pool.shutdown(cancel_futures=True)
        self._store.close()

    def versions(self, prefix: str, after: str = "") -> Iterator[Version]:
        """All versions, as the store lists them."""
        try:
            for one in self._store.versions(prefix, after):
                yield Version(one.key, one.version_id, one.latest, one.marker, one.size, one.last_modified)
        except store.StoreError as error:
            raise SourceError(str(error)) from error

    def read(self, key: str, limit: int, version_id: str | None = None) -> bytes:
        """An object's content."""
        try:
            return self._store.read(key, version_id, limit=limit).body
        except store.ObjectMissing as error:
            raise _missing(error) from error
        except store.StoreConflict as error:
            raise ObjectTooLarge(str(error)) from error
        except store.StoreError as error:
            raise SourceError(str(error)) from error

    def several(self, ask: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
        """`ask` for each item, `at_once` at a time, in their order."""
        waiting: deque[Future[R]] = deque()
        for item in items:
            waiting.append(self._pool.submit(ask, item))
            if len(waiting) >= self._at_once:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()

    def retention(self, key: str, version_id: str) -> Retention | None:
        """How the store locks a version."""
        try:
            found = self._store.retention(key, version_id)
        except store.ObjectMissing as error:
            if not isinstance(_missing(error), ObjectMissing):
                raise SourceError(str(error)) from error
            return None
        except store.StoreError as error:
            raise SourceError(str(error)) from error
        return Retention(found.mode, found.until)


def _missing(error: store.ObjectMissing) -> SourceError:
    """A missing object; where the bucket itself is away, nothing is said about its objects."""
    answer = getattr(error.__cause__, "response", {})
    bucket = answer.get("Error", {}).get("Code") == "NoSuchBucket"
    return SourceError(str(error)) if bucket else ObjectMissing(str(error))
