"""Tasks that go on and that somebody cleared: lock, approve, promote."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException
from cleared_train import close, end, holders, images, lock, somebody_sets
from memory_cluster import MemoryCluster
from moved_train import HOLDER, IMAGE, NOW, ref
from train_in_memory import HASH, TrainInMemory, waits

from interlock.clients.kubernetes import Unreachable
from interlock.clients.locks import all_held, take_all
from interlock.operators.train_service import PromoteOperator
from interlock.runs.lock import needs_approval
from interlock.trains.change import Change, FieldWrite
from interlock.trains.entries import head_name
from interlock.trains.lock import FENCE
from interlock.trains.plan import Plan


def test_a_further_try_of_lock_does_not_lift_a_stop_but_a_clear_does(train: TrainInMemory) -> None:
    head = asyncio.run(train.head())
    asyncio.run(train.store.stop(head_name(HASH), by="Ada", why="pages fail", now=NOW))
    with pytest.raises(AirflowFailException, match=r"pages fail \(by Ada\)"):
        lock(train)
    assert holders(train) == 2
    train.context["dag_run"] = SimpleNamespace(clear_number=head.clear_number + 1)
    lock(train)
    assert asyncio.run(train.head()).stop is None


def test_a_service_that_was_renamed_is_not_fenced_off_by_its_former_locks(train: TrainInMemory) -> None:
    asyncio.run(train.cluster.merge(ref("a"), {"metadata": {"annotations": {FENCE: "6-back"}}}))
    assert lock(train) == {"a": 7, "b": 2}


def test_a_run_that_starts_over_is_fenced_from_its_former_self(train: TrainInMemory) -> None:
    assert lock(train) == {"a": 2, "b": 2}
    assert images(train) == ["a:2", "b:2"]


@pytest.mark.parametrize("closed", [True, False])
def test_what_was_moved_and_changed_since_is_not_moved_again(train: TrainInMemory, closed: bool) -> None:
    if closed:
        close(train)
    somebody_sets(train, "a", "a:3")
    with pytest.raises(AirflowFailException, match=r"a:3.*Trigger a new run"):
        lock(train)
    assert images(train) == ["a:3", "b:2"]
    # The locks of what is to go back stay with an open run; a closed one keeps none.
    assert holders(train) == (0 if closed else 2)


def test_a_write_that_never_arrived_does_not_stand_in_the_way(train: TrainInMemory) -> None:
    somebody_sets(train, "a", "a:1")
    assert lock(train) == {"a": 2, "b": 2}


def test_a_run_that_left_something_not_whole_does_not_go_on(train: TrainInMemory) -> None:
    end(train, lambda journal: journal.ended("not-whole", "somebody changed it"), "b")
    with pytest.raises(AirflowFailException, match=r"b not whole \(somebody changed it\)"):
        lock(train)
    assert holders(train) == 2


def test_a_plan_that_no_longer_holds_frees_the_locks_when_nothing_moved(train: TrainInMemory) -> None:
    train.ti.run_id = "manual__2"
    asyncio.run(train.store.close(asyncio.run(train.head()), NOW, "all-new"))
    for lease in asyncio.run(all_held(train.cluster, "interlock")):
        asyncio.run(train.cluster.delete(lease.ref, lease.uid))
    with pytest.raises(AirflowFailException, match="Clear the task `plan`"):
        lock(train)
    assert holders(train) == 0


def test_who_stays_goes_on_from_there(train: TrainInMemory) -> None:
    end(train, lambda journal: journal.ended("kept", "its release is irreversible"), "a")
    lock(train)
    assert asyncio.run(train.journal("a")).outcome is None


def test_a_lost_answer_to_a_take_is_our_own_lock(train: TrainInMemory) -> None:
    class LosesOne(MemoryCluster):
        lost = False

        async def create(self, manifest: Any, *, dry_run: bool = False) -> Any:
            made = await super().create(manifest, dry_run=dry_run)
            if not self.lost:
                self.lost = True
                return await super().create(manifest)
            return made

    cluster = LosesOne()
    taken = asyncio.run(take_all(cluster, "payments", "interlock", ["a", "b"], HOLDER, NOW))  # type: ignore[arg-type]
    assert taken == {"a": 2, "b": 1}


@pytest.mark.parametrize(
    ("asked", "answer", "said"),
    [
        ("same", {"chosen_options": ["Approve"]}, ""),
        ("same", None, "only marked as success"),
        ("same", {"chosen_options": ["Reject"]}, "only marked as success"),
        ("another", {"chosen_options": ["Approve"]}, "was made again since"),
        (None, None, "is not approved"),
    ],
)
def test_an_approval_is_an_answer_about_this_plan(
    train: TrainInMemory, asked: str | None, answer: Any, said: str
) -> None:
    plan = Plan.from_json(train.ti.xcoms["plan", "plan"])
    train.ti.xcoms["approve", "plan"] = plan.hash if asked == "same" else asked
    train.ti.xcoms["approve", "return_value"] = answer
    if said:
        with pytest.raises(AirflowFailException, match=said):
            needs_approval(train.ti, plan)
    else:
        needs_approval(train.ti, plan)


def promote(train: TrainInMemory, service: str) -> bool:
    task = PromoteOperator(task_id="promote", train="payments", service=service)
    train.ti.states.pop("rollback.decide", None)
    return waits(task.execute, train.context)


def test_a_plan_that_was_made_again_is_not_promoted_under_the_locks_of_another(train: TrainInMemory) -> None:
    change = Change("a", ref("a"), (FieldWrite(IMAGE, "a:2", "a:3", None),))
    train.ti.xcoms["plan", "plan"] = Plan.of("payments", "sandbox", [change]).to_json()
    with pytest.raises(AirflowFailException, match=r"holds no locks for plan .*made again since"):
        promote(train, "a")
    assert images(train)[0] == "a:2"


def test_the_line_is_stopped_whatever_a_promotion_fails_of(
    train: TrainInMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(*_: Any, **__: Any) -> Any:
        raise Unreachable("the API server is away")

    monkeypatch.setattr(train.cluster, "get_all", away)
    with pytest.raises(AirflowFailException, match="away"):
        promote(train, "a")
    stop = asyncio.run(train.head()).stop
    assert stop is not None
    assert (stop.by, stop.why) == ("a", "the API server is away")
