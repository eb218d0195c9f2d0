from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from interlock.evidence.log.claim import (
    MAX_BYTES,
    MAX_ENTRIES,
    MAX_HEADER_BYTES,
    MAX_NUMBER,
    Claim,
    ClaimError,
    batch,
)
from interlock.evidence.log.merkle import EMPTY_ROOT

AT = datetime(2026, 11, 24, 6, 0, 1, 250, tzinfo=UTC)


def claim(**changed: Any) -> Claim:
    fields: dict[str, Any] = {
        "number": 0,
        "first": 0,
        "root": EMPTY_ROOT,
        "attempt": "0123456789abcdef" * 2,
        "at": AT,
        "closes": False,
        "entries": (b'{"a":1}', b'{"b":2}'),
    }
    return Claim(**{**fields, **changed})


GOLDEN = (
    b'{"at":"2026-11-24T06:00:01.000250Z","attempt":"0123456789abcdef0123456789abcdef","closes":false,'
    b'"count":2,"first":0,"format":1,"number":0,"root":"47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="}\n'
    b'{"a":1}\n{"b":2}\n'
)


def test_a_claim_is_a_line_about_it_and_a_line_for_each_entry() -> None:
    assert claim().encode() == GOLDEN
    assert Claim.decode(GOLDEN) == claim()


@given(
    st.integers(1, MAX_NUMBER),
    st.integers(1, MAX_NUMBER - 10),
    st.binary(min_size=32, max_size=32),
    st.booleans(),
    st.datetimes(timezones=st.just(UTC)),
    st.lists(st.binary(min_size=1, max_size=50).filter(lambda it: b"\n" not in it), min_size=1, max_size=10),
)
def test_decoding_undoes_encoding(
    number: int, first: int, root: bytes, closes: bool, at: datetime, entries: list[bytes]
) -> None:
    made = claim(number=number, first=first, root=root, closes=closes, at=at, entries=tuple(entries))
    assert Claim.decode(made.encode()) == made
    assert made.end == first + len(entries)


@pytest.mark.parametrize(
    "changed",
    [
        {"number": -1, "first": 1},
        {"number": 2**53, "first": 1},
        {"number": 1, "first": MAX_NUMBER},
        {"number": 1},
        {"first": 1},
        {"root": bytes(32)},
        {"number": 1, "first": 1, "root": bytes(31)},
        {"attempt": "0123456789ABCDEF" * 2},
        {"attempt": "0" * 31},
        {"at": datetime(2026, 11, 24)},
        {"entries": ()},
        {"entries": (b"",)},
        {"entries": (b"a\nb",)},
        {"entries": (b"x" * 65_536,)},
        {"entries": (b"x",) * (MAX_ENTRIES + 1)},
    ],
)
def test_what_makes_no_claim(changed: dict[str, Any]) -> None:
    with pytest.raises(ClaimError):
        claim(**changed)


HEADER, ENTRIES = GOLDEN.split(b"\n", 1)
BAD = {
    "empty": b"",
    "newline": b"\n",
    "no entries": HEADER + b"\n",
    "no newline": HEADER,
    "cut at the end": GOLDEN[:-1],
    "cut in an entry": GOLDEN[:-4],
    "an entry less": HEADER + b'\n{"a":1}\n',
    "an entry more": GOLDEN + b"{}\n",
    "an empty entry": HEADER + b'\n{"a":1}\n\n',
    "bytes after the end": GOLDEN + b"x",
    "CRLF": GOLDEN.replace(b"\n", b"\r\n"),
    "a space": GOLDEN.replace(b'"closes":', b'"closes": ', 1),
    "other order": GOLDEN.replace(b'"count":2,"first":0', b'"first":0,"count":2'),
    "a field twice": GOLDEN.replace(b'"count":2', b'"count":2,"count":2'),
    "a field more": GOLDEN.replace(b'"count":2', b'"counts":2,"count":2'),
    "a field less": GOLDEN.replace(b'"closes":false,', b""),
    "format 2": GOLDEN.replace(b'"format":1', b'"format":2'),
    "format true": GOLDEN.replace(b'"format":1', b'"format":true'),
    "format 1.0": GOLDEN.replace(b'"format":1', b'"format":1.0'),
    "number false": GOLDEN.replace(b'"number":0', b'"number":false'),
    "number text": GOLDEN.replace(b'"number":0', b'"number":"0"'),
    "number -0": GOLDEN.replace(b'"number":0', b'"number":-0'),
    "number huge": GOLDEN.replace(b'"number":0', b'"number":' + b"9" * 100),
    "count too small": GOLDEN.replace(b'"count":2', b'"count":1'),
    "count huge": GOLDEN.replace(b'"count":2', b'"count":1e99'),
    "closes 0": GOLDEN.replace(b"false", b"0"),
    "closes text": GOLDEN.replace(b"false", b'"true"'),
    "time with offset": GOLDEN.replace(b"250Z", b"250+00:00"),
    "time without zone": GOLDEN.replace(b"250Z", b"250"),
    "time short": GOLDEN.replace(b".000250Z", b"Z"),
    "no time": GOLDEN.replace(b"2026-11-24T06:00:01.000250Z", b"yesterday"),
    "time of no year": GOLDEN.replace(b"2026-11", b"0000-11"),
    "root unpadded": GOLDEN.replace(b"FU=", b"FU"),
    "root unused bits": GOLDEN.replace(b"FU=", b"FV="),
    "root null": GOLDEN.replace(b'"47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU="', b"null"),
    "a list": b"[]\n{}\n",
    "a number": b"1\n{}\n",
    "NaN": b"NaN\n{}\n",
    "nested": b"[" * MAX_HEADER_BYTES + b"\n{}\n",
    "not UTF-8": b"\xff\n{}\n",
    "UTF-16": HEADER.decode().encode("utf-16") + b"\n" + ENTRIES,
    "byte order mark": b"\xef\xbb\xbf" + GOLDEN,
    "newlines only": b"\n" * MAX_BYTES,
    "header without end": b"[" * MAX_BYTES,
    "4 MiB of empty entries": HEADER.ljust(100) + b"\n" * (MAX_BYTES - len(HEADER)),
    "too long": GOLDEN + b"x" * MAX_BYTES,
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_claim_is_refused_soon(name: str) -> None:
    started = time.process_time()
    with pytest.raises(ClaimError):
        Claim.decode(BAD[name])
    assert time.process_time() - started < 1


@settings(max_examples=300)
@given(st.binary(max_size=60), st.integers(0, len(GOLDEN)), st.integers(0, 60))
def test_any_bytes_are_a_claim_in_its_one_spelling_or_none(noise: bytes, at: int, cut: int) -> None:
    data = GOLDEN[:at] + noise + GOLDEN[at + cut :]
    try:
        found = Claim.decode(data)
    except ClaimError:
        return
    assert found.encode() == data


def test_a_batch_has_no_more_entries_than_a_claim() -> None:
    assert batch([]) == 0
    assert batch([100] * 2_000) == MAX_ENTRIES


@pytest.mark.parametrize("size", [2_795, 2_796, 4_190, 65_535])
def test_a_batch_is_as_large_as_a_claim_can_be_and_no_larger(size: int) -> None:
    count = batch([size] * MAX_ENTRIES)
    longest = {"number": MAX_NUMBER, "first": MAX_NUMBER - MAX_ENTRIES, "root": bytes(32)}
    data = claim(entries=(b"x" * size,) * count, **longest).encode()
    room = MAX_BYTES - MAX_HEADER_BYTES - 1 - (len(data) - data.index(b"\n") - 1)
    assert room >= 0
    assert count == MAX_ENTRIES or room < size + 1


def test_the_longest_first_line_fits_its_limit() -> None:
    longest = claim(number=MAX_NUMBER, first=MAX_NUMBER - 1_500, root=bytes(32), entries=(b"x",) * 1_500)
    assert len(longest.encode().split(b"\n")[0]) <= MAX_HEADER_BYTES
