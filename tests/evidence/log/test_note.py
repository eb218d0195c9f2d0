from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from log_keys import NEW, OLD, STRANGER, signed

from interlock.evidence.log.note import (
    MAX_NOTE_BYTES,
    NoteError,
    UnknownSignersError,
    VerifierKey,
    open_note,
    parse_note,
    sign_note,
)

# From the documentation and tests of golang.org/x/mod/sumdb/note.
PETER = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
PETERS_NOTE = (
    "If you think cryptography is the answer to your problem,\n"
    "then you don't know what your problem is.\n"
    "\n"
    "— PeterNeumann x08go/ZJkuBS9UG/SffcvIAQ"
    "xVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM="
    "\n"
).encode()
GOOD = signed("one\n\ntwo\n")


def test_a_note_of_the_reference_implementation_opens() -> None:
    key = VerifierKey.of_text(PETER)
    body, verified = open_note(PETERS_NOTE, [key])
    assert body.endswith("your problem is.\n")
    assert verified == (key,)
    assert key.text == PETER
    assert sign_note(body, parse_note(PETERS_NOTE)[1]) == PETERS_NOTE


def test_a_body_keeps_its_empty_lines() -> None:
    assert open_note(GOOD, [NEW.key])[0] == "one\n\ntwo\n"


def test_a_note_opens_with_each_of_its_keys_and_says_which() -> None:
    note = signed("head\n", [OLD, STRANGER, NEW])
    assert open_note(note, [NEW.key])[1] == (NEW.key,)
    assert open_note(note, [NEW.key, OLD.key])[1] == (OLD.key, NEW.key)
    with pytest.raises(UnknownSignersError, match=NEW.key.keyid):
        open_note(signed("head\n", [OLD, STRANGER]), [NEW.key])


def test_a_known_key_that_did_not_sign_condemns_the_note() -> None:
    name, keyid, signature = NEW.sign("other\n")
    note = sign_note("head\n", [OLD.sign("head\n"), (name, keyid, signature)])
    assert open_note(note, [OLD.key])[1] == (OLD.key,)
    with pytest.raises(NoteError, match="does not fit"):
        open_note(note, [OLD.key, NEW.key])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "name",
        "name+00000000",
        PETER.replace("c74f20a3", "c74f20a4"),
        PETER.replace("c74f20a3", "C74F20A3"),
        PETER.replace("c74f20a3", "74f20a3"),
        PETER.replace("PeterNeumann", "PeterNeumanm"),
        PETER.replace("PeterNeumann", "Peter Neumann"),
        PETER.replace("PeterNeumann", ""),
        PETER + "\n",
        PETER + "AAAA",
        PETER.replace("ARpc", "AhpC"),
        PETER[:-1] + "=",
        PETER.replace("/", "_"),
    ],
)
def test_what_is_no_verifier_key(text: str) -> None:
    with pytest.raises(NoteError):
        VerifierKey.of_text(text)


def edited(old: bytes, new: bytes) -> bytes:
    assert old in GOOD
    return GOOD.replace(old, new)


TEXT, LINE = GOOD[: GOOD.rindex(b"\n\n") + 2], GOOD[GOOD.rindex(b"\n\n") + 2 :]
SIGNATURE = LINE.split(b" ")[2].strip()
BAD = {
    "empty": b"",
    "only newlines": b"\n\n\n",
    "no signature": TEXT,
    "no final newline": GOOD[:-1],
    "a line more": GOOD + b"x\n",
    "an empty line at the end": GOOD + b"\n",
    "CRLF": GOOD.replace(b"\n", b"\r\n"),
    "CR in a line": edited(b"one", b"on\re"),
    "tab": edited(b"one", b"on\te"),
    "NUL": edited(b"one", b"on\0e"),
    "not UTF-8": edited(b"one", b"on\xffe"),
    "changed text": edited(b"one", b"eno"),
    "an empty line less": edited(b"one\n\n", b"one\n"),
    "hyphen for the dash": edited("—".encode(), b"-"),
    "two spaces": edited(NEW.key.name.encode() + b" ", NEW.key.name.encode() + b"  "),
    "no name": edited(NEW.key.name.encode() + b" ", b" "),
    "plus in the name": edited(NEW.key.name.encode(), b"a+b"),
    "no-break space in the name": edited(NEW.key.name.encode(), "a\u00a0b".encode()),
    "word after the signature": GOOD[:-1] + b" x\n",
    "no padding": edited(SIGNATURE, SIGNATURE.rstrip(b"=")),
    "unused bits set": edited(SIGNATURE, b"AAAAAB=="),
    "URL alphabet": edited(SIGNATURE, b"________"),
    "only a key id": edited(SIGNATURE, b"AAAAAA=="),
    "other key id": edited(SIGNATURE[:6], b"AAAAAA"),
    "65 signatures": TEXT + LINE * 65,
    "too long": b"x" * MAX_NOTE_BYTES + GOOD,
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_note_of_the_key(name: str) -> None:
    with pytest.raises(NoteError):
        open_note(BAD[name], [NEW.key])


@pytest.mark.parametrize("body", ["no newline", "", "bell \a\n", "\ud800\n"])
def test_what_can_not_be_signed(body: str) -> None:
    with pytest.raises((NoteError, UnicodeEncodeError)):
        sign_note(body, [(NEW.key.name, NEW.key.keyid, bytes(64))])


@given(st.binary(max_size=200), st.integers(0, len(GOOD)), st.integers(0, 20))
def test_any_bytes_open_as_what_was_signed_or_not_at_all(noise: bytes, at: int, cut: int) -> None:
    note = GOOD[:at] + noise + GOOD[at + cut :]
    try:
        body, _ = open_note(note, [NEW.key])
    except NoteError:
        return
    assert body == "one\n\ntwo\n"
