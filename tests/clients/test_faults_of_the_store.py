"""The object store through a network and a gateway that fail: what it says then, what is in the bucket."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from uuid import uuid4

import pytest

from interlock.clients.object_store import Keep, ObjectStore, StoreSettings, StoreUnavailable
from tests.fault_proxy import Fault, FaultProxy, Rule


@pytest.fixture(scope="module")
def proxy(s3_server: str) -> Iterator[FaultProxy]:
    with FaultProxy(s3_server) as running:
        yield running


@pytest.fixture
def through(proxy: FaultProxy, store_settings: StoreSettings) -> Iterator[ObjectStore]:
    proxy.clear()
    store = ObjectStore(replace(store_settings, endpoint_url=proxy.address, timeout=2))
    yield store
    store.close()


def key() -> str:
    return f"faults/{uuid4().hex}"


WRITTEN = [
    (Rule(Fault.DROP_ANSWER, method="PUT", count=1), True),
    (Rule(Fault.ANSWER_AFTER, method="PUT", count=1, status=500), True),
    (Rule(Fault.ANSWER_AFTER, method="PUT", count=1, status=503), True),
    (Rule(Fault.DELAY_ANSWER, method="PUT", count=1, seconds=3), True),
    (Rule(Fault.DROP_REQUEST, method="PUT", count=1), False),
    (Rule(Fault.CUT_REQUEST, method="PUT", count=1), False),
    (Rule(Fault.ANSWER, method="PUT", count=1, status=503), False),
]
ROWS = [pytest.param(rule, written, id=f"{rule.fault.name}-{rule.status}") for rule, written in WRITTEN]


@pytest.mark.parametrize(("rule", "written"), ROWS)
def test_after_a_failed_create_only_the_content_tells_whether_it_was_written(
    proxy: FaultProxy, through: ObjectStore, store: ObjectStore, rule: Rule, written: bool
) -> None:
    name = key()
    through.probe()
    proxy.set(replace(rule))
    with pytest.raises(StoreUnavailable, match=f"creating {name}"):
        through.create(name, b"ours")
    assert through.create(name, b"ours") is not written
    assert [one.size for one in store.versions(name)] == [4]


@pytest.mark.parametrize(("rule", "written"), ROWS)
def test_after_a_failed_replace_the_old_etag_no_longer_serves_where_it_was_written(
    proxy: FaultProxy, through: ObjectStore, store: ObjectStore, rule: Rule, written: bool
) -> None:
    name = key()
    through.create(name, b"old", keep=Keep.DERIVED)
    etag = store.read(name).etag
    proxy.set(replace(rule))
    with pytest.raises(StoreUnavailable, match=f"replacing {name}"):
        through.replace(name, b"ours", etag=etag, keep=Keep.DERIVED)
    again = through.replace(name, b"ours", etag=etag, keep=Keep.DERIVED)
    assert (again is None) is written
    assert store.get(name) == b"ours"
    assert len(list(store.versions(name))) == 2


def test_a_race_at_the_store_is_asked_again(proxy: FaultProxy, through: ObjectStore) -> None:
    proxy.set(rule := Rule(Fault.ANSWER, method="PUT", status=409, count=3))
    assert through.create(key(), b"{}")
    assert rule.hits == 3


def test_a_race_without_an_end_is_given_up(proxy: FaultProxy, through: ObjectStore) -> None:
    proxy.set(Rule(Fault.ANSWER, method="PUT", status=409))
    with pytest.raises(StoreUnavailable, match="always another writer"):
        through.create(key(), b"{}")


def test_a_412_is_taken_as_the_store_says_it(proxy: FaultProxy, through: ObjectStore) -> None:
    proxy.set(Rule(Fault.ANSWER, method="PUT", status=412))
    assert not through.create(key(), b"{}")


@pytest.mark.parametrize("fault", [Fault.CUT_ANSWER, Fault.DROP_ANSWER, Fault.DROP_REQUEST])
def test_an_answer_that_does_not_arrive_whole_is_never_content(
    proxy: FaultProxy, through: ObjectStore, fault: Fault
) -> None:
    name = key()
    through.create(name, b"x" * 100_000)
    proxy.set(Rule(fault, method="GET", count=1))
    with pytest.raises(StoreUnavailable, match=f"reading {name}"):
        through.read(name)
    assert through.get(name) == b"x" * 100_000


@pytest.mark.parametrize("listing", ["keys", "versions"])
def test_a_listing_that_is_cut_is_not_taken_as_whole(
    proxy: FaultProxy, through: ObjectStore, listing: str
) -> None:
    name = key()
    through.create(name, b"{}")
    proxy.set(Rule(Fault.CUT_ANSWER, method="GET", count=1))
    with pytest.raises(StoreUnavailable):
        list(getattr(through, listing)(name))
    assert len(list(getattr(through, listing)(name))) == 1


def test_whether_a_bucket_is_trusted_is_asked_again_after_a_failure(
    proxy: FaultProxy, s3_server: str, store_settings: StoreSettings
) -> None:
    with FaultProxy(s3_server) as other:
        store = ObjectStore(replace(store_settings, endpoint_url=other.address))
        other.set(Rule(Fault.ANSWER, key="object-lock", status=503, count=1))
        with pytest.raises(StoreUnavailable):
            store.probe()
        store.probe()
        asked = other.requests
        store.probe()
        ObjectStore(replace(store_settings, endpoint_url=other.address)).probe()
        store.close()
    assert other.requests == asked == 3
