"""The keys that a verifier brings: the only source of trust.

A key file holds verifier keys in the signed-note form, `NAME+KEYID+BASE64`, one a line; empty lines and lines
that begin with `#` are skipped. A checkpoint key's name is the log's. A statement key's name is free, and an
envelope's `keyid` for it is the first 4 bytes of SHA-256 of the public key, in hex.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Self

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from interlock.evidence.envelope import key_id
from interlock.evidence.log.note import NoteError, VerifierKey

MAX_KEY_FILE: Final = 64 * 1024


class KeyFileError(ValueError):
    """A key file holds something else than verifier keys."""


def read_keys(text: bytes, name: str) -> tuple[VerifierKey, ...]:
    """The keys in a file's content.

    Raises:
        KeyFileError: it holds none, or a line is not one; the message names file and line.
    """
    if len(text) > MAX_KEY_FILE:
        raise KeyFileError(f"{name}: {len(text)} bytes; a file of verifier keys has at most {MAX_KEY_FILE}")
    try:
        lines = text.decode().split("\n")
    except UnicodeDecodeError:
        raise KeyFileError(
            f"{name}: not text; expected verifier keys, NAME+KEYID+BASE64, one a line"
        ) from None
    keys = []
    for number, line in enumerate(lines, 1):
        said = line.strip()
        if not said or said.startswith("#"):
            continue
        if said.startswith("PRIVATE+KEY+") or "PRIVATE KEY" in said:
            raise KeyFileError(f"{name}, line {number}: this is a private key; bring the public one")
        try:
            keys.append(VerifierKey.of_text(said))
        except NoteError as error:
            raise KeyFileError(f"{name}, line {number}: {error}") from None
    if not keys:
        raise KeyFileError(f"{name}: it holds no verifier key (NAME+KEYID+BASE64, one a line)")
    return tuple(keys)


@dataclass(frozen=True)
class Trust:
    """The trusted keys.

    Attributes:
        checkpoints: of the log, all with the log's name.
        statements: by their DSSE key id; empty: statements' signatures can't be checked.
    """

    checkpoints: tuple[VerifierKey, ...]
    statements: Mapping[str, Ed25519PublicKey]

    @classmethod
    def of(cls, checkpoints: tuple[VerifierKey, ...], statements: tuple[VerifierKey, ...] = ()) -> Self:
        """Raises KeyFileError where the checkpoint keys are of several logs."""
        names = sorted({key.name for key in checkpoints})
        if len(names) != 1:
            raise KeyFileError(
                f"the checkpoint keys are of {len(names)} logs ({', '.join(names)}); bring the keys of one"
            )
        return cls(
            checkpoints,
            {key_id(key.public): Ed25519PublicKey.from_public_bytes(key.public) for key in statements},
        )

    @property
    def log(self) -> str:
        """The log's name, without a year."""
        return self.checkpoints[0].name

    def signed(self, keyid: str, signature: bytes, message: bytes) -> str:
        """Whether a trusted statement key signed a message.

        "yes"; "no": the key that is named did not; "unknown": no trusted key did, nor is the named one known.
        """
        hinted = self.statements.get(keyid)
        for key in [hinted] if hinted is not None else self.statements.values():
            try:
                key.verify(signature, message)
            except InvalidSignature:
                continue
            return "yes"
        return "unknown" if hinted is None else "no"
