from __future__ import annotations

import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest

from interlock.clients.log_store import LogStore
from interlock.clients.object_store import (
    Keep,
    ObjectMissing,
    ObjectStore,
    StoreConflict,
    StoreRefused,
    StoreSettings,
    StoreUnavailable,
    StoreUntrusted,
)
from interlock.evidence.log.layout import blob_key
from interlock.evidence.statement import sha256
from tests.clients.real_parts import AUDITOR, WRITER, secret_of


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


def test_what_is_derived_is_locked_for_a_day(store: ObjectStore) -> None:
    name = key()
    assert store.create(name, b"{}", keep=Keep.DERIVED)
    assert abs(store.retention(name).until - datetime.now(UTC) - timedelta(days=1)) < timedelta(minutes=1)


def test_mode_and_retention_are_those_of_the_settings(store_settings: StoreSettings) -> None:
    name = key()
    settings = replace(store_settings, mode="COMPLIANCE", retention=timedelta(days=2))
    store = ObjectStore(settings)
    store.create(name, b"{}")
    lock = store.retention(name)
    store.close()
    assert lock.mode == "COMPLIANCE"
    assert abs(lock.until - datetime.now(UTC) - timedelta(days=2)) < timedelta(minutes=1)


def test_what_is_read_names_its_version_and_when_the_store_wrote_it(store: ObjectStore, s3: Any) -> None:
    name = key()
    store.create(name, b"hi")
    found = store.read(name)
    head = s3.head_object(Bucket="evidence", Key=name)
    assert (found.body, found.etag, found.version_id) == (b"hi", head["ETag"], head["VersionId"])
    assert found.last_modified == head["LastModified"]
    assert found.retention == store.retention(name)
    assert abs(found.last_modified - datetime.now(UTC)) < timedelta(minutes=1)


def test_an_object_is_replaced_only_by_who_has_seen_the_newest(store: ObjectStore) -> None:
    name = key()
    store.create(name, b"1", keep=Keep.DERIVED)
    first = store.read(name)
    etag = store.replace(name, b"2", etag=first.etag, keep=Keep.DERIVED)
    assert etag == store.read(name).etag
    assert store.replace(name, b"3", etag=first.etag, keep=Keep.DERIVED) is None
    assert store.get(name) == b"2"
    assert store.replace(key(), b"3", etag=first.etag, keep=Keep.DERIVED) is None


def test_a_version_that_was_replaced_stays_and_stays_locked(store: ObjectStore) -> None:
    name = key()
    store.create(name, b"1", keep=Keep.DERIVED)
    first = store.read(name)
    store.replace(name, b"2", etag=first.etag, keep=Keep.LASTING)
    assert store.read(name, first.version_id).body == b"1"
    assert store.retention(name, first.version_id).until < datetime.now(UTC) + timedelta(days=2)
    assert store.retention(name).until > datetime.now(UTC) + timedelta(days=1000)
    found = list(store.versions(name))
    assert [(one.latest, one.marker, one.size) for one in found] == [(True, False, 1), (False, False, 1)]
    assert found[1].version_id == first.version_id
    assert found[1].etag == first.etag


def test_of_many_that_replace_at_once_one_succeeds(store: ObjectStore) -> None:
    name = key()
    store.create(name, b"0", keep=Keep.DERIVED)
    etag = store.read(name).etag

    def move(number: int) -> str | None:
        return store.replace(name, b"%d" % number, etag=etag, keep=Keep.DERIVED)

    with ThreadPoolExecutor(16) as pool:
        moved = list(pool.map(move, range(1, 65)))
    (winner,) = (number for number, new in enumerate(moved, start=1) if new is not None)
    assert store.get(name) == b"%d" % winner
    assert len(list(store.versions(name))) == 2


def test_of_many_threads_that_create_at_once_one_succeeds(store: ObjectStore) -> None:
    name = key()
    with ThreadPoolExecutor(16) as pool:
        made = list(pool.map(lambda number: store.create(name, b"%d" % number), range(64)))
    assert made.count(True) == 1
    assert store.get(name) == b"%d" % made.index(True)


def test_a_delete_marker_is_listed_and_hides_the_object(store: ObjectStore, s3: Any) -> None:
    name = key()
    store.create(name, b"{}")
    s3.delete_object(Bucket="evidence", Key=name)
    marker, version = store.versions(name)
    assert (marker.marker, marker.latest, version.marker, version.latest) == (True, True, False, False)
    with pytest.raises(ObjectMissing):
        store.read(name)
    with pytest.raises(ObjectMissing):
        store.read(name, marker.version_id)
    assert store.read(name, version.version_id).body == b"{}"
    assert list(store.keys(name)) == []


def test_a_listing_begins_after_a_key_and_stops_at_a_delimiter(store: ObjectStore) -> None:
    prefix = f"tests/{uuid4().hex}/"
    for name in ("2025/seq/0", "2025/seq/1", "2025/seq/2", "2026/seq/0", "a", "b"):
        store.create(prefix + name, b"{}")
    assert list(store.keys(prefix, delimiter="/")) == [prefix + name for name in ("2025/", "2026/", "a", "b")]
    assert list(store.keys(f"{prefix}2025/seq/", after=f"{prefix}2025/seq/0")) == [
        f"{prefix}2025/seq/1",
        f"{prefix}2025/seq/2",
    ]
    after = [one.key for one in store.versions(f"{prefix}2025/seq/", after=f"{prefix}2025/seq/1")]
    assert after == [f"{prefix}2025/seq/2"]


def test_listings_go_on_past_one_answer(store: ObjectStore, s3: Any) -> None:
    prefix = f"tests/{uuid4().hex}/"
    names = [f"{prefix}{number:04}" for number in range(1001)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda name: s3.put_object(Bucket="evidence", Key=name, Body=b""), names))
    assert list(store.keys(prefix)) == names
    assert [one.key for one in store.versions(prefix)] == names


def test_a_lock_is_prolonged_to_that_of_a_new_object_and_never_shortened(
    store: ObjectStore, store_settings: StoreSettings
) -> None:
    name = key()
    store.create(name, b"x", keep=Keep.DERIVED)
    store.prolong(name, store.read(name))
    until = store.retention(name).until
    assert abs(until - datetime.now(UTC) - timedelta(days=1095)) < timedelta(minutes=1)
    with closing(ObjectStore(replace(store_settings, retention=timedelta(days=2)))) as other:
        other.prolong(name, other.read(name))
    assert store.retention(name).until == until


def test_evidence_that_is_there_already_is_locked_as_long_as_new_evidence(store: ObjectStore) -> None:
    blob = uuid4().hex.encode()
    name = blob_key(sha256(blob))
    store.create(name, blob, keep=Keep.DERIVED)
    with closing(LogStore(store, "interlock/tests", lambda fresh: [])) as log:
        log.put_blobs([blob])
    assert store.retention(name).until > datetime.now(UTC) + timedelta(days=1094)
    assert len(list(store.versions(name))) == 1


def test_an_object_larger_than_any_of_ours_is_not_read(store: ObjectStore) -> None:
    name = key()
    store.create(name, b"12345")
    with pytest.raises(StoreConflict, match="has 5 bytes, expected 4 at most"):
        store.read(name, limit=4)


def test_the_policies_of_the_writer_and_the_auditor_give_what_each_needs(
    store_settings: StoreSettings,
) -> None:
    name = key()
    writer = ObjectStore(replace(store_settings, access_key=WRITER, secret_key=secret_of(WRITER)))
    auditor = ObjectStore(replace(store_settings, access_key=AUDITOR, secret_key=secret_of(AUDITOR)))
    assert writer.create(name, b"1", keep=Keep.DERIVED)
    assert writer.replace(name, b"2", etag=writer.read(name).etag, keep=Keep.DERIVED)
    for reader in (writer, auditor):
        assert list(reader.keys(name)) == [name]
        for one in reader.versions(name):
            assert reader.read(name, one.version_id).body in (b"1", b"2")
            assert reader.retention(name, one.version_id).mode == "GOVERNANCE"
    with pytest.raises(StoreRefused):
        auditor.create(key(), b"{}")
    writer.prolong(name, writer.read(name))
    assert auditor.retention(name).until > datetime.now(UTC) + timedelta(days=1094)
    writer.close()
    auditor.close()
