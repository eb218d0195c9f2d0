"""`close` that somebody cleared, alone or long after: it does what the journal allows, no more."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException
from cleared_train import close, decided, holders, images, rollback, somebody_sets
from train_in_memory import HASH, TrainInMemory

from interlock.clients.kubernetes import Unreachable
from interlock.runs.run import DRY_KEY, LOCKED_KEY
from interlock.trains.plan import Plan


def test_a_run_that_arrived_is_closed_and_sealed_and_its_locks_are_free(train: TrainInMemory) -> None:
    close(train)
    assert asyncio.run(train.head()).closed
    assert (holders(train), train.told) == (0, [{"sealed": True}])


def test_locks_are_held_until_the_journal_is_closed(
    train: TrainInMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: Any, **__: Any) -> None:
        raise Unreachable("the API server is away")

    with monkeypatch.context() as patched:
        patched.setattr("interlock.clients.journal.JournalStore.close", away)
        with pytest.raises(Unreachable):
            close(train)
    assert holders(train) == 2
    with monkeypatch.context() as patched:
        patched.setattr("interlock.clients.locks.give_back", away)
        with pytest.raises(Unreachable):
            close(train)
    assert asyncio.run(train.head()).closed
    close(train)
    assert (holders(train), train.told) == (0, [{"sealed": True}])


def test_a_closed_run_is_judged_by_its_journal_whatever_is_live_by_now(train: TrainInMemory) -> None:
    close(train)
    somebody_sets(train, "a", "a:3")
    before = asyncio.run(train.store.services(HASH, ["a", "b"]))
    close(train)
    train.ti.states["a.promote"] = "failed"
    with pytest.raises(AirflowFailException, match=r"Failed: task a\.promote"):
        close(train)
    assert asyncio.run(train.store.services(HASH, ["a", "b"])) == before


def test_what_did_not_go_back_keeps_the_journal_open_and_the_locks(train: TrainInMemory) -> None:
    train.ti.states["b.verify"] = "failed"
    decided(train)
    # Also when the plan is gone from the run: the journal has it.
    train.ti.xcoms["plan", "plan"] = None
    with pytest.raises(AirflowFailException, match=r"a, b did not go back.*`rollback.decide`"):
        close(train)
    assert not asyncio.run(train.head()).closed
    assert holders(train) == 2


def test_what_the_scope_of_a_service_leaves_is_named_and_the_run_ends(train: TrainInMemory) -> None:
    head = asyncio.run(train.head())
    changes = Plan.from_json(head.plan).changes
    narrow = Plan.of("payments", "sandbox", changes, rollback="service")
    asyncio.run(train.store.open(replace(head, plan=narrow.to_json())))
    train.ti.states["b.verify"] = "failed"
    assert decided(train) == ("b",)
    rollback(train, "b")
    with pytest.raises(AirflowFailException, match=r"not whole: a is kept: it is verified.*; b is old"):
        close(train)
    assert images(train) == ["a:2", "b:1"]
    assert asyncio.run(train.head()).closed
    assert holders(train) == 0


@pytest.mark.parametrize(("dry", "failed"), [(True, False), (False, True)])
def test_only_a_dry_run_may_end_well_without_having_moved(
    train: TrainInMemory, dry: bool, failed: bool
) -> None:
    train.ti.run_id = "another run, with nothing in the cluster"
    somebody_sets(train, "a", "a:1")
    train.ti.states |= {"lock": "skipped"}
    train.ti.xcoms["plan", DRY_KEY] = dry
    if failed:
        with pytest.raises(AirflowFailException):
            close(train)
    else:
        close(train)


def test_a_run_that_never_locked_says_nothing_of_what_others_moved(train: TrainInMemory) -> None:
    train.ti.run_id = "manual__2"
    train.ti.states |= {"lock": "failed"}
    del train.ti.xcoms["lock", LOCKED_KEY]
    with pytest.raises(AirflowFailException, match=r"all old: .*this run has no journal"):
        close(train)


def test_a_decision_that_somebody_marked_as_made_gives_nothing_away(train: TrainInMemory) -> None:
    train.ti.states |= {"b.verify": "failed", "rollback.decide": "success"}
    with pytest.raises(AirflowFailException, match="did not go back"):
        close(train)
    assert holders(train) == 2
