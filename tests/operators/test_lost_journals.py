"""A run whose journal somebody deletes on its way: nothing is claimed that the cluster doesn't show."""

from __future__ import annotations

import asyncio

import pytest
from airflow.sdk.exceptions import AirflowFailException
from cleared_train import close, decided, holders, images, rollback, somebody_sets
from moved_train import HOLDER, NOW, SANDBOX
from train_in_memory import HASH, TrainInMemory

from interlock.clients.locks import release_all
from interlock.manifest import ObjectRef
from interlock.runs.run import VERDICT_KEY
from interlock.status import status
from interlock.trains.entries import head_name, service_name


def delete(train: TrainInMemory, *names: str) -> None:
    for name in names:
        ref = ObjectRef("v1", "Secret", "interlock", name)
        found = asyncio.run(train.cluster.get(ref))
        assert found is not None
        asyncio.run(train.cluster.delete(ref, found.uid))


HEAD, A, B = head_name(HASH), service_name(HASH, "a"), service_name(HASH, "b")


def shown(train: TrainInMemory) -> str:
    return "\n".join(asyncio.run(status(train.cluster, SANDBOX)))  # type: ignore[arg-type]


def test_without_its_head_a_run_that_arrived_goes_back(train: TrainInMemory) -> None:
    delete(train, HEAD)
    assert "HEAD GONE" in shown(train)
    assert "for a, b" in shown(train)
    assert decided(train) == ("b", "a")
    head = asyncio.run(train.head())
    assert head.stop is not None
    assert f"Secret {HEAD} of namespace interlock, the run's journal, was deleted" in head.stop.why
    assert "HEAD GONE" not in shown(train)
    for name in "ba":
        rollback(train, name)
    asyncio.run(train.complete("a", "b"))
    with pytest.raises(AirflowFailException, match=r"all old: .*Failed: the line was stopped.*was deleted"):
        close(train)
    assert (images(train), holders(train)) == (["a:1", "b:1"], 0)


def test_without_any_journal_what_is_live_is_named_and_never_called_old(train: TrainInMemory) -> None:
    delete(train, HEAD, A, B)
    assert decided(train) == ()
    with pytest.raises(AirflowFailException, match=r"not whole: a is not whole: Deployment/a .* as planned"):
        close(train)
    assert "all old" not in train.ti.pushed[VERDICT_KEY]
    assert images(train) == ["a:2", "b:2"]
    assert (asyncio.run(train.head()).closed, holders(train)) == (True, 0)
    assert "runs that ended not whole: 1" in shown(train)
    assert shown(train).count("NOT WHOLE") == 2


def test_without_the_journal_of_one_service_the_others_go_back_and_it_is_named(train: TrainInMemory) -> None:
    delete(train, A)
    assert decided(train) == ("b",)
    stop = asyncio.run(train.head()).stop
    assert stop is not None
    assert stop.why.startswith("a failed: Deployment/a ")
    assert "journal does not say that it moved" in stop.why
    rollback(train, "b")
    asyncio.run(train.complete("a", "b"))
    with pytest.raises(AirflowFailException, match=r"not whole: a is not whole.*b is old"):
        close(train)
    assert images(train) == ["a:2", "b:1"]
    assert "a: NOT WHOLE: Deployment/a" in shown(train)


def test_a_head_that_is_deleted_after_the_decision_is_made_again_by_close(train: TrainInMemory) -> None:
    assert decided(train) == ()
    delete(train, HEAD)
    with pytest.raises(AirflowFailException, match=r"a, b did not go back"):
        close(train)
    assert "did not go back" in train.ti.pushed[VERDICT_KEY]
    head = asyncio.run(train.head())
    assert (head.closed, holders(train)) == (False, 2)


def test_without_journal_and_locks_a_run_is_judged_by_what_is_live(train: TrainInMemory) -> None:
    delete(train, HEAD, A, B)
    asyncio.run(release_all(train.cluster, "interlock", HOLDER, NOW))  # type: ignore[arg-type]
    somebody_sets(train, "b", "b:1")
    with pytest.raises(
        AirflowFailException, match=r"a is not whole.*; b is old.*journal of this run is gone"
    ):
        close(train)
    assert asyncio.run(train.store.head(HASH)) is None
