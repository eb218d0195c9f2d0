from __future__ import annotations

import random
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from naive_tree import NaiveTree, sha256

from interlock.evidence.log.merkle import (
    EMPTY_ROOT,
    Frontier,
    ProofError,
    consistency_proof,
    inclusion_proof,
    leaf_hash,
    node_hash,
    root,
    verify_consistency,
    verify_inclusion,
)

# From the tests of the reference implementations of RFC 6962 (Certificate Transparency).
REFERENCE_LEAVES = [
    bytes.fromhex(text)
    for text in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
REFERENCE_ROOTS = (
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
)
MOST = 2_000


@cache
def tree() -> NaiveTree:
    return NaiveTree([b"entry %d" % number for number in range(MOST)])


class TallTree:
    """A tree of 2**63 - 1 equal leaves: every complete subtree of a level has the same hash."""

    def __init__(self) -> None:
        self.levels = [sha256(b"\x00same")]
        while len(self.levels) < 64:
            self.levels.append(sha256(b"\x01" + self.levels[-1] * 2))

    def read(self, level: int, index: int) -> bytes:
        return self.levels[level]


TALL = TallTree()


def test_the_reference_leaves_have_the_reference_roots() -> None:
    frontier = Frontier()
    roots = [frontier.root().hex()]
    for leaf in REFERENCE_LEAVES:
        frontier = frontier.append(leaf_hash(leaf))
        roots.append(frontier.root().hex())
    assert tuple(roots) == REFERENCE_ROOTS
    assert bytes.fromhex(REFERENCE_ROOTS[0]) == EMPTY_ROOT


def test_a_leaf_is_never_a_node() -> None:
    one, two = leaf_hash(b"1"), leaf_hash(b"2")
    assert node_hash(one, two) not in (leaf_hash(one + two), node_hash(two, one))


def test_roots_are_those_of_the_rfc_at_every_size() -> None:
    frontier = Frontier()
    for size in range(MOST + 1):
        expected = tree().mth(0, size)
        assert (frontier.size, frontier.root()) == (size, expected)
        assert root(size, tree().read) == expected
        if size < MOST:
            frontier = frontier.append(tree().mth(size, size + 1))


def test_proofs_are_those_of_the_rfc_at_every_size() -> None:
    draw = random.Random(1)
    for size in range(1, MOST + 1):
        head = tree().mth(0, size)
        for index in {0, size - 1, size // 2, draw.randrange(size)}:
            proof = inclusion_proof(index, size, tree().read)
            assert proof == tree().path(index, 0, size)
            verify_inclusion(index, size, tree().mth(index, index + 1), head, proof)
        for old in {1, size, 1 << (size.bit_length() - 1), draw.randrange(1, size + 1)}:
            proof = consistency_proof(old, size, tree().read)
            assert proof == tree().proof(old, size)
            verify_consistency(old, size, tree().mth(0, old), head, proof)


def test_proofs_of_small_trees_hold_between_all_their_leaves_and_sizes() -> None:
    for size in range(1, 40):
        head = tree().mth(0, size)
        for index in range(size):
            proof = inclusion_proof(index, size, tree().read)
            for other in range(size):
                if other == index:
                    verify_inclusion(index, size, tree().mth(index, index + 1), head, proof)
                else:
                    with pytest.raises(ProofError):
                        verify_inclusion(other, size, tree().mth(index, index + 1), head, proof)
        for old in range(size + 1):
            proof = consistency_proof(old, size, tree().read)
            for other in range(1, size + 1):
                if other == old:
                    verify_consistency(old, size, tree().mth(0, old), head, proof)
                elif old:
                    with pytest.raises(ProofError):
                        verify_consistency(other, size, tree().mth(0, old), head, proof)


@settings(max_examples=150)
@given(st.data())
def test_a_changed_proof_shows_nothing(data: st.DataObject) -> None:
    size = data.draw(st.integers(2, MOST))
    index = data.draw(st.integers(0, size - 1))
    old = data.draw(st.integers(1, size - 1))
    head = tree().mth(0, size)
    inclusion = inclusion_proof(index, size, tree().read)
    consistency = consistency_proof(old, size, tree().read)
    for proof, check in (
        (inclusion, lambda it: verify_inclusion(index, size, tree().mth(index, index + 1), head, it)),
        (consistency, lambda it: verify_consistency(old, size, tree().mth(0, old), head, it)),
    ):
        check(proof)
        at = data.draw(st.integers(0, len(proof) - 1))
        bit = data.draw(st.integers(0, 255))
        flipped = (int.from_bytes(proof[at], "big") ^ 1 << bit).to_bytes(32, "big")
        for wrong in (
            [*proof[:at], flipped, *proof[at + 1 :]],
            proof[:at] + proof[at + 1 :],
            [*proof[:at], proof[at], *proof[at:]],
            [*proof, EMPTY_ROOT],
            [*proof[:at], proof[at][:31], *proof[at + 1 :]],
        ):
            with pytest.raises(ProofError):
                check(wrong)


@settings(max_examples=300)
@given(st.integers(1, 2**63 - 1), st.data())
def test_proofs_hold_in_trees_of_any_size(size: int, data: st.DataObject) -> None:
    index, old = data.draw(st.integers(0, size - 1)), data.draw(st.integers(1, size))
    head = root(size, TALL.read)
    proof = inclusion_proof(index, size, TALL.read)
    verify_inclusion(index, size, TALL.levels[0], head, proof)
    consistency = consistency_proof(old, size, TALL.read)
    verify_consistency(old, size, root(old, TALL.read), head, consistency)
    assert len(proof) <= 63
    assert len(consistency) <= 64


@settings(max_examples=3)
@given(st.integers(2_001, 1_000_000))
def test_a_large_tree_has_the_root_of_the_rfc(size: int) -> None:
    # Leaves repeat with a period of 1,024, so the naive hash of each aligned block is computed once.
    block = NaiveTree([b"%d" % number for number in range(1024)])
    leaves = [block.mth(number, number + 1) for number in range(1024)]
    frontier = Frontier()
    whole, rest = divmod(size, 1024)
    frontier = frontier.extend(leaves * whole).extend(leaves[:rest])

    def naive(first: int, end: int) -> bytes:
        if (end - first) <= 1024:
            return block.mth(0, end - first)
        middle = 1024
        while middle * 2 < end - first:
            middle *= 2
        return sha256(b"\x01" + naive(first, first + middle) + naive(first + middle, end))

    assert frontier.root() == naive(0, size)


@settings(max_examples=60)
@given(st.lists(st.integers(0, 300), max_size=6))
def test_leaves_may_come_in_any_portions(portions: list[int]) -> None:
    leaves = [tree().mth(number, number + 1) for number in range(sum(portions))]
    frontier, at = Frontier(), 0
    for count in portions:
        frontier = frontier.extend(leaves[at : at + count])
        at += count
    assert frontier == Frontier().extend(leaves)


@pytest.mark.parametrize(
    ("size", "hashes"),
    [(1, ()), (0, (EMPTY_ROOT,)), (3, (EMPTY_ROOT,)), (-1, ()), (1, (b"short",)), (2**63, (EMPTY_ROOT,))],
)
def test_a_frontier_has_a_hash_for_each_bit_of_its_size(size: int, hashes: tuple[bytes, ...]) -> None:
    with pytest.raises(ProofError):
        Frontier(size, hashes)


@pytest.mark.parametrize(("index", "size"), [(0, 0), (1, 1), (-1, 4), (0, -1), (0, 2**63)])
def test_no_proof_of_a_leaf_outside_of_the_tree(index: int, size: int) -> None:
    with pytest.raises(ProofError):
        inclusion_proof(index, size, TALL.read)
    with pytest.raises(ProofError):
        verify_inclusion(index, size, EMPTY_ROOT, EMPTY_ROOT, [])


@pytest.mark.parametrize(("old", "new"), [(2, 1), (-1, 1), (1, 2**63)])
def test_no_proof_from_a_tree_that_is_no_beginning(old: int, new: int) -> None:
    with pytest.raises(ProofError):
        consistency_proof(old, new, TALL.read)
    with pytest.raises(ProofError):
        verify_consistency(old, new, EMPTY_ROOT, EMPTY_ROOT, [])


def test_the_empty_tree_begins_every_tree_and_only_with_its_own_root() -> None:
    verify_consistency(0, 5, EMPTY_ROOT, tree().mth(0, 5), [])
    with pytest.raises(ProofError):
        verify_consistency(0, 5, tree().mth(0, 1), tree().mth(0, 5), [])
    with pytest.raises(ProofError):
        verify_consistency(5, 5, tree().mth(0, 4), tree().mth(0, 5), [])
    with pytest.raises(ProofError):
        verify_consistency(3, 5, tree().mth(0, 3), tree().mth(0, 5), [])
