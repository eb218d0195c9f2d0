"""Which logs contain a head that was kept elsewhere, and which notes are no such head."""

from __future__ import annotations

from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st
from log_keys import NAME, NEW, OLD, signed
from naive_tree import NaiveTree

from interlock.evidence.log.checkpoint import Checkpoint
from interlock.evidence.log.kept import KeptHead, KeptHeadContradicts, KeptHeadUnusable, check_contained

ORIGIN = f"{NAME}/2026"
MOST = 300


@cache
def tree(name: str = "entry", common: int = 0) -> NaiveTree:
    """A tree whose first `common` leaves are those of the tree without a name."""
    return NaiveTree([b"%s %d" % (name.encode() if n >= common else b"entry", n) for n in range(MOST)])


def head(of: NaiveTree, size: int) -> Checkpoint:
    return Checkpoint(ORIGIN, size, of.mth(0, size))


@given(st.integers(0, MOST), st.integers(0, MOST))
def test_a_log_that_went_on_contains_the_head(kept: int, more: int) -> None:
    newest = head(tree(), min(kept + more, MOST))
    check_contained(KeptHead("a file", 2026, head(tree(), kept)), newest, tree().read)


@given(st.integers(1, MOST), st.data())
def test_a_shorter_log_does_not(kept: int, data: st.DataObject) -> None:
    newest = head(tree(), data.draw(st.integers(0, kept - 1)))
    with pytest.raises(KeptHeadContradicts, match=r"a file holds .* it was rewound"):
        check_contained(KeptHead("a file", 2026, head(tree(), kept)), newest, tree().read)


@given(st.integers(1, MOST), st.data())
def test_a_log_with_another_entry_below_it_does_not(kept: int, data: st.DataObject) -> None:
    other = tree("other", data.draw(st.integers(0, kept - 1)))
    newest = head(other, data.draw(st.integers(kept, MOST)))
    with pytest.raises(KeptHeadContradicts, match="does not go on from it"):
        check_contained(KeptHead("a file", 2026, head(tree(), kept)), newest, other.read)


def test_a_log_without_a_head_does_not() -> None:
    with pytest.raises(KeptHeadContradicts, match="it is gone"):
        check_contained(KeptHead("a file", 2026, head(tree(), 3)), None, tree().read)


def test_what_is_no_head_of_this_log_is_named_with_its_place() -> None:
    note = signed(head(tree(), 3).body(), [OLD])
    found = KeptHead.read("a file", note, [NEW.key, OLD.key], NAME)
    assert (found.year, found.checkpoint) == (2026, head(tree(), 3))
    for wrong, keys, log in (
        (b"nothing", [OLD.key], NAME),
        (note, [NEW.key], NAME),
        (note, [OLD.key], "interlock/another"),
    ):
        with pytest.raises(KeptHeadUnusable, match=r"^a file holds "):
            KeptHead.read("a file", wrong, keys, log)


def test_heads_are_ordered_by_year_and_size() -> None:
    kept = KeptHead("a file", 2026, head(tree(), 3))
    assert kept.before(head(tree(), 4), 2026)
    assert kept.before(head(tree(), 1), 2027)
    assert not kept.before(head(tree(), 3), 2026)
    assert not kept.before(head(tree(), 9), 2025)
