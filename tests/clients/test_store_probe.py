"""Which stores are found unfit: real ones, set up wrong, and one that only looks like one."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from interlock.clients.object_store import ObjectStore, StoreSettings, StoreUnavailable, StoreUntrusted
from interlock.clients.store_probe import PREFIX, Fitness, probe
from tests.clients.real_parts import (
    AUDITOR,
    DEPLOY,
    UNBOUND,
    WRITER,
    answers,
    end_group,
    free_ports,
    s3_client,
    secret_of,
    until,
)
from tests.fault_proxy import Fault, FaultProxy, Rule


@pytest.fixture(scope="module")
def wrong_buckets(s3_server: str) -> None:
    """Object Lock without a default retention, with one of a day, and none with versioning suspended."""
    client = s3_client(s3_server)
    for name in ("no-default", "short-default"):
        client.create_bucket(Bucket=name, ObjectLockEnabledForBucket=True)
    lock = {"ObjectLockEnabled": "Enabled", "Rule": {"DefaultRetention": {"Mode": "GOVERNANCE", "Days": 1}}}
    client.put_object_lock_configuration(Bucket="short-default", ObjectLockConfiguration=lock)
    client.create_bucket(Bucket="suspended")
    client.put_bucket_versioning(Bucket="suspended", VersioningConfiguration={"Status": "Suspended"})
    client.close()


@pytest.fixture(scope="module")
def moto(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A moto server, whose bucket `evidence` is configured as a fit one."""
    log = tmp_path_factory.mktemp("moto") / "log"
    (port,) = free_ports(1)
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    endpoint = f"http://127.0.0.1:{port}"
    try:
        until("moto", lambda: answers(endpoint), process, log)
        client = s3_client(endpoint)
        lock = json.loads((DEPLOY / "object-lock.json").read_text())
        for bucket in ("evidence", "suspended"):
            client.create_bucket(Bucket=bucket, ObjectLockEnabledForBucket=True)
            client.put_object_lock_configuration(Bucket=bucket, ObjectLockConfiguration=lock)
        client.put_bucket_versioning(Bucket="suspended", VersioningConfiguration={"Status": "Suspended"})
        client.close()
        yield endpoint
    finally:
        end_group(process)


def of_writer(settings: StoreSettings, access_key: str = WRITER, **changed: Any) -> StoreSettings:
    return replace(settings, access_key=access_key, secret_key=secret_of(access_key), **changed)


def probed(settings: StoreSettings) -> Fitness:
    store = ObjectStore(settings)
    try:
        return probe(store)
    finally:
        store.close()


def wrong(fitness: Fitness) -> dict[str, str]:
    """What is unfit, and which file to change."""
    return {finding.tried: Path(finding.change).name for finding in fitness.findings if not finding.ok}


@pytest.mark.parametrize("mode", ["GOVERNANCE", "COMPLIANCE"])
def test_a_bucket_with_the_policies_of_the_project_is_fit(store_settings: StoreSettings, mode: Any) -> None:
    fitness = probed(of_writer(store_settings, mode=mode))
    assert fitness.fit, str(fitness)
    assert len(fitness.findings) == 15
    assert not any(finding.warning for finding in fitness.findings)


def test_what_a_probe_leaves_is_small_and_locked_for_a_day(store_settings: StoreSettings, s3: Any) -> None:
    store = ObjectStore(store_settings)
    before = {one.version_id for one in store.versions(PREFIX)}
    probed(of_writer(store_settings))
    left = [one for one in store.versions(PREFIX) if one.version_id not in before]
    assert len(left) == 12
    for one in left:
        assert one.size < 100
        assert store.retention(one.key, one.version_id).until < datetime.now(UTC) + timedelta(hours=25)
    assert sum(not one.latest for one in left) == 2  # only those that are replaced and overwritten on purpose
    store.close()


@pytest.mark.usefixtures("wrong_buckets")
@pytest.mark.parametrize(
    ("bucket", "reasons"),
    [
        (
            "plain",
            {
                "Object Lock": "create-bucket.sh",
                "versioning": "create-bucket.sh",
                "default retention": "object-lock.json",
            },
        ),
        (
            "suspended",
            {
                "Object Lock": "create-bucket.sh",
                "versioning": "create-bucket.sh",
                "default retention": "object-lock.json",
            },
        ),
        ("no-default", {"default retention": "object-lock.json"}),
        ("no-such-bucket", {"Object Lock": "create-bucket.sh"}),
    ],
)
def test_a_bucket_that_is_set_up_wrong_is_unfit_and_refused_before_it_is_written_to(
    store_settings: StoreSettings, s3: Any, bucket: str, reasons: dict[str, str]
) -> None:
    settings = of_writer(store_settings, bucket=bucket)
    fitness = probed(settings)
    assert not fitness.fit
    assert wrong(fitness) == reasons
    store = ObjectStore(settings)
    with pytest.raises(StoreUntrusted, match=fitness.findings[-1].found):
        store.create("refused/1", b"{}")
    store.close()
    if bucket != "no-such-bucket":
        assert s3.list_object_versions(Bucket=bucket, Prefix="refused/").get("Versions", []) == []


@pytest.mark.usefixtures("wrong_buckets")
def test_a_default_retention_that_is_short_is_a_warning(store_settings: StoreSettings) -> None:
    fitness = probed(of_writer(store_settings, bucket="short-default"))
    assert fitness.fit
    assert [finding.tried for finding in fitness.findings if finding.warning] == ["default retention"]


def test_a_suspended_versioning_is_told_from_a_missing_lock(moto: str, store_settings: StoreSettings) -> None:
    fitness = probed(replace(store_settings, endpoint_url=moto, bucket="suspended"))
    assert wrong(fitness) == {"versioning": "create-bucket.sh"}
    assert "Suspended" in str(fitness)


def test_a_writer_who_may_bypass_or_delete_makes_a_store_unfit(store_settings: StoreSettings) -> None:
    assert wrong(probed(of_writer(store_settings, UNBOUND))) == {
        "shortening a lock with bypass": "writer-policy.json",
        "deleting a locked version with bypass": "writer-policy.json",
        "a delete marker": "writer-policy.json",
    }


@pytest.mark.parametrize("mode", ["COMPLIANCE"])
def test_a_compliance_lock_holds_against_bypass(store_settings: StoreSettings, mode: Any) -> None:
    assert wrong(probed(of_writer(store_settings, UNBOUND, mode=mode))).keys() == {"a delete marker"}


def test_an_identity_that_may_not_write_is_named_once(store_settings: StoreSettings) -> None:
    fitness = probed(of_writer(store_settings, AUDITOR))
    assert wrong(fitness) == {"a locked write": "writer-policy.json, or the connection's key"}


def test_moto_is_unfit_although_it_is_configured_as_a_fit_store(
    moto: str, store_settings: StoreSettings
) -> None:
    settings = replace(store_settings, endpoint_url=moto)
    fitness = probed(settings)
    assert not fitness.fit
    assert {
        "a lock that a write names",
        "a checksum that is wrong",
        "deleting a locked version with bypass",
        "a delete marker",
    } <= wrong(fitness).keys()


@pytest.mark.parametrize(("minutes", "said"), [(5, "300 s behind"), (-5, "300 s ahead")])
def test_a_clock_that_is_wrong_is_named(store_settings: StoreSettings, minutes: int, said: str) -> None:
    def clock() -> datetime:
        return datetime.now(UTC) + timedelta(minutes=minutes)

    store = ObjectStore(of_writer(store_settings), now=clock)
    fitness = probe(store, clock)
    store.close()
    (clocks,) = (finding for finding in fitness.findings if not finding.ok)
    assert clocks.tried == "clocks"
    assert said in clocks.found


def test_a_store_that_takes_its_own_lock_instead_of_ours_is_unfit(store_settings: StoreSettings) -> None:
    store = ObjectStore(of_writer(store_settings), now=lambda: datetime.now(UTC) + timedelta(days=20))
    fitness = probe(store)
    store.close()
    assert "a lock that a write names" in wrong(fitness)


def test_a_store_that_does_not_check_conditions_is_unfit(
    s3_server: str, store_settings: StoreSettings, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Unconditional(ObjectStore):
        def _put(self, *args: Any, **condition: str) -> Any:
            return super()._put(*args)

    store = Unconditional(of_writer(store_settings))
    fitness = probe(store)
    store.close()
    assert wrong(fitness).keys() == {"a second conditional create", "If-Match with an old etag"}


def test_nothing_is_said_of_a_store_that_is_away(s3_server: str, store_settings: StoreSettings) -> None:
    with FaultProxy(s3_server) as proxy:
        proxy.set(Rule(Fault.DROP_REQUEST, skip=6))
        with pytest.raises(StoreUnavailable):
            probed(of_writer(store_settings, endpoint_url=proxy.address))
        proxy.set(Rule(Fault.ANSWER, status=503, skip=6, count=1))
        assert probed(of_writer(store_settings, endpoint_url=proxy.address)).fit
