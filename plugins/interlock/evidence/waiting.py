"""A statement that waits for the store, as one file: what it holds, and its place in the chain of files.

Each file names the SHA-256 of the file before it. The format is read back strictly: a file that isn't exactly
what was written is not used.
"""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass
from typing import Final

from interlock.evidence.statement import canonical, sha256

FORMAT: Final = 1
ORIGIN: Final = "0" * 64
"""The hash that the first file of a chain names."""


class WaitingError(ValueError):
    """This is not a waiting statement's file, or one of a format that this version doesn't read."""


@dataclass(frozen=True)
class Waiting:
    """A statement that waits.

    Attributes:
        run_hash: the run it belongs to.
        payload: the statement's canonical bytes.
        signature: its signature, or None when none could be had.
        key_id: the signing key's name; empty without a signature.
        evidence: the blob beside it, or None.
        claimed_at: when it was made, by the writer's clock, RFC 3339.
    """

    run_hash: str
    payload: bytes
    signature: bytes | None
    key_id: str
    evidence: bytes | None
    claimed_at: str

    @property
    def digest(self) -> str:
        """SHA-256 of the payload."""
        return sha256(self.payload)


@dataclass(frozen=True)
class Place:
    """A file's place: its number from 1 on, the hash of the file before it, and its own."""

    sequence: int
    previous: str
    hash: str

    @property
    def name(self) -> str:
        """The file's name."""
        return file_name(self.sequence)


def file_name(sequence: int) -> str:
    """Return the name of the file with this number."""
    return f"{sequence:020d}.json"


def encode(waiting: Waiting, sequence: int, previous: str) -> bytes:
    """Return the file's content."""
    return canonical(
        {
            "format": FORMAT,
            "sequence": sequence,
            "previous": previous,
            "run": waiting.run_hash,
            "payload": _text(waiting.payload),
            "signature": None if waiting.signature is None else _text(waiting.signature),
            "key_id": waiting.key_id,
            "evidence": None if waiting.evidence is None else _text(waiting.evidence),
            "claimed_at": waiting.claimed_at,
        }
    )


def decode(content: bytes) -> tuple[Place, Waiting]:
    """Read a file.

    Raises:
        WaitingError: it is not what `encode` writes.
    """
    try:
        entry = json.loads(content)
        if entry["format"] != FORMAT:
            raise WaitingError(f"format {entry['format']!r}, this version reads {FORMAT}")
        signature, evidence = entry["signature"], entry["evidence"]
        waiting = Waiting(
            run_hash=str(entry["run"]),
            payload=_bytes(entry["payload"]),
            signature=None if signature is None else _bytes(signature),
            key_id=str(entry["key_id"]),
            evidence=None if evidence is None else _bytes(evidence),
            claimed_at=str(entry["claimed_at"]),
        )
        return Place(int(entry["sequence"]), str(entry["previous"]), sha256(content)), waiting
    except WaitingError:
        raise
    except (ValueError, KeyError, TypeError, binascii.Error) as error:
        raise WaitingError(f"not a waiting statement: {error!r}") from error


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode()


def _bytes(text: str) -> bytes:
    return base64.b64decode(text, validate=True)
