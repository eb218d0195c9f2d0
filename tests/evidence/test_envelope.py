from __future__ import annotations

import json

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from interlock.evidence.envelope import Envelope, EnvelopeError, pae
from interlock.evidence.statement import canonical

KEY = Ed25519PrivateKey.from_private_bytes(b"k" * 32)
OTHER = Ed25519PrivateKey.from_private_bytes(b"o" * 32)


def public(key: Ed25519PrivateKey) -> bytes:
    return key.public_key().public_bytes_raw()


def signed(payload: bytes) -> Envelope:
    return Envelope(payload, KEY.sign(pae(payload)), "interlock-statements")


def test_the_encoding_is_that_of_the_dsse_specification() -> None:
    assert pae(b"hello world") == b"DSSEv1 28 application/vnd.in-toto+json 11 hello world"


@given(st.binary(max_size=200))
def test_an_envelope_survives_its_json_and_verifies(payload: bytes) -> None:
    read = Envelope.from_json(signed(payload).to_json())
    assert read == signed(payload)
    read.verify([public(OTHER), public(KEY)])


def test_a_changed_payload_does_not_verify() -> None:
    envelope = signed(b"{}")
    with pytest.raises(EnvelopeError, match="none of the 1 given keys"):
        Envelope(b"{ }", envelope.signature, envelope.key_id).verify([public(KEY)])


def test_another_key_does_not_verify() -> None:
    with pytest.raises(EnvelopeError, match="none of the 1 given keys"):
        signed(b"{}").verify([public(OTHER)])


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"[]",
        b"{}",
        b'{"payloadType": "other", "payload": "", "signatures": [{"sig": ""}]}',
        b'{"payloadType": "application/vnd.in-toto+json", "payload": "?", "signatures": [{"sig": ""}]}',
        b'{"payloadType": "application/vnd.in-toto+json", "payload": "", "signatures": []}',
        b'{"payloadType": "application/vnd.in-toto+json", "payload": "", "signatures": ["sig"]}',
    ],
)
def test_what_is_no_envelope_is_refused(text: bytes) -> None:
    with pytest.raises(EnvelopeError):
        Envelope.from_json(text)


def test_an_envelope_has_the_fields_of_the_specification() -> None:
    content = json.loads(signed(b"{}").to_json())
    assert content["payload"] == "e30="
    assert set(content) == {"payloadType", "payload", "signatures"}
    assert set(content["signatures"][0]) == {"keyid", "sig"}


@given(st.binary(max_size=300), st.binary(min_size=64, max_size=64), st.text(max_size=20))
def test_an_envelope_is_written_as_canonical_json(payload: bytes, signature: bytes, name: str) -> None:
    written = Envelope(payload, signature, name).to_json()
    assert written == canonical(json.loads(written))
    assert Envelope.from_json(written) == Envelope(payload, signature, name)
