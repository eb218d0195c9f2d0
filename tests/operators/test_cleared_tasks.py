"""Tasks of a train that somebody cleared, alone or long after: they do what the journal allows, no more."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException
from memory_cluster import MemoryCluster
from moved_train import HOLDER, IMAGE, NOW, image, moved, ref
from train_in_memory import HASH, TrainInMemory, waits

from interlock.clients.journal import JournalStore, Written
from interlock.clients.kubernetes import Unreachable
from interlock.clients.locks import all_held, take_all
from interlock.operators.train_end import CloseOperator, DecideOperator, RollbackOperator
from interlock.operators.train_service import PromoteOperator
from interlock.runs.lock import lock_and_open, needs_approval
from interlock.runs.run import DRY_KEY, Run
from interlock.trains.change import Change, FieldWrite
from interlock.trains.entries import ServiceJournal, head_name
from interlock.trains.fields import put
from interlock.trains.lock import FENCE, HeldBy
from interlock.trains.plan import Plan


@pytest.fixture
def train(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> TrainInMemory:
    made = TrainInMemory(asyncio.run(moved()), monkeypatch, tmp_path)
    made.plan_is(Plan.from_json(asyncio.run(made.head()).plan))
    made.arrived()
    asyncio.run(made.complete("a", "b"))
    return made


def decided(train: TrainInMemory) -> tuple[str, ...]:
    task = DecideOperator(task_id="decide", train="payments")
    return asyncio.run(task._decide(Run.of("payments", train.context), train.ti))


def rollback(train: TrainInMemory, service: str) -> bool:
    train.ti.states["rollback.decide"] = "success"
    return waits(RollbackOperator(task_id=service, train="payments", service=service).execute, train.context)


def close(train: TrainInMemory) -> None:
    train.ti.states.setdefault("rollback.decide", "success")
    CloseOperator(task_id="close", train="payments").execute(train.context)


def lock(train: TrainInMemory) -> dict[str, int] | HeldBy:
    run = Run.of("payments", train.context)
    return asyncio.run(lock_and_open(run, train.cluster, NOW))  # type: ignore[arg-type]


def somebody_sets(train: TrainInMemory, name: str, value: str) -> None:
    live = asyncio.run(train.cluster.get(ref(name)))
    assert live is not None
    asyncio.run(train.cluster.replace(type(live).of(put(live.raw, IMAGE, value))))


def images(train: TrainInMemory) -> list[str]:
    return [asyncio.run(image(train.cluster, name)) for name in "ab"]


def holders(train: TrainInMemory) -> int:
    return len(asyncio.run(all_held(train.cluster, "interlock")))


def end(train: TrainInMemory, how: Any = None, names: str = "ab") -> None:
    """Write an outcome into the journals of services."""
    for name in names:
        written = asyncio.run(train.store.service(HASH, name))
        asyncio.run(train.store.write(HASH, Written(how(written.journal), written.version)))


# decide


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


# close


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
    train.ti.states |= {"lock": "success"}
    with pytest.raises(AirflowFailException, match=r"all old: .*this run has no journal"):
        close(train)


def test_a_decision_that_somebody_marked_as_made_gives_nothing_away(train: TrainInMemory) -> None:
    train.ti.states |= {"b.verify": "failed", "rollback.decide": "success"}
    with pytest.raises(AirflowFailException, match="did not go back"):
        close(train)
    assert holders(train) == 2


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


# lock


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


# approve and promote


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
