"""A statement that waits for the log, as one file.

The format is read back strictly: a file that isn't exactly what was written is not used. Its place among the
others is not in it, but in the spool's journal, which names each file by its SHA-256.
"""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass, field
from typing import Final

from interlock.evidence.statement import canonical, sha256

FORMAT: Final = 2
_FIELDS: Final = frozenset(
    {"format", "run", "payload", "signature", "key_id", "evidence", "claimed_at"},
)


class WaitingError(ValueError):
    """This is not a waiting statement's file, or one of a format that this version doesn't read."""


@dataclass(frozen=True)
class Waiting:
    """A statement that waits.

    Attributes:
        run_hash: the run it belongs to.
        payload: the statement's canonical bytes.
        signature: its signature, or None when none could be had.
        key_id: the signing key's id; empty without a signature.
        evidence: the blob beside it, or None.
        claimed_at: when it was made, by the writer's clock, RFC 3339.
    """

    run_hash: str
    payload: bytes = field(repr=False)
    signature: bytes | None
    key_id: str
    evidence: bytes | None = field(repr=False)
    claimed_at: str

    @property
    def digest(self) -> str:
        """SHA-256 of the payload."""
        return sha256(self.payload)


def encode(waiting: Waiting) -> bytes:
    """Return the file's content."""
    return canonical(
        {
            "format": FORMAT,
            "run": waiting.run_hash,
            "payload": _text(waiting.payload),
            "signature": None if waiting.signature is None else _text(waiting.signature),
            "key_id": waiting.key_id,
            "evidence": None if waiting.evidence is None else _text(waiting.evidence),
            "claimed_at": waiting.claimed_at,
        }
    )


def decode(content: bytes) -> Waiting:
    """Read a file.

    Raises:
        WaitingError: it is not what `encode` writes.
    """
    try:
        entry = json.loads(content)
        if entry["format"] != FORMAT:
            raise WaitingError(f"format {entry['format']!r}, this version reads {FORMAT}")
        if entry.keys() != _FIELDS:
            raise WaitingError(f"fields {', '.join(sorted(entry))}, expected {', '.join(sorted(_FIELDS))}")
        signature, evidence = entry["signature"], entry["evidence"]
        return Waiting(
            run_hash=str(entry["run"]),
            payload=_bytes(entry["payload"]),
            signature=None if signature is None else _bytes(signature),
            key_id=str(entry["key_id"]),
            evidence=None if evidence is None else _bytes(evidence),
            claimed_at=str(entry["claimed_at"]),
        )
    except WaitingError:
        raise
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, binascii.Error) as error:
        raise WaitingError(f"not a waiting statement: {error!r}") from error


def _text(content: bytes) -> str:
    return base64.b64encode(content).decode()


def _bytes(text: str) -> bytes:
    return base64.b64decode(text, validate=True)
