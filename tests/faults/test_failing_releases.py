"""Each way in which a release can fail, at each service of a train: all goes back, and says why it had to."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import product
from pathlib import Path

import pytest
import yaml
from observed import Observed, observe, specs
from running_sandbox import RunningSandbox
from side_by_side import Job, result, side_by_side
from train_runs import TrainRuns

pytestmark = pytest.mark.sandbox

RELEASES = Path(__file__).resolve().parents[2] / "sandbox" / "releases.yaml"
HALT_SECONDS = 2.0


@dataclass(frozen=True)
class Kind:
    """A way to fail.

    Attributes:
        tag: the release that fails so.
        trains: where it can be tried: their deadlines differ.
        said: what the failing task's log has to say.
        at_once: whether it is known before Interlock's own deadline.
    """

    tag: str
    trains: tuple[str, ...]
    said: str
    at_once: bool


ANY = ("north", "east", "south", "west")
PATIENT, HASTY = ANY[:2], ANY[2:]  # a deadline of three minutes, and one of 20 s
KINDS = {
    "crash": Kind("1.2.0-crash", ANY, "CrashLoopBackOff", True),
    "image": Kind("9.9.9", ANY, "ImagePullBackOff", True),
    "progress": Kind("1.2.0-never-ready", PATIENT, "exceeded its progress deadline", True),
    "never-ready": Kind("1.2.0-never-ready", HASTY, "not complete at its deadline", False),
    "slow": Kind("1.2.0-very-slow", HASTY, "not complete at its deadline", False),
}
PLACES = "abc"
CASES = [f"{kind}-{place}" for kind, place in product(KINDS, PLACES)]
HALTED = "halted"


def _ride(kind: str, place: str) -> Job[Observed]:
    def act(train: TrainRuns) -> Observed:
        before = specs(train)
        failing = f"{train.name}-{place}"
        run_id = train.trigger({**train.new_releases(), failing: KINDS[kind].tag})
        return observe(train, run_id, before)

    return Job(KINDS[kind].trains, act)


def _ride_halted(train: TrainRuns) -> Observed:
    """b crashes while c, which gets ready only after minutes, is on its way beside it."""
    before = specs(train)
    late = {f"{train.name}-b": KINDS["crash"].tag, f"{train.name}-c": "1.2.0-very-slow"}
    return observe(train, train.trigger({**train.new_releases(), **late}), before)


@pytest.fixture(scope="module")
def rides(request: pytest.FixtureRequest, sandbox: RunningSandbox) -> Mapping[str, Observed | BaseException]:
    """The runs of the selected tests, four at a time; those that only two of the trains can make first."""
    selected = {
        item.callspec.params["case"]
        for item in request.session.items
        if isinstance(item, pytest.Function) and item.fspath == request.path and hasattr(item, "callspec")
    }
    picky = sorted(product(KINDS, PLACES), key=lambda case: len(KINDS[case[0]].trains))
    jobs = {f"{kind}-{place}": _ride(kind, place) for kind, place in picky}
    jobs = {HALTED: Job(PATIENT, _ride_halted), **jobs}
    return side_by_side(sandbox, {name: job for name, job in jobs.items() if name in {HALTED, *selected}})


@pytest.mark.parametrize("case", CASES)
def test_a_failing_release_takes_the_train_back_and_says_why(
    case: str, rides: Mapping[str, Observed | BaseException]
) -> None:
    ride = result(rides, case)
    kind, place = KINDS[case.rpartition("-")[0]], case[-1]
    service = f"{ride.train.name}-{place}"
    failing = f"{service}.promote"

    assert ride.state == "failed", ride.tasks
    assert ride.tasks[failing] == "failed", ride.tasks
    _assert_back(ride)

    log = ride.log(failing)
    print(f"{failing} failed after {ride.seconds(failing):.1f} s\n{log}")
    assert kind.said in log
    if kind.at_once:
        assert "not complete at its deadline" not in log
    if kind.tag.endswith("-crash"):
        # The pod's own last words, from the releases of the sandbox.
        image = f"registry.internal/service-{place}"
        assert yaml.safe_load(RELEASES.read_text())["images"][image][kind.tag]["crash"]["log"] in log
    elif "ready" in kind.tag or "slow" in kind.tag:
        assert f"pod {service}-" in log
        assert "ContainersNotReady" in log


@pytest.mark.parametrize("case", CASES)
def test_a_rollback_is_proven_by_close_its_statement_and_the_journal(
    case: str, rides: Mapping[str, Observed | BaseException]
) -> None:
    ride = result(rides, case)
    moved = {name for name, journal in ride.journals.items() if journal["mutations"]}
    expected = {"a": "a", "b": "abc", "c": "abc"}[case[-1]]
    # b and c move at the same time: the one may have failed before the other has begun.
    assert {f"{ride.train.name}-a"} <= moved <= {f"{ride.train.name}-{place}" for place in expected}

    assert {ride.journals[name]["outcome"] for name in moved} == {"rolled-back"}
    assert all(journal["outcome"] == "failed" for name, journal in ride.journals.items() if name not in moved)
    assert ride.seal["outcome"] == "all-old"
    assert {said["service"]: said["verdict"] for said in ride.seal["services"]} == dict.fromkeys(
        ride.train.services, "old"
    )
    log = ride.log("close")
    assert "all old: " in log
    for service in ride.train.services:
        assert f"{service} is old" in log
    for service in moved:
        before = ride.journals[service]["mutations"][0]["before"]["spec"]
        assert ride.specs[1][service] == before


def test_a_failure_halts_the_services_beside_it_within_two_seconds(
    rides: Mapping[str, Observed | BaseException],
) -> None:
    ride = result(rides, HALTED)
    name = ride.train.name
    failed = _logged(ride, f"{name}-b.promote", f"{name}-b")
    halted = _logged(ride, f"{name}-c.promote", "the line was stopped")
    seconds = (halted - failed).total_seconds()
    by_airflow = (ride.ended[f"{name}-c.promote"] - ride.ended[f"{name}-b.promote"]).total_seconds()
    print(f"halted {seconds:.2f} s after the failure was seen; by Airflow's times, {by_airflow:.2f} s")
    assert seconds <= HALT_SECONDS
    assert ride.state == "failed"
    _assert_back(ride)


def _assert_back(ride: Observed) -> None:
    before, after = ride.specs
    assert after == before
    assert ride.whole
    assert ride.holders == {}
    assert ride.heads == ["closed"]


def _logged(ride: Observed, task: str, words: str) -> datetime:
    """When an error with these words was logged."""
    for line in ride.lines(task):
        if line.get("level") == "error" and words in str(line["event"]):
            return datetime.fromisoformat(line["timestamp"])
    pytest.fail(f"{task} logged no error {words!r}:\n{ride.log(task)}")
