from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from log_keys import NAME, NEW, OLD, head
from naive_tree import NaiveTree

from interlock.evidence.log.merkle import ProofError
from interlock.evidence.log.note import NoteError
from interlock.evidence.log.receipt import Receipt, ReceiptError, verify
from interlock.evidence.log.strict import LogFormatError

ENTRIES = [b"entry %d" % number for number in range(300)]
TREE = NaiveTree(ENTRIES)
NOTE = head(300, TREE.mth(0, 300), OLD, NEW)


def receipt(index: int, extra: bytes | None = None) -> Receipt:
    return Receipt(index, tuple(TREE.path(index, 0, 300)), NOTE, extra)


def test_a_receipt_is_the_text_of_the_specification() -> None:
    made = Receipt(1, (bytes(32), bytes([255] * 32)), NOTE, b"extra")
    assert made.encode() == (
        b"c2sp.org/tlog-proof@v1\n"
        b"extra ZXh0cmE=\n"
        b"index 1\n"
        b"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=\n"
        b"//////////////////////////////////////////8=\n"
        b"\n" + NOTE
    )
    assert Receipt(0, (), NOTE).encode() == b"c2sp.org/tlog-proof@v1\nindex 0\n\n" + NOTE


@given(st.integers(0, 299), st.none() | st.binary(min_size=1, max_size=50))
def test_a_receipt_shows_its_entry_and_no_other(index: int, extra: bytes | None) -> None:
    read = Receipt.decode(receipt(index, extra).encode())
    assert read == receipt(index, extra)
    checkpoint, verified = verify(ENTRIES[index], read, [NEW.key], f"{NAME}/2026")
    assert (checkpoint.size, verified) == (300, (NEW.key,))
    with pytest.raises(ProofError):
        verify(ENTRIES[index - 1], read, [NEW.key])


def test_a_receipt_of_another_index_or_key() -> None:
    moved = Receipt(4, receipt(5).proof, NOTE)
    with pytest.raises(ProofError):
        verify(ENTRIES[5], moved, [NEW.key])
    with pytest.raises(ProofError, match="300"):
        verify(ENTRIES[5], Receipt(300, receipt(5).proof, NOTE), [NEW.key])
    with pytest.raises(NoteError):
        verify(ENTRIES[5], receipt(5), [])


GOOD = receipt(5).encode()
HASH = GOOD.split(b"\n")[2]
BAD = {
    "empty": b"",
    "only a note": NOTE,
    "other version": GOOD.replace(b"@v1", b"@v2"),
    "no index": GOOD.replace(b"index 5\n", b""),
    "index twice": GOOD.replace(b"index 5", b"index 5\nindex 5"),
    "index with zeros": GOOD.replace(b"index 5", b"index 05"),
    "index signed": GOOD.replace(b"index 5", b"index +5"),
    "index negative": GOOD.replace(b"index 5", b"index -5"),
    "index with space": GOOD.replace(b"index 5", b"index 5 "),
    "index too large": GOOD.replace(b"index 5", b"index 9223372036854775808"),
    "extra after the index": GOOD.replace(b"index 5", b"index 5\nextra AAAA"),
    "extra empty": GOOD.replace(b"index 5", b"extra \nindex 5"),
    "extra unpadded": GOOD.replace(b"index 5", b"extra AA\nindex 5"),
    "hash short": GOOD.replace(HASH, HASH[4:]),
    "hash unpadded": GOOD.replace(HASH, HASH.rstrip(b"=")),
    "64 hashes": GOOD.replace(HASH, b"\n".join([HASH] * 64)),
    "no checkpoint": GOOD.split(b"\n\n")[0],
    "CRLF": GOOD.replace(b"\n", b"\r\n"),
    "not ASCII": GOOD.replace(b"index 5", "index \u0665".encode()),
    "space before": b" " + GOOD,
    "too long": GOOD + b"x" * 300_000,
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_receipt(name: str) -> None:
    with pytest.raises(ReceiptError):
        Receipt.decode(BAD[name])


def test_a_receipt_whose_checkpoint_goes_on_is_not_verified() -> None:
    with pytest.raises(NoteError):
        verify(ENTRIES[5], Receipt.decode(GOOD + b"x\n"), [NEW.key])


@settings(max_examples=200)
@given(st.binary(max_size=30), st.integers(0, len(GOOD)), st.integers(0, 30))
def test_any_bytes_show_the_entry_in_one_spelling_or_not_at_all(noise: bytes, at: int, cut: int) -> None:
    text = GOOD[:at] + noise + GOOD[at + cut :]
    try:
        found = Receipt.decode(text)
        verify(ENTRIES[5], found, [NEW.key, OLD.key])
    except LogFormatError:
        return
    assert found.encode() == text
    assert found.index == 5
