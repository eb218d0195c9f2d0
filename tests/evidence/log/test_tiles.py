from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from naive_tree import NaiveTree

from interlock.evidence.log import merkle
from interlock.evidence.log.tiles import (
    TileError,
    TileReader,
    TileRef,
    bundle_at,
    decode_bundle,
    decode_hashes,
    edge_tiles,
    encode_bundle,
    encode_hashes,
    tile_at,
    tiles_for,
    tiles_for_consistency,
    tiles_for_inclusion,
    tiles_for_root,
)

PATHS = [
    (TileRef(0, 0, 256), "tile/0/000"),
    (TileRef(0, 0, 1), "tile/0/000.p/1"),
    (TileRef(0, 999, 255), "tile/0/999.p/255"),
    (TileRef(0, 1000, 256), "tile/0/x001/000"),
    (TileRef(0, 1234067, 256), "tile/0/x001/x234/067"),
    (TileRef(5, 12, 3), "tile/5/012.p/3"),
    (TileRef(7, 0, 127), "tile/7/000.p/127"),
    (TileRef("entries", 1234067, 9), "tile/entries/x001/x234/067.p/9"),
    (TileRef(0, 2**55 - 1, 255), "tile/0/x036/x028/x797/x018/x963/967.p/255"),
]


@pytest.mark.parametrize(("ref", "path"), PATHS)
def test_a_tile_has_one_path(ref: TileRef, path: str) -> None:
    assert ref.path() == path
    assert TileRef.parse(path) == ref


@pytest.mark.parametrize(
    "path",
    [
        "",
        "tile/0",
        "tile/0/",
        "tile/0/0",
        "tile/0/00",
        "tile/0/0000",
        "tile/00/000",
        "tile/-1/000",
        "tile/8/000",
        "tile/63/000",
        "tile/64/000",
        "tile/data/000",
        "tile/entry/000",
        "/tile/0/000",
        "tile/0/000/",
        "tile/0/x000/001",
        "tile/0/x001",
        "tile/0/001/000",
        "tile/0/x001/x000",
        "tile/0/X001/000",
        "tile/0/x01/000",
        "tile/0/000.p/0",
        "tile/0/000.p/256",
        "tile/0/000.p/01",
        "tile/0/000.p/999",
        "tile/0/000.p/",
        "tile/0/000.p",
        "tile/0/000.p/1/",
        "tile/0/000\n",
        "tile/0/00\u0660",
        "tile/7/000",
        "tile/0/x036/x028/x797/x018/x963/967",
        "tile/0/x036/x028/x797/x018/x963/968",
        "tile/0/" + "x999/" * 7 + "999",
        "tile/0/" + "x001/" * 100_000 + "000",
    ],
)
def test_what_is_no_path_of_a_tile(path: str) -> None:
    with pytest.raises(TileError):
        TileRef.parse(path)


@given(st.text(alphabet="tile/entrsx.p0129\n", max_size=40).map(lambda rest: f"tile/0/{rest}") | st.text())
def test_any_text_is_a_tile_in_its_one_spelling_or_none(path: str) -> None:
    try:
        ref = TileRef.parse(path)
    except TileError:
        return
    assert ref.path() == path


def test_a_bundle_is_lengths_and_entries() -> None:
    data = encode_bundle([b"one", b"", b"x" * 65_535])
    assert data == b"\x00\x03one" + b"\x00\x00" + b"\xff\xff" + b"x" * 65_535
    assert decode_bundle(data, 3) == (b"one", b"", b"x" * 65_535)


@given(st.lists(st.binary(max_size=20), min_size=1, max_size=256))
def test_decoding_undoes_encoding(entries: list[bytes]) -> None:
    assert list(decode_bundle(encode_bundle(entries), len(entries))) == entries


@pytest.mark.parametrize("width", [1, 2, 3])
@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x00",
        b"\x00\x03on",
        b"\x00\x03one\x00",
        b"\x00\x03one\x00\x01",
        b"\xff\xff",
        b"\x00\x03one\x00\x00\x00\x00\x00\x00",
        b"\x03\x00one",
    ],
)
def test_what_is_no_bundle(data: bytes, width: int) -> None:
    with pytest.raises(TileError):
        decode_bundle(data, width)


def test_entries_that_no_bundle_holds() -> None:
    for entries in ([], [b"x"] * 257, [b"x" * 65_536]):
        with pytest.raises(TileError):
            encode_bundle(entries)


@pytest.mark.parametrize("data", [b"", bytes(31), bytes(63), bytes(65), bytes(96)])
def test_a_hash_tile_is_as_long_as_its_name_says(data: bytes) -> None:
    with pytest.raises(TileError):
        decode_hashes(data, 2)
    with pytest.raises(TileError):
        encode_hashes([data])


def test_a_tree_of_70_000_has_the_tiles_that_the_specification_counts() -> None:
    refs = tiles_for(0, 70_000)
    found = {
        level: (
            sum(ref.full for ref in refs if ref.level == level),
            [ref.width for ref in refs if ref.level == level and not ref.full],
        )
        for level in ("entries", 0, 1, 2)
    }
    assert found == {"entries": (273, [112]), 0: (273, [112]), 1: (1, [17]), 2: (0, [1])}
    assert len(refs) == 274 * 2 + 2 + 1
    assert edge_tiles(70_000) == (TileRef(0, 273, 112), TileRef(1, 1, 17), TileRef(2, 0, 1))
    assert {ref.path() for ref in tiles_for(0, 256)} == {"tile/entries/000", "tile/0/000", "tile/1/000.p/1"}


def all_tiles(size: int) -> set[TileRef]:
    refs, height = set(), 0
    while size // 256**height:
        count = size // 256**height
        refs |= {TileRef(height, index, 256) for index in range(count // 256)}
        if count % 256:
            refs.add(TileRef(height, count // 256, count % 256))
        height += 1
    return refs | {TileRef("entries", ref.index, ref.width) for ref in refs if ref.level == 0}


@settings(max_examples=60)
@given(st.integers(0, 200_000), st.integers(0, 2_000))
def test_new_tiles_are_those_of_the_new_size_that_the_old_one_had_not(old: int, more: int) -> None:
    refs = tiles_for(old, old + more)
    assert set(refs) == all_tiles(old + more) - all_tiles(old)
    assert len(set(refs)) == len(refs)


TREE = NaiveTree([b"%d" % number for number in range(2_000)])


def fetch(ref: TileRef) -> bytes:
    span = 256**ref.height
    first = ref.index * 256
    return b"".join(TREE.mth(at * span, (at + 1) * span) for at in range(first, first + ref.width))


@settings(max_examples=150)
@given(st.integers(1, 2_000), st.data())
def test_roots_and_proofs_come_from_the_named_tiles_alone(size: int, data: st.DataObject) -> None:
    index, old = data.draw(st.integers(0, size - 1)), data.draw(st.integers(1, size))
    for refs, compute, expected in (
        (tiles_for_root(size), lambda it: merkle.root(size, it), TREE.mth(0, size)),
        (
            tiles_for_inclusion(index, size),
            lambda it: merkle.inclusion_proof(index, size, it),
            TREE.path(index, 0, size),
        ),
        (
            tiles_for_consistency(old, size),
            lambda it: merkle.consistency_proof(old, size, it),
            TREE.proof(old, size),
        ),
    ):
        tiles = {ref: fetch(ref) for ref in refs}
        used: list[TileRef] = []
        assert (
            compute(TileReader(size, lambda ref, tiles=tiles, used=used: used.append(ref) or tiles[ref]))
            == expected
        )
        assert sorted(used, key=str) == sorted(refs, key=str)
        assert set(refs) <= all_tiles(size)


def test_few_tiles_prove_an_entry_of_a_very_large_log() -> None:
    assert len(tiles_for_inclusion(123, 2**63 - 1)) <= 8 + 7
    assert set(tiles_for_root(2**40 + 3)) <= set(edge_tiles(2**40 + 3))


def test_a_tree_has_no_tile_past_its_edge() -> None:
    assert tile_at(0, 1, 257) == TileRef(0, 1, 1)
    assert bundle_at(0, 257) == TileRef("entries", 0, 256)
    for height, index, size in ((0, 1, 256), (1, 0, 255), (0, 0, 0), (0, 5, 300)):
        with pytest.raises(TileError):
            tile_at(height, index, size)
    with pytest.raises(TileError, match="not complete"):
        TileReader(3, fetch)(1, 1)
