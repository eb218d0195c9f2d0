from __future__ import annotations

import pytest

from interlock.evidence.log import layout
from interlock.evidence.log.layout import Kind, LayoutError, Place
from interlock.evidence.log.tiles import TileRef

TABLE = [
    (layout.blob_key("ab" * 32), "evidence/sha256/" + "ab" * 32, Place(Kind.BLOB, digest="ab" * 32), True),
    (layout.vkey_key("0a1b2c3d"), "keys/0a1b2c3d.vkey", Place(Kind.KEY, digest="0a1b2c3d"), True),
    (layout.seq_key(2026, 7), "log/2026/seq/00000000000000000007", Place(Kind.CLAIM, 2026, number=7), True),
    (
        layout.head_key(2026, 2**63 - 1),
        "log/2026/checkpoints/09223372036854775807",
        Place(Kind.HEAD, 2026, number=2**63 - 1),
        True,
    ),
    (layout.checkpoint_key(2026), "log/2026/checkpoint", Place(Kind.NEWEST, 2026), False),
    (
        layout.tile_key(2026, TileRef(0, 1234, 256)),
        "log/2026/tile/0/x001/234",
        Place(Kind.TILE, 2026, tile=TileRef(0, 1234, 256)),
        True,
    ),
    (
        layout.tile_key(2026, TileRef("entries", 5, 7)),
        "log/2026/tile/entries/005.p/7",
        Place(Kind.TILE, 2026, tile=TileRef("entries", 5, 7)),
        False,
    ),
]


@pytest.mark.parametrize(("made", "key", "place", "lasting"), TABLE)
def test_a_key_is_made_and_read_in_one_way(made: str, key: str, place: Place, lasting: bool) -> None:
    assert made == key
    assert layout.parse(key) == place
    assert place.lasting is lasting
    assert place.content_type.split("/")[0] in ("text", "application")


@pytest.mark.parametrize(
    "key",
    [
        "",
        "/",
        "log",
        "log/",
        "log/2026",
        "log/2026/",
        "log/26/checkpoint",
        "log/02026/checkpoint",
        "log/0999/checkpoint",
        "log/٢٠٢٦/checkpoint",
        "2026/checkpoint",
        "log/2026/checkpoint/",
        "log/2026/checkpoints/",
        "log/2026/checkpoints/7",
        "log/2026/seq/0000000000000000007",
        "log/2026/seq/000000000000000000007",
        "log/2026/seq/0000000000000000000a",
        "log/2026/seq/09223372036854775808",
        "log/2026/seq/00000000000000000007/x",
        "log/2026/seq/00000000000000000007\n",
        "log/2026/tile/0/7",
        "log/2026/tile/0/007.p/256",
        "log/2026/checkpoint\n",
        "evidence/sha256/" + "AB" * 32,
        "evidence/sha256/" + "ab" * 31,
        "evidence/sha1/" + "ab" * 20,
        "keys/0a1b2c3d",
        "keys/0A1B2C3D.vkey",
        "statements/x",
    ],
)
def test_what_is_no_key_of_the_layout(key: str) -> None:
    with pytest.raises(LayoutError):
        layout.parse(key)


def test_keys_sort_as_their_numbers() -> None:
    numbers = [0, 1, 9, 10, 255, 256, 10**9, 2**63 - 1]
    keys = [layout.seq_key(2026, number) for number in numbers]
    assert keys == sorted(keys)


def test_what_can_not_be_in_a_key() -> None:
    for make in (
        lambda: layout.seq_key(2026, -1),
        lambda: layout.head_key(2026, 2**63),
        lambda: layout.prefix(999),
        lambda: layout.origin("name", 10_000),
        lambda: layout.blob_key("x"),
        lambda: layout.vkey_key("../../x"),
    ):
        with pytest.raises(LayoutError):
            make()


def test_an_origin_says_name_and_year() -> None:
    assert layout.origin("interlock/evidence", 2026) == "interlock/evidence/2026"
    assert layout.year_of("interlock/evidence/2026", "interlock/evidence") == 2026
    for other in (
        "interlock/evidence",
        "interlock/evidence/26",
        "interlock/2026",
        "interlock/evidence/x/2026",
    ):
        assert layout.year_of(other, "interlock/evidence") is None
