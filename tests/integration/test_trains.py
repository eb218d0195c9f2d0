"""Whole trains on a real sandbox: what arrives, what goes back, and what is left behind."""

from __future__ import annotations

import pytest
from running_sandbox import RunningSandbox
from train_runs import ENDED, TrainRuns, other

pytestmark = pytest.mark.sandbox

SERVICES = ("service-a", "service-b", "service-c")


@pytest.fixture
def payments(sandbox: RunningSandbox) -> TrainRuns:
    return sandbox.train("payments")


@pytest.fixture
def before(payments: TrainRuns) -> dict[str, str]:
    """The live images, once no other run is under way."""
    payments.settle()
    images = payments.images()
    assert set(images) == set(SERVICES)
    return images


def _image(service: str, tag: str) -> str:
    return f"registry.internal/{service}:{tag}"


def _new(before: dict[str, str]) -> dict[str, str]:
    return {service: other(before[service]) for service in SERVICES}


def _assert_back(payments: TrainRuns, run_id: str, before: dict[str, str]) -> None:
    assert payments.images() == before
    assert payments.whole()
    assert payments.holders() == {}
    assert payments.head_states(run_id) == ["closed"]


def test_a_good_train_moves_a_and_then_b_and_c_in_parallel(
    payments: TrainRuns, before: dict[str, str]
) -> None:
    wanted = _new(before)
    run_id = payments.trigger(wanted)
    state, tasks = payments.wait(run_id)

    assert state == "success", tasks
    assert payments.images() == {service: _image(service, tag) for service, tag in wanted.items()}
    assert payments.whole()
    started, ended = payments.times(run_id)
    for service in ("service-b", "service-c"):
        assert started[f"{service}.promote"] >= ended["service-a.verify"]
    # They overlap: each began to move before the other one was verified.
    assert started["service-b.promote"] < ended["service-c.verify"]
    assert started["service-c.promote"] < ended["service-b.verify"]
    assert payments.holders() == {}
    assert payments.head_states(run_id) == ["closed"]


def test_a_release_that_crashes_takes_the_whole_train_back_in_reverse_order(
    payments: TrainRuns, before: dict[str, str]
) -> None:
    run_id = payments.trigger({**_new(before), "service-c": "1.2.0-crash"})
    state, tasks = payments.wait(run_id)

    assert state == "failed", tasks
    assert tasks["rollback.service-a"] == "success"
    assert tasks["rollback.service-c"] == "success"
    _assert_back(payments, run_id, before)
    started, ended = payments.times(run_id)
    for service in ("service-b", "service-c"):
        assert started["rollback.service-a"] >= ended[f"rollback.{service}"]


def test_an_image_that_does_not_exist_takes_the_train_back(
    payments: TrainRuns, before: dict[str, str]
) -> None:
    run_id = payments.trigger({"service-a": other(before["service-a"]), "service-b": "9.9.9"})
    state, tasks = payments.wait(run_id)

    assert state == "failed", tasks
    assert tasks["rollback.service-a"] == tasks["rollback.service-b"] == "success"
    _assert_back(payments, run_id, before)


def test_releases_that_are_live_already_change_nothing(payments: TrainRuns, before: dict[str, str]) -> None:
    generations = payments.generations()
    run_id = payments.trigger({service: image.rpartition(":")[2] for service, image in before.items()})
    state, tasks = payments.wait(run_id)

    assert state == "success", tasks
    assert payments.images() == before
    assert payments.generations() == generations
    assert payments.holders() == {}


def test_a_dry_run_writes_nothing(payments: TrainRuns, before: dict[str, str]) -> None:
    offset = payments.sandbox.audit_offset()
    run_id = payments.trigger({**_new(before), "dry_run": True})
    state, tasks = payments.wait(run_id)

    assert state == "success", tasks
    reads, writes = payments.sandbox.audit_since(offset)
    assert reads, "the audit log should hold the reads that made the plan"
    assert writes == []
    assert payments.images() == before
    assert payments.head_states(run_id) == []


def test_a_conf_key_that_is_no_service_fails_the_plan_and_moves_nothing(
    payments: TrainRuns, before: dict[str, str]
) -> None:
    generations = payments.generations()
    run_id = payments.trigger({"service-a": other(before["service-a"]), "service-z": "1.0.0"})
    state, tasks = payments.wait(run_id)

    assert state == "failed", tasks
    assert tasks["plan"] == "failed"
    assert payments.images() == before
    assert payments.generations() == generations
    assert payments.holders() == {}


def test_a_run_that_is_marked_failed_while_it_promotes_goes_back(
    payments: TrainRuns, before: dict[str, str]
) -> None:
    slow = _image("service-a", "1.2.0-very-slow")
    run_id = payments.trigger({"service-a": "1.2.0-very-slow"})
    payments.sandbox.until(
        lambda: (
            payments.images()["service-a"] == slow
            and payments.task_states(run_id)["service-a.promote"] in ("running", "deferred")
        ),
        120,
        "service-a to be on its way",
    )
    payments.mark_failed(run_id)

    seconds = payments.sandbox.until(
        lambda: payments.images() == before and not payments.holders(), 90, "service-a to go back"
    )
    print(f"went back in {seconds:.1f} s")
    payments.sandbox.until(lambda: payments.task_states(run_id)["close"] in ENDED, 60, "the run to close")
    state, tasks = payments.wait(run_id)
    assert state == "failed", tasks
    _assert_back(payments, run_id, before)


def test_services_keep_their_order_also_where_the_one_between_them_is_not_on_board(
    sandbox: RunningSandbox,
) -> None:
    sandbox.train("shaken").settle()
    train = sandbox.train("chained")
    train.settle()
    new = train.new_releases()
    run_id = train.trigger({name: new[name] for name in ("shaken-a", "shaken-c")})
    state, tasks = train.wait(run_id)

    assert state == "success", tasks
    assert tasks["shaken-b.promote"] == "skipped"
    started, ended = train.times(run_id)
    assert started["shaken-c.promote"] >= ended["shaken-a.verify"]
