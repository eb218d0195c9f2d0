from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interlock.manifest import Manifest
from interlock.trains.lock import (
    HeldBy,
    empty,
    holder_in,
    holder_of,
    lease_name,
    micro_time,
    release,
    take,
    transitions,
)

NOW = datetime(2026, 3, 1, 12, 0, 0, 5, tzinfo=UTC)
NEVER = empty("payments", "service-a", "interlock")
A, B = holder_of("promotion_train__payments", "run-a"), holder_of("promotion_train__payments", "run-b")


def taken(lease: Manifest, holder: str, **options: str) -> Manifest:
    result = take(lease, holder, NOW, **options)
    assert isinstance(result, Manifest)
    return result


def test_a_free_lock_is_taken() -> None:
    lease = taken(NEVER, A)
    assert lease.name == lease_name("payments", "service-a") == "payments.service-a"
    assert lease.namespace == "interlock"
    assert lease.raw["spec"] == {
        "holderIdentity": A,
        "acquireTime": "2026-03-01T12:00:00.000005Z",
        "renewTime": "2026-03-01T12:00:00.000005Z",
        "leaseTransitions": 1,
    }


def test_taking_changes_nothing_of_what_was_read() -> None:
    taken(NEVER, A)
    assert empty("payments", "service-a", "interlock") == NEVER


def test_a_held_lock_names_its_holder() -> None:
    result = take(taken(NEVER, A), B, NOW)
    assert result == HeldBy(A, "2026-03-01T12:00:00.000005Z", "payments.service-a")
    assert A in str(result)


def test_taking_again_counts_up_so_that_the_holders_former_writes_are_fenced_off() -> None:
    again = take(taken(NEVER, A), A, NOW + timedelta(days=3))
    assert isinstance(again, Manifest)
    assert (holder_in(again), transitions(again)) == (A, 2)


def test_a_lock_never_expires_by_time() -> None:
    assert isinstance(take(taken(NEVER, A), B, NOW + timedelta(days=365)), HeldBy)


def test_a_released_lock_keeps_its_transitions_and_the_resource_version_of_the_read() -> None:
    lease = taken(NEVER, A)
    lease.raw["metadata"]["resourceVersion"] = "7"
    free = release(lease, A, NOW)
    assert free is not None
    assert (holder_in(free), transitions(free), free.resource_version) == ("", 1, "7")


def test_only_its_holder_releases_a_lock() -> None:
    assert release(taken(NEVER, A), B, NOW) is None
    assert release(NEVER, "", NOW) is None


def test_times_are_written_in_utc_with_six_digits() -> None:
    east = datetime(2026, 3, 1, 14, 0, tzinfo=timezone(timedelta(hours=2)))
    assert micro_time(east) == "2026-03-01T12:00:00.000000Z"
    with pytest.raises(ValueError, match="no time zone"):
        micro_time(datetime(2026, 3, 1))


@settings(deadline=None)
@given(st.lists(st.tuples(st.sampled_from([A, B, "c/c"]), st.booleans()), max_size=30))
def test_each_holding_has_a_number_of_its_own_that_only_grows(steps: list[tuple[str, bool]]) -> None:
    lease, seen = NEVER, {0: ""}
    for holder, gives_back in steps:
        before = transitions(lease)
        result = release(lease, holder, NOW) if gives_back else take(lease, holder, NOW)
        if not isinstance(result, Manifest):
            continue
        lease = result
        assert transitions(lease) - before in (0, 1)
        if holder_in(lease):
            assert seen.setdefault(transitions(lease), holder_in(lease)) == holder_in(lease)
