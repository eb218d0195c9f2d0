"""Whole trains on a real sandbox: what arrives, what goes back, and what is left behind."""

from __future__ import annotations

import pytest
from running_sandbox import SERVICES, RunningSandbox, other

pytestmark = pytest.mark.sandbox

ENDED = ("success", "failed")


@pytest.fixture
def before(sandbox: RunningSandbox) -> dict[str, str]:
    """The live images, once no other run is under way."""
    sandbox.settle()
    images = sandbox.images()
    assert set(images) == set(SERVICES)
    return images


def _image(service: str, tag: str) -> str:
    return f"registry.internal/{service}:{tag}"


def _new(before: dict[str, str]) -> dict[str, str]:
    return {service: other(before[service]) for service in SERVICES}


def _assert_back(sandbox: RunningSandbox, run_id: str, before: dict[str, str]) -> None:
    assert sandbox.images() == before
    assert sandbox.whole()
    assert sandbox.holders() == {}
    assert sandbox.head_states(run_id) == ["closed"]


def test_a_good_train_moves_a_and_then_b_and_c_in_parallel(
    sandbox: RunningSandbox, before: dict[str, str]
) -> None:
    wanted = _new(before)
    run_id = sandbox.trigger(wanted)
    state, tasks = sandbox.wait(run_id)

    assert state == "success", tasks
    assert sandbox.images() == {service: _image(service, tag) for service, tag in wanted.items()}
    assert sandbox.whole()
    started, ended = sandbox.times(run_id)
    for service in ("service-b", "service-c"):
        assert started[f"{service}.promote"] >= ended["service-a.verify"]
    # They overlap: each began to move before the other one was verified.
    assert started["service-b.promote"] < ended["service-c.verify"]
    assert started["service-c.promote"] < ended["service-b.verify"]
    assert sandbox.holders() == {}
    assert sandbox.head_states(run_id) == ["closed"]


def test_a_release_that_crashes_takes_the_whole_train_back_in_reverse_order(
    sandbox: RunningSandbox, before: dict[str, str]
) -> None:
    run_id = sandbox.trigger({**_new(before), "service-c": "1.2.0-crash"})
    state, tasks = sandbox.wait(run_id)

    assert state == "failed", tasks
    assert tasks["rollback.service-a"] == "success"
    assert tasks["rollback.service-c"] == "success"
    _assert_back(sandbox, run_id, before)
    started, ended = sandbox.times(run_id)
    for service in ("service-b", "service-c"):
        assert started["rollback.service-a"] >= ended[f"rollback.{service}"]


def test_an_image_that_does_not_exist_takes_the_train_back(
    sandbox: RunningSandbox, before: dict[str, str]
) -> None:
    run_id = sandbox.trigger({"service-a": other(before["service-a"]), "service-b": "9.9.9"})
    state, tasks = sandbox.wait(run_id)

    assert state == "failed", tasks
    assert tasks["rollback.service-a"] == tasks["rollback.service-b"] == "success"
    _assert_back(sandbox, run_id, before)


def test_releases_that_are_live_already_change_nothing(
    sandbox: RunningSandbox, before: dict[str, str]
) -> None:
    generations = sandbox.generations()
    run_id = sandbox.trigger({service: image.rpartition(":")[2] for service, image in before.items()})
    state, tasks = sandbox.wait(run_id)

    assert state == "success", tasks
    assert sandbox.images() == before
    assert sandbox.generations() == generations
    assert sandbox.holders() == {}


def test_a_dry_run_writes_nothing(sandbox: RunningSandbox, before: dict[str, str]) -> None:
    offset = sandbox.audit_offset()
    run_id = sandbox.trigger({**_new(before), "dry_run": True})
    state, tasks = sandbox.wait(run_id)

    assert state == "success", tasks
    reads, writes = sandbox.audit_since(offset)
    assert reads, "the audit log should hold the reads that made the plan"
    assert writes == []
    assert sandbox.images() == before
    assert sandbox.head_states(run_id) == []


def test_a_conf_key_that_is_no_service_fails_the_plan_and_moves_nothing(
    sandbox: RunningSandbox, before: dict[str, str]
) -> None:
    generations = sandbox.generations()
    run_id = sandbox.trigger({"service-a": other(before["service-a"]), "service-z": "1.0.0"})
    state, tasks = sandbox.wait(run_id)

    assert state == "failed", tasks
    assert tasks["plan"] == "failed"
    assert sandbox.images() == before
    assert sandbox.generations() == generations
    assert sandbox.holders() == {}


def test_a_run_that_is_marked_failed_while_it_promotes_goes_back(
    sandbox: RunningSandbox, before: dict[str, str]
) -> None:
    slow = _image("service-a", "1.2.0-very-slow")
    run_id = sandbox.trigger({"service-a": "1.2.0-very-slow"})
    sandbox.until(
        lambda: (
            sandbox.images()["service-a"] == slow
            and sandbox.task_states(run_id)["service-a.promote"] in ("running", "deferred")
        ),
        120,
        "service-a to be on its way",
    )
    sandbox.mark_failed(run_id)

    seconds = sandbox.until(
        lambda: sandbox.images() == before and not sandbox.holders(), 90, "service-a to go back"
    )
    print(f"went back in {seconds:.1f} s")
    sandbox.until(lambda: sandbox.task_states(run_id)["close"] in ENDED, 60, "the run to close")
    assert sandbox.run_state(run_id) == "failed"
    _assert_back(sandbox, run_id, before)
