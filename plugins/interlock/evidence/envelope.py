"""The signed form of a statement: a DSSE envelope (secure-systems-lab/dsse, protocol v1.0.2).

A signature covers the pre-authentication encoding, never the JSON around it, so an envelope may be reprinted
without breaking it. The key id is a hint for finding the public key; it is not signed and proves nothing.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from interlock.evidence.statement import canonical

PAYLOAD_TYPE: Final = "application/vnd.in-toto+json"


class EnvelopeError(ValueError):
    """This is not a signed statement, or none of the given keys signed it."""


@dataclass(frozen=True)
class Envelope:
    """A payload and one signature over it.

    Attributes:
        payload: the statement's canonical bytes.
        signature: 64 bytes, ed25519 over `pae(payload)`.
        key_id: the signing key's name, a hint.
    """

    payload: bytes
    signature: bytes
    key_id: str

    def to_json(self) -> bytes:
        """Return the envelope as canonical JSON."""
        # Written out, as a log has many: Base64 needs no escapes, and the members are in their order.
        return b'{"payload":"%s","payloadType":"%s","signatures":[{"keyid":%s,"sig":"%s"}]}' % (
            base64.b64encode(self.payload),
            PAYLOAD_TYPE.encode(),
            canonical(self.key_id),
            base64.b64encode(self.signature),
        )

    @classmethod
    def from_json(cls, text: bytes) -> Envelope:
        """Read an envelope.

        Raises:
            EnvelopeError: the text is not a DSSE envelope of an in-toto statement with one signature.
        """
        try:
            content = json.loads(text)
            (signature,) = content["signatures"]
            if content["payloadType"] != PAYLOAD_TYPE:
                raise EnvelopeError(f"payloadType {content['payloadType']!r}, expected {PAYLOAD_TYPE!r}")
            return cls(
                base64.b64decode(content["payload"], validate=True),
                base64.b64decode(signature["sig"], validate=True),
                str(signature.get("keyid", "")),
            )
        except EnvelopeError:
            raise
        except (ValueError, KeyError, TypeError, AttributeError, binascii.Error) as error:
            raise EnvelopeError(f"not a DSSE envelope with one signature: {error!r}") from error

    def verify(self, public_keys: Iterable[bytes]) -> None:
        """Check the signature against ed25519 public keys of 32 bytes; one that fits is enough.

        Raises:
            EnvelopeError: none of them signed this payload.
        """
        tried = 0
        for key in public_keys:
            tried += 1
            try:
                Ed25519PublicKey.from_public_bytes(key).verify(self.signature, pae(self.payload))
            except InvalidSignature:
                continue
            return
        raise EnvelopeError(f"none of the {tried} given keys signed this statement (key id {self.key_id!r})")


def pae(payload: bytes) -> bytes:
    """Return the DSSE pre-authentication encoding of a payload: what is signed."""
    kind = PAYLOAD_TYPE.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


def key_id(public: bytes) -> str:
    """Return the `keyid` that names an ed25519 public key of 32 bytes: 8 hex digits of its SHA-256."""
    return hashlib.sha256(public).hexdigest()[:8]
