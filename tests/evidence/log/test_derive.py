from __future__ import annotations

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from naive_tree import NaiveTree

from interlock.evidence.log.derive import DerivedObject, DeriveError, Edge, advance
from interlock.evidence.log.strict import LogFormatError
from interlock.evidence.log.tiles import TileRef, decode_bundle, edge_tiles, tiles_for

MOST = 70_000
ENTRIES = [b"entry %d" % number for number in range(MOST)]


def grown(*sizes: int) -> tuple[Edge, dict[TileRef, bytes]]:
    edge, published = Edge.empty(), {}
    for size in sizes:
        edge, objects = advance(edge, ENTRIES[edge.size : size])
        published |= {item.ref: item.body for item in objects}
    return edge, published


def test_what_is_derived_are_the_tiles_of_the_tree() -> None:
    tree = NaiveTree(ENTRIES)
    edge, published = grown(MOST)
    assert edge.root() == tree.mth(0, MOST)
    assert tuple(published) == tiles_for(0, MOST)
    for ref, body in published.items():
        first = ref.index * 256
        if ref.level == "entries":
            assert decode_bundle(body, ref.width) == tuple(ENTRIES[first : first + ref.width])
        else:
            span = 256**ref.height
            hashes = [tree.mth(at * span, (at + 1) * span) for at in range(first, first + ref.width)]
            assert body == b"".join(hashes)


@settings(max_examples=40)
@given(st.lists(st.integers(0, 700), min_size=1, max_size=8))
def test_any_batches_make_the_same_log(batches: list[int]) -> None:
    sizes = [sum(batches[: at + 1]) for at in range(len(batches))]
    edge, published = grown(*sizes)
    once, expected = grown(sizes[-1])
    assert edge == once
    assert expected.items() <= published.items()
    old = 0
    for size in sizes:
        assert set(tiles_for(old, size)) <= set(published)
        old = size


@settings(max_examples=40)
@given(st.integers(0, 3_000), st.integers(1, 700))
def test_a_log_goes_on_from_what_it_published(size: int, more: int) -> None:
    edge, published = grown(size)
    read = []
    resumed = Edge.of_partial(size, edge.root(), lambda ref: read.append(ref) or published[ref])
    assert resumed == edge == Edge.decode(edge.encode())
    assert {item.ref for item in edge.objects()} == set(read)
    assert set(edge_tiles(size)) <= set(read)
    assert advance(resumed, ENTRIES[size : size + more]) == advance(edge, ENTRIES[size : size + more])


def test_full_objects_are_lasting_and_partial_ones_are_not() -> None:
    _, objects = advance(Edge.empty(), ENTRIES[:257])
    assert {(item.ref.path(), item.lasting) for item in objects} == {
        ("tile/entries/000", True),
        ("tile/entries/001.p/1", False),
        ("tile/0/000", True),
        ("tile/0/001.p/1", False),
        ("tile/1/000.p/1", False),
    }


def test_nothing_new_derives_nothing() -> None:
    edge, _ = grown(300)
    assert advance(edge, []) == (edge, ())


def changed(data: bytes, at: int) -> bytes:
    return data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]


@pytest.mark.parametrize("size", [1, 255, 257, 512, 1_000])
def test_a_changed_or_cut_object_is_refused_on_resuming(size: int) -> None:
    edge, published = grown(size)
    for item in edge.objects():
        for body in (changed(item.body, len(item.body) - 1), item.body[:-1], item.body + b"\0", b""):
            wrong = {**published, item.ref: body}
            with pytest.raises(LogFormatError):
                Edge.of_partial(size, edge.root(), wrong.__getitem__)
    with pytest.raises(DeriveError, match="expected root"):
        Edge.of_partial(size, bytes(32), published.__getitem__)


@settings(max_examples=100)
@given(st.integers(0, 400), st.binary(max_size=40), st.data())
def test_a_kept_edge_is_read_as_it_was_or_refused(size: int, noise: bytes, data: st.DataObject) -> None:
    edge, _ = grown(size)
    kept = edge.encode()
    at = data.draw(st.integers(0, len(kept)))
    try:
        found = Edge.decode(kept[:at] + noise + kept[at + len(noise) :])
    except LogFormatError:
        return
    assert found.encode() == kept[:at] + noise + kept[at + len(noise) :]
    assert found.root() == edge.root() or found.size != size


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\n",
        b"interlock-edge 1 0 47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\nx",
        b"interlock-edge 2 0 47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n",
        b"interlock-edge 1 00 47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n",
        b"interlock-edge 1 9223372036854775807 47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n",
        b"interlock-edge 1 9223372036854775808 47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n",
        b"interlock-edge 1 \xff 47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=\n",
    ],
)
def test_what_is_no_edge(data: bytes) -> None:
    with pytest.raises(LogFormatError):
        Edge.decode(data)


def test_a_batch_is_derived_in_milliseconds() -> None:
    edge, _ = grown(60_000)
    entries = [b"x" * 1_500] * 1_500
    started = time.process_time()
    _, objects = advance(edge, entries)
    assert time.process_time() - started < 0.2  # 10 ms where nothing else runs
    assert all(isinstance(item, DerivedObject) for item in objects)
