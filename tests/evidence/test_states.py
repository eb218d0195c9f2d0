"""The hashes of a step's state, before and after it."""

from __future__ import annotations

import hashlib
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from interlock.evidence.states import state_hashes
from interlock.trains.change import FieldWrite
from interlock.trains.fields import ABSENT, FieldPath

VALUES = st.none() | st.booleans() | st.integers(-9, 9) | st.text("abc", max_size=3) | st.just(ABSENT)


def writes(*fields: tuple[str, object, object]) -> list[dict[str, Any]]:
    found = [FieldWrite(FieldPath.of("spec", name), before, after) for name, before, after in fields]
    return [{"ref": "Deployment/a", **write.to_json()} for write in found]


def test_a_hash_can_be_computed_from_what_the_statement_shows() -> None:
    found = state_hashes(writes(("replicas", 1, 2), ("paused", ABSENT, True)))
    paused, replicas = (
        '"path":"spec.paused","ref":"Deployment/a"',
        '"path":"spec.replicas","ref":"Deployment/a"',
    )
    before = f'[{{{paused}}},{{{replicas},"value":1}}]'
    after = f'[{{{paused},"value":true}},{{{replicas},"value":2}}]'
    assert found == {
        "before_hash": hashlib.sha256(before.encode()).hexdigest(),
        "after_hash": hashlib.sha256(after.encode()).hexdigest(),
    }


@given(st.dictionaries(st.sampled_from(["one", "two", "three"]), st.tuples(VALUES, VALUES)), st.randoms())
def test_going_back_swaps_the_hashes_whatever_the_order(fields: dict[str, Any], random: Any) -> None:
    there = writes(*[(name, before, after) for name, (before, after) in fields.items()])
    back = writes(*[(name, after, before) for name, (before, after) in fields.items()])
    random.shuffle(back)
    promoted, restored = state_hashes(there), state_hashes(back)
    assert (restored["before_hash"], restored["after_hash"]) == (
        promoted["after_hash"],
        promoted["before_hash"],
    )


def test_another_value_field_or_object_is_another_state() -> None:
    one = writes(("replicas", 1, 2))
    others = [writes(("replicas", 1, 3)), writes(("paused", 1, 2)), writes(("replicas", 1, ABSENT))]
    others.append([{**one[0], "ref": "Deployment/b"}])
    assert len({state_hashes(each)["after_hash"] for each in [one, *others]}) == 5


def test_a_secret_value_is_withheld_before_it_is_hashed() -> None:
    values = ["hunter2-hunter2-Aq9", "another-Password-1x"]
    hashes = {state_hashes(writes(("password", ABSENT, value)))["after_hash"] for value in values}
    assert len(hashes) == 1
