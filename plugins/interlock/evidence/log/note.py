"""Signed notes: text with signature lines under it (C2SP signed-note v1.0.0), with ed25519 keys (type 0x01).

A note is trusted only as far as a key given beforehand signed it. Signatures of other keys are passed over,
as the specification demands: so a key can be rotated, and a witness can add its own. A signature that names a
known key and does not fit condemns the whole note.

The work for any input is bounded: at most `MAX_NOTE_BYTES` and `MAX_SIGNATURES`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from interlock.evidence.log.strict import LogFormatError, from_base64, shown, to_base64

ED25519: Final = 0x01
"""Signature type identifier of ed25519 in verifier keys and key ids."""
MAX_NOTE_BYTES: Final = 128 * 1024
MAX_SIGNATURES: Final = 64

_PUBLIC_BYTES = 32
_KEYID_DIGITS = 8
_MARK = "\N{EM DASH} "


class NoteError(LogFormatError):
    """This is not a signed note, or a known key's signature does not fit it."""


class UnknownSignersError(NoteError):
    """A signed note, but none of its signatures is of a known key."""


class Signature(NamedTuple):
    """A note's signature: the key's name, its id as 8 hex digits, the signature, 64 bytes for ed25519."""

    name: str
    keyid: str
    signature: bytes


@dataclass(frozen=True)
class VerifierKey:
    """An ed25519 key that signs notes.

    Attributes:
        name: its name, without spaces and plus signs.
        public: 32 bytes, RFC 8032.
    """

    name: str
    public: bytes

    def __post_init__(self) -> None:
        _check_name(self.name)
        if len(self.public) != _PUBLIC_BYTES:
            raise NoteError(
                f"verifier key {self.name}: expected {_PUBLIC_BYTES} bytes, found {len(self.public)}"
            )

    @property
    def keyid(self) -> str:
        """Return the key's id, 8 hex digits: SHA-256(name || 0x0A || 0x01 || public key)[:4]."""
        named = self.name.encode() + b"\n" + bytes([ED25519]) + self.public
        return hashlib.sha256(named).hexdigest()[:_KEYID_DIGITS]

    @property
    def text(self) -> str:
        """Return the key as one line without a newline: `name+keyid+Base 64 of (0x01 || public key)`."""
        return f"{self.name}+{self.keyid}+{to_base64(bytes([ED25519]) + self.public)}"

    @classmethod
    def of_text(cls, text: str) -> VerifierKey:
        """Read a key from the text that `text` gives.

        Raises:
            NoteError: it is no ed25519 verifier key, or its id is another key's.
        """
        parts = text.split("+", 2)
        if len(parts) != 3:
            raise NoteError(f"verifier key: expected name+keyid+key, found {shown(text)}")
        name, keyid, encoded = parts
        typed = from_base64(encoded, f"verifier key {shown(name)}", NoteError, 1 + _PUBLIC_BYTES)
        if typed[0] != ED25519:
            raise NoteError(f"verifier key {shown(name)}: expected type 1 (ed25519), found {typed[0]}")
        key = cls(name, typed[1:])
        if key.keyid != keyid:
            raise NoteError(f"verifier key {name}: expected key id {key.keyid}, found {shown(keyid)}")
        return key

    def verify(self, signature: bytes, body: str) -> bool:
        """Return whether this key made `signature` over the note text `body`."""
        try:
            Ed25519PublicKey.from_public_bytes(self.public).verify(signature, body.encode())
        except (InvalidSignature, ValueError):
            return False
        return True


def sign_note(body: str, signatures: Sequence[tuple[str, str, bytes]]) -> bytes:
    """Put a note together.

    Args:
        body: the signed text, with its final newline. What is signed is its UTF-8.
        signatures: (key name, key id as 8 hex digits, signature) of each key, in order.

    Raises:
        NoteError: the parts make no note.
    """
    lines = [
        f"{_MARK}{name} {to_base64(bytes.fromhex(keyid) + signature)}\n"
        for name, keyid, signature in signatures
    ]
    note = f"{body}\n{''.join(lines)}".encode()
    parse_note(note)
    return note


def parse_note(note: bytes) -> tuple[str, tuple[Signature, ...]]:
    """Take a note apart into its body, with the final newline, and its signatures. Nothing is verified.

    Raises:
        NoteError: it is no signed note.
    """
    if len(note) > MAX_NOTE_BYTES:
        raise NoteError(f"note: expected at most {MAX_NOTE_BYTES} bytes, found {len(note)}")
    if any(byte < 0x20 and byte != 0x0A for byte in note):
        raise NoteError(f"note: expected no control characters but newlines, found {shown(note)}")
    try:
        text = note.decode()
    except UnicodeDecodeError as error:
        raise NoteError(f"note: expected UTF-8: {error}") from error
    body, blank, rest = text.rpartition("\n\n")
    if not blank or not rest.endswith("\n"):
        raise NoteError(f"note: expected text, an empty line and whole signature lines, found {shown(text)}")
    lines = rest[:-1].split("\n")
    if len(lines) > MAX_SIGNATURES:
        raise NoteError(f"note: expected at most {MAX_SIGNATURES} signatures, found {len(lines)}")
    return body + "\n", tuple(_signature(line) for line in lines)


def open_note(note: bytes, keys: Iterable[VerifierKey]) -> tuple[str, tuple[VerifierKey, ...]]:
    """Return a note's body, with the final newline, and which of the keys signed it, in the note's order.

    Raises:
        UnknownSignersError: none of the keys signed it.
        NoteError: it is no signed note, or what claims to be a given key's signature does not fit.
    """
    body, signatures = parse_note(note)
    known = {(key.name, key.keyid): key for key in keys}
    verified: dict[VerifierKey, None] = {}
    for name, keyid, signature in signatures:
        key = known.get((name, keyid))
        if key is None:
            continue
        if not key.verify(signature, body):
            raise NoteError(f"note: the signature of {name} (key id {keyid}) does not fit the text")
        verified[key] = None
    if not verified:
        signers = ", ".join(f"{name} ({keyid})" for name, keyid, _ in signatures)
        given = ", ".join(f"{name} ({keyid})" for name, keyid in known) or "no key"
        raise UnknownSignersError(f"note: expected a signature of {given}, found those of {signers}")
    return body, tuple(verified)


def _signature(line: str) -> Signature:
    if not line.startswith(_MARK) or line.count(" ") != 2:
        raise NoteError(f"signature line: expected '{_MARK}name signature', found {shown(line)}")
    _, name, encoded = line.split(" ")
    _check_name(name)
    data = from_base64(encoded, f"signature of {shown(name)}", NoteError)
    if len(data) <= 4:
        raise NoteError(f"signature of {shown(name)}: expected more than 4 bytes, found {len(data)}")
    return Signature(name, data[:4].hex(), data[4:])


def _check_name(name: str) -> None:
    unfit = any(letter.isspace() or letter == "+" or ord(letter) < 0x20 for letter in name)
    if not name or unfit:
        raise NoteError(f"key name: expected one without spaces and plus signs, found {shown(name)}")
