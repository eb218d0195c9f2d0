"""Somebody deletes the journal of a run that is under way."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest
from fault_runs import VERY_SLOW
from observed import Observed, observe, specs
from running_sandbox import RunningSandbox
from side_by_side import Job, result, side_by_side
from train_runs import TrainRuns

pytestmark = pytest.mark.sandbox


def _ride(more: str) -> Callable[[TrainRuns], Observed]:
    """Move a, delete journal Secrets of the run while c is on its way, then fail c."""

    def act(train: TrainRuns) -> Observed:
        before = specs(train)
        a, c = f"{train.name}-a", f"{train.name}-c"
        run_id = train.trigger({a: train.new_releases()[a], c: VERY_SLOW})
        moved = {f"{a}.verify": "success", f"{c}.promote": "deferred"}
        train.sandbox.until(
            lambda: moved.items() <= train.task_states(run_id).items(), 180, f"{c} to be on its way"
        )
        which = f"interlock.internal/run={train.run_hash(run_id)}{more}"
        train.sandbox.kubectl_run("-n", "interlock", "delete", "secret", "-l", which)
        task = f"/api/v2/dags/{train.dag_id}/dagRuns/{run_id}/taskInstances/{c}.promote"
        train.sandbox.send("PATCH", task, {"new_state": "failed"})
        return observe(train, run_id, before)

    return act


@pytest.fixture(scope="module")
def rides(sandbox: RunningSandbox) -> Mapping[str, Observed | BaseException]:
    return side_by_side(
        sandbox,
        {
            "head": Job(("west",), _ride(",interlock.internal/journal=run")),
            "all": Job(("south",), _ride("")),
        },
    )


def test_without_its_head_all_that_moved_goes_back(rides: Mapping[str, Observed | BaseException]) -> None:
    ride = result(rides, "head")
    assert ride.state == "failed", ride.tasks
    before, after = ride.specs
    assert after == before
    assert ride.whole
    assert (ride.holders, ride.heads) == ({}, ["closed"])
    assert ride.seal["outcome"] == "all-old"
    assert "the run's journal, was deleted while the run held its locks" in ride.log("close")


def test_without_any_journal_what_moved_is_named_everywhere_and_never_called_old(
    sandbox: RunningSandbox, rides: Mapping[str, Observed | BaseException]
) -> None:
    ride = result(rides, "all")
    assert ride.state == "failed", ride.tasks
    before, after = ride.specs
    assert {name for name in after if after[name] != before[name]} == {"south-a", "south-c"}
    assert (ride.holders, ride.heads) == ({}, ["closed"])
    assert "south-a is not whole: Deployment/south-a" in ride.log("close")
    assert ride.seal["outcome"] == "not-whole"
    said = {service["service"]: service["verdict"] for service in ride.seal["services"]}
    assert said == {"south-a": "not-whole", "south-c": "not-whole"}
    status = sandbox.interlock("status")
    assert ride.run_id in status
    assert "south-a: NOT WHOLE: " in status

    # A later train that moves the services settles it.
    run_id = ride.train.trigger({"south-a": "1.0.0", "south-c": "1.0.0"})
    assert ride.train.wait(run_id)[0] == "success"
    assert ride.run_id not in sandbox.interlock("status")
