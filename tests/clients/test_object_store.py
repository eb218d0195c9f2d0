from __future__ import annotations

import socket
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from interlock.clients.object_store import (
    ObjectMissing,
    ObjectStore,
    StoreRefused,
    StoreSettings,
    StoreUnavailable,
    StoreUntrusted,
)


def key() -> str:
    return f"tests/{uuid4().hex}.json"


def test_a_new_object_is_locked_for_1095_days_in_governance_mode(store: ObjectStore) -> None:
    name = key()
    assert store.create(name, b"{}")
    retention = store.retention(name)
    assert retention.mode == "GOVERNANCE"
    assert abs(retention.until - datetime.now(UTC) - timedelta(days=1095)) < timedelta(minutes=1)


def test_a_locked_version_can_not_be_deleted(store: ObjectStore, s3: Any) -> None:
    name = key()
    store.create(name, b"{}")
    version = s3.head_object(Bucket="evidence", Key=name)["VersionId"]
    with pytest.raises(s3.exceptions.ClientError, match="AccessDenied"):
        s3.delete_object(Bucket="evidence", Key=name, VersionId=version)
    assert store.get(name) == b"{}"


def test_creating_again_changes_nothing_and_says_so(store: ObjectStore, s3: Any) -> None:
    name = key()
    assert store.create(name, b"first")
    assert not store.create(name, b"second")
    assert store.get(name) == b"first"
    assert len(s3.list_object_versions(Bucket="evidence", Prefix=name)["Versions"]) == 1


def test_the_store_keeps_the_sha256_of_what_it_was_given(store: ObjectStore, s3: Any) -> None:
    name = key()
    store.create(name, b"hi")
    head = s3.head_object(Bucket="evidence", Key=name, ChecksumMode="ENABLED")
    assert head["ChecksumSHA256"] == "j0NDRmSPa5bfid2pAcUXaxCm2Dlh3TwayItZstwyeqQ="


@pytest.mark.parametrize("bucket", ["plain", "no-such-bucket"])
def test_a_bucket_without_object_lock_is_refused_before_anything_is_written(
    store_settings: StoreSettings, s3: Any, bucket: str
) -> None:
    store = ObjectStore(replace(store_settings, bucket=bucket))
    name = key()
    with pytest.raises(StoreUntrusted, match="Object Lock"):
        store.create(name, b"{}")
    store.close()
    assert "Contents" not in s3.list_objects_v2(Bucket="plain", Prefix=name)


def test_a_missing_object_is_missing(store: ObjectStore) -> None:
    with pytest.raises(ObjectMissing):
        store.get(key())


def test_all_keys_under_a_prefix_are_listed(store: ObjectStore) -> None:
    prefix = f"tests/{uuid4().hex}/"
    names = [f"{prefix}{n}.json" for n in range(5)]
    for name in names:
        store.create(name, b"{}")
    assert list(store.keys(prefix)) == names


def test_wrong_keys_are_refused(store_settings: StoreSettings) -> None:
    store = ObjectStore(replace(store_settings, secret_key="wrong"))
    with pytest.raises(StoreRefused, match="check the keys"):
        store.create(key(), b"{}")
    store.close()


def test_a_store_that_is_away_is_unavailable() -> None:
    store = ObjectStore(StoreSettings("evidence", "a", "b", "http://127.0.0.1:1"))
    with pytest.raises(StoreUnavailable, match="not reachable"):
        store.create(key(), b"{}")
    store.close()


def test_a_store_that_accepts_and_never_answers_is_given_up_after_the_time_limit() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}"
        store = ObjectStore(StoreSettings("evidence", "a", "b", endpoint, timeout=0.3))
        begun = time.monotonic()
        with pytest.raises(StoreUnavailable):
            store.create(key(), b"{}")
        assert time.monotonic() - begun < 2
        store.close()


def test_settings_never_print_their_secret() -> None:
    assert "s3cret" not in repr(StoreSettings("b", "a", "s3cret"))
