"""Tasks that go back and that somebody cleared: they do what the journal allows, no more."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException
from cleared_train import close, decided, end, images, rollback, somebody_sets
from train_in_memory import TrainInMemory

from interlock.clients.journal import JournalStore, Written
from interlock.operators.train_back import RollbackOperator
from interlock.trains.entries import ServiceJournal
from interlock.trains.plan import Plan


def test_a_train_that_arrived_stays(train: TrainInMemory) -> None:
    assert decided(train) == ()
    assert asyncio.run(train.head()).stop is None


def test_a_failed_task_takes_all_back_and_stops_the_line(train: TrainInMemory) -> None:
    train.ti.states["b.verify"] = "failed"
    assert decided(train) == ("b", "a")
    stop = asyncio.run(train.head()).stop
    assert stop is not None
    assert "b failed: task b.verify failed" in stop.why


def test_a_finished_run_goes_nowhere_when_a_task_of_it_is_cleared(train: TrainInMemory) -> None:
    close(train)
    train.ti.states |= {"a.promote": "failed", "a.verify": "upstream_failed"}
    assert decided(train) == ()
    assert asyncio.run(train.head()).stop is None
    train.ti.states["rollback.decide"] = None
    with pytest.raises(AirflowSkipException, match="undo_train__payments"):
        rollback(train, "a")
    assert images(train) == ["a:2", "b:2"]


def test_what_was_planned_anew_and_never_locked_is_not_what_goes_back(train: TrainInMemory) -> None:
    train.ti.xcoms["plan", "plan"] = Plan.of("payments", "sandbox", []).to_json()
    train.ti.states["b.verify"] = "failed"
    assert decided(train) == ("b", "a")
    train.ti.xcoms["plan", "plan"] = None
    assert decided(train) == ("b", "a")


def test_a_service_that_somebody_changed_after_its_soak_has_not_arrived(train: TrainInMemory) -> None:
    somebody_sets(train, "a", "a:hotfix")
    assert decided(train) == ("b", "a")
    stop = asyncio.run(train.head()).stop
    assert stop is not None
    assert "a:hotfix" in stop.why


# rollback


def test_nothing_goes_back_before_that_is_decided(train: TrainInMemory) -> None:
    train.ti.states["rollback.decide"] = "failed"
    with pytest.raises(AirflowFailException, match="not decided"):
        RollbackOperator(task_id="a", train="payments", service="a").execute(train.context)
    assert images(train) == ["a:2", "b:2"]


def test_nothing_goes_back_while_the_line_is_clear(train: TrainInMemory) -> None:
    with pytest.raises(AirflowSkipException, match="not stopped"):
        rollback(train, "a")
    assert images(train) == ["a:2", "b:2"]


def test_what_goes_back_is_waited_for_also_by_a_second_try(train: TrainInMemory) -> None:
    def was_whole(journal: Any) -> Any:
        first = journal.mutations[0]
        counts = dict.fromkeys(("replicas", "updatedReplicas", "availableReplicas"), 1)
        status = {"observedGeneration": first.before.generation, **counts}
        complete = type(first.before).of({**first.before.raw, "status": status})
        return replace(journal, mutations=(replace(first, before=complete),))

    end(train, was_whole)
    train.ti.states["b.verify"] = "failed"
    decided(train)
    assert rollback(train, "b")
    assert rollback(train, "b")
    assert images(train) == ["a:2", "b:1"]
    # What was written is said; whether it holds, nobody knows yet.
    assert {said["outcome"] for said in train.told} == {"written"}
    assert not any("whole" in said for said in train.told)


def test_what_was_in_trouble_before_is_not_waited_for(train: TrainInMemory) -> None:
    train.ti.states["b.verify"] = "failed"
    decided(train)
    assert not rollback(train, "b")
    assert images(train) == ["a:2", "b:1"]


def test_what_stays_is_not_taken_back_by_clearing_its_rollback(train: TrainInMemory) -> None:
    train.ti.states["b.verify"] = "failed"
    decided(train)
    end(train, lambda journal: journal.ended("kept", "its release is irreversible"), "a")
    with pytest.raises(AirflowSkipException, match="irreversible"):
        rollback(train, "a")
    assert images(train)[0] == "a:2"


def test_what_began_while_it_was_decided_goes_back_as_well(
    train: TrainInMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = asyncio.run(train.journal("b"))
    end(train, lambda found: ServiceJournal("b"), "b")
    seal = JournalStore.seal

    async def late(store: JournalStore, run: str, written: Written, why: str) -> None:
        if written.journal.service == "b":
            # The worker of a promotion that still lives was faster.
            now = await store.service(run, "b")
            await store.write(run, Written(journal, now.version))
        await seal(store, run, written, why)

    monkeypatch.setattr(JournalStore, "seal", late)
    train.ti.states["a.verify"] = "failed"
    assert decided(train) == ("b", "a")
