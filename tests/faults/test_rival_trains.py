"""Two trains that share their services, in opposite order."""

from __future__ import annotations

import pytest
from held_writes import HeldWrites, change_of
from running_sandbox import RunningSandbox
from train_runs import TrainRuns

pytestmark = pytest.mark.sandbox

Pair = tuple[TrainRuns, TrainRuns]


@pytest.fixture
def pair(sandbox: RunningSandbox) -> Pair:
    upward, downward = sandbox.train("upward"), sandbox.train("downward")
    upward.settle()
    downward.settle()
    return upward, downward


def _other(train: TrainRuns, run_id: str, first: TrainRuns, first_id: str) -> None:
    """Wait until a run waits for the lock that another holds, and says so."""
    train.sandbox.until(
        lambda: f"is held by {first.dag_id}/{first_id}" in train.log(run_id, "lock"),
        120,
        f"{run_id} to say that it waits for {first_id}",
    )


def test_started_together_one_moves_and_the_other_waits_and_then_refuses_its_stale_plan(pair: Pair) -> None:
    generations = pair[0].generations()
    wanted = pair[0].new_releases()
    runs = {train.trigger(wanted): train for train in pair}
    ends = {run_id: train.wait(run_id) for run_id, train in runs.items()}

    states = {run_id: state for run_id, (state, _) in ends.items()}
    assert sorted(states.values()) == ["failed", "success"], ends
    loser, winner = sorted(states, key=states.__getitem__)
    # One change of each service's image: the loser has written nothing at any time.
    assert pair[0].generations() == {name: number + 1 for name, number in generations.items()}
    assert runs[loser].head_states(loser) == []
    started, _ = runs[loser].times(loser)
    assert not {task for task in started if task.endswith(("promote", "verify"))} - _skipped(ends[loser][1])
    log = runs[loser].log(loser, "lock")
    assert f"is held by {runs[winner].dag_id}/{winner}" in log
    assert "the plan no longer holds" in log
    assert "Clear the task `plan`" in log
    assert pair[0].holders() == {}
    assert pair[0].whole()


def test_the_waiting_train_goes_on_when_the_first_one_went_back(pair: Pair, held: HeldWrites) -> None:
    first, second = pair
    good = first.new_releases()
    before = first.images()
    # Both plan from the same state: the first one moves nothing until the second one waits.
    with held.hold(change_of("pair-a")) as change:
        first_id = first.trigger({**good, "pair-b": "1.2.0-never-ready"})
        change.wait()
        second_id = second.trigger(good)
        _other(second, second_id, first, first_id)
    first.sandbox.until(
        lambda: first.task_states(first_id)["pair-b.promote"] == "deferred", 120, "pair-b to be on its way"
    )
    assert set(first.holders().values()) == {f"{first.dag_id}/{first_id}"}
    first.sandbox.interlock("stop", "--by", "tests", "--reason", "enough seen", first_id)

    assert first.wait(first_id)[0] == "failed"
    state, tasks = second.wait(second_id)
    assert state == "success", tasks
    assert second.images() == {name: f"{before[name].rpartition(':')[0]}:{tag}" for name, tag in good.items()}
    # Never interleaved: the second one moved only after the first one had closed.
    assert second.times(second_id)[0]["pair-b.promote"] > first.times(first_id)[0]["close"]
    assert second.holders() == {}
    assert second.whole()


def test_a_release_that_was_live_only_while_another_train_moved_is_no_longer(pair: Pair) -> None:
    first, second = pair
    good = first.new_releases()
    first_id = first.trigger({**good, "pair-b": "1.2.0-never-ready"})
    first.sandbox.until(
        lambda: first.task_states(first_id)["pair-b.promote"] == "deferred", 120, "pair-b to be on its way"
    )
    second_id = second.trigger({"pair-a": good["pair-a"]})
    _other(second, second_id, first, first_id)
    assert "already live" in second.log(second_id, "plan")
    first.sandbox.interlock("stop", "--by", "tests", "--reason", "enough seen", first_id)

    assert first.wait(first_id)[0] == "failed"
    assert second.wait(second_id)[0] == "failed"
    assert "the plan no longer holds" in second.log(second_id, "lock")
    assert second.holders() == {}
    assert second.whole()


def test_a_waiting_train_can_be_cancelled_and_leaves_no_lock(pair: Pair) -> None:
    first, second = pair
    first_id = first.trigger({**first.new_releases(), "pair-b": "1.2.0-never-ready"})
    first.sandbox.until(lambda: len(first.holders()) == 2, 120, "the first train's locks")
    second_id = second.trigger(first.new_releases())
    _other(second, second_id, first, first_id)
    second.mark_failed(second_id)
    second.sandbox.until(
        lambda: second.task_states(second_id)["close"] in ("success", "failed"),
        120,
        "the waiting run's close",
    )
    assert second.wait(second_id)[0] == "failed"
    assert set(first.holders().values()) == {f"{first.dag_id}/{first_id}"}
    assert second.head_states(second_id) == []

    first.sandbox.interlock("stop", "--by", "tests", "--reason", "enough seen", first_id)
    assert first.wait(first_id)[0] == "failed"
    assert first.holders() == {}
    assert first.whole()


def _skipped(tasks: dict[str, str | None]) -> set[str]:
    """Airflow gives skipped and upstream-failed tasks a start, too."""
    return {task for task, state in tasks.items() if state in ("skipped", "upstream_failed")}
