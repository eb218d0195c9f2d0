"""Somebody else changes a service between its promotion and its rollback."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest
from observed import Observed, observe, specs
from running_sandbox import RunningSandbox
from side_by_side import Job, result, side_by_side
from train_runs import NAMESPACE, TrainRuns

pytestmark = pytest.mark.sandbox

HAND_MADE = "registry.internal/service-a:1.2.0-5xx"  # no good release, but one that gets ready


def _ride(meddle: Callable[[TrainRuns, str], None]) -> Callable[[TrainRuns], Observed]:
    """Move a, change it by hand while c is on its way, then stop the line."""

    def act(train: TrainRuns) -> Observed:
        before = specs(train)
        a, c = f"{train.name}-a", f"{train.name}-c"
        run_id = train.trigger({a: train.new_releases()[a], c: "1.2.0-very-slow"})
        moved = {f"{a}.verify": "success", f"{c}.promote": "deferred"}
        train.sandbox.until(
            lambda: moved.items() <= train.task_states(run_id).items(), 180, f"{c} to be on its way"
        )
        meddle(train, a)
        train.sandbox.interlock("stop", "--by", "tests", "--reason", "enough seen", run_id)
        return observe(train, run_id, before)

    return act


def _scale(train: TrainRuns, service: str) -> None:
    train.sandbox.kubectl_run("-n", NAMESPACE, "scale", f"deployment/{service}", "--replicas=2")


def _set_image(train: TrainRuns, service: str) -> None:
    train.sandbox.kubectl_run("-n", NAMESPACE, "set", "image", f"deployment/{service}", f"app={HAND_MADE}")


@pytest.fixture(scope="module")
def rides(sandbox: RunningSandbox) -> Mapping[str, Observed | BaseException]:
    return side_by_side(
        sandbox,
        {
            "another field": Job(("north",), _ride(_scale)),
            "the same field": Job(("east",), _ride(_set_image)),
        },
    )


def test_a_field_that_the_run_did_not_write_keeps_the_value_it_was_given_since(
    rides: Mapping[str, Observed | BaseException],
) -> None:
    ride = result(rides, "another field")
    before, after = ride.specs
    try:
        assert ride.state == "failed", ride.tasks
        assert after == {**before, "north-a": {**before["north-a"], "replicas": 2}}
        assert ride.whole
        assert (ride.holders, ride.heads) == ({}, ["closed"])
        assert ride.seal["outcome"] == "all-old"
    finally:
        ride.train.sandbox.kubectl_run("-n", NAMESPACE, "scale", "deployment/north-a", "--replicas=1")


def test_a_field_that_the_run_wrote_and_somebody_changed_since_is_left_and_named_everywhere(
    sandbox: RunningSandbox, rides: Mapping[str, Observed | BaseException]
) -> None:
    ride = result(rides, "the same field")
    assert ride.state == "failed", ride.tasks
    before, after = ride.specs
    changed = {name for name in after if after[name] != before[name]}
    assert changed == {"east-a"}
    assert after["east-a"]["template"]["spec"]["containers"][0]["image"] == HAND_MADE
    assert (ride.holders, ride.heads) == ({}, ["closed"])

    (line,) = [line for line in ride.log("close").splitlines() if "east-a is not whole" in line][:1]
    assert HAND_MADE in line
    assert ride.seal["outcome"] == "not-whole"
    said = {service["service"]: service for service in ride.seal["services"]}
    assert said["east-a"]["verdict"] == "not-whole"
    assert HAND_MADE in said["east-a"]["reason"]
    assert said["east-c"]["verdict"] == "old"
    assert ride.journals["east-a"]["outcome"] == "not-whole"
    status = sandbox.interlock("status").splitlines()
    at = next(number for number, line in enumerate(status) if ride.run_id in line)
    assert status[at + 1].startswith("    east-a: NOT WHOLE: "), status
    assert HAND_MADE in status[at + 1]

    # A later train that moves the service settles it.
    run_id = ride.train.trigger({"east-a": "1.0.0"})
    assert ride.train.wait(run_id)[0] == "success"
    assert ride.run_id not in sandbox.interlock("status")
