"""Keys for the tests of the log's formats; their private halves are fixed."""

from __future__ import annotations

from collections.abc import Sequence

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from interlock.evidence.log.checkpoint import Checkpoint
from interlock.evidence.log.note import VerifierKey, sign_note

NAME = "interlock/evidence"


class Signer:
    def __init__(self, name: str, seed: int) -> None:
        self.private = Ed25519PrivateKey.from_private_bytes(bytes([seed] * 32))
        self.key = VerifierKey(name, self.private.public_key().public_bytes_raw())

    def sign(self, body: str) -> tuple[str, str, bytes]:
        return (self.key.name, self.key.keyid, self.private.sign(body.encode()))


OLD, NEW, STRANGER = Signer(NAME, 1), Signer(NAME, 2), Signer("witness.example/w", 3)


def signed(body: str, signers: Sequence[Signer] = (NEW,)) -> bytes:
    return sign_note(body, [signer.sign(body) for signer in signers])


def head(size: int, root: bytes, *signers: Signer, origin: str = f"{NAME}/2026") -> bytes:
    return signed(Checkpoint(origin, size, root).body(), signers or (NEW,))
