"""The two signers of the log: of statements, with the workers' key, and of checkpoints, with the log's own.

Both are Vault transit keys of type ed25519, in as many versions as they were rotated. A statement is signed
by the newest version. A checkpoint is signed by the newest and, for a time after a rotation, also by the one
before it, so that a verifier that knows only one of them goes on.

`public_key` of a version is read once in a process, and again when a signature names a version not known yet.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

from interlock.clients.vault import PublicKey, Signature, VaultClient, VaultRefused
from interlock.evidence.envelope import Envelope, key_id, pae
from interlock.evidence.log.note import VerifierKey, sign_note

SIGNED_AT_ONCE: Final = 100
"""How many statements one request to Vault signs: at their largest 7 MB, of the 32 MiB that it takes."""
OVERLAP: Final = timedelta(days=30)


class _Key:
    """A transit key, with the public keys of its versions."""

    def __init__(self, vault: VaultClient, name: str) -> None:
        self.vault = vault
        self.name = name
        self._versions: tuple[PublicKey, ...] = ()

    def versions(self) -> tuple[PublicKey, ...]:
        """All versions, newest first."""
        if not self._versions:
            self._versions = self.vault.public_key(self.name)
        return self._versions

    def version(self, number: int) -> PublicKey:
        """One version."""
        for fresh in (False, True):
            if fresh:
                self._versions = ()
            for found in self.versions():
                if found.version == number:
                    return found
        raise VaultRefused(f"transit key {self.name} signs with version {number}, which can't be read")


class StatementSigner:
    """Signs statements."""

    def __init__(self, vault: VaultClient, key: str) -> None:
        """Keep the client and the transit key's name; nothing is sent."""
        self._key = _Key(vault, key)

    def sign(self, payloads: Sequence[bytes]) -> list[Envelope]:
        """Return the signed form of each payload.

        Raises:
            VaultError: one could not be signed.
        """
        found: list[Envelope] = []
        for begin in range(0, len(payloads), SIGNED_AT_ONCE):
            some = payloads[begin : begin + SIGNED_AT_ONCE]
            signatures = self._key.vault.sign_all(self._key.name, [pae(payload) for payload in some])
            found += (
                Envelope(payload, signature.raw, key_id(self._key.version(signature.version).raw))
                for payload, signature in zip(some, signatures, strict=True)
            )
        return found

    def verifier_keys(self) -> dict[str, VerifierKey]:
        """All versions of the key by their ids, as they are published."""
        keys = self._key.versions()
        return {key_id(key.raw): VerifierKey(self._key.name, key.raw) for key in keys}

    def close(self) -> None:
        """Close the connection to Vault."""
        self._key.vault.close()


@dataclass(frozen=True)
class _Signed:
    key: VerifierKey
    signature: Signature


class CheckpointSigner:
    """Signs checkpoints."""

    def __init__(
        self,
        vault: VaultClient,
        key: str,
        name: str,
        *,
        overlap: timedelta = OVERLAP,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        """Keep the parts; nothing is sent.

        Args:
            vault: logs in as the log's own role.
            key: the transit key's name.
            name: the log's name, which is the name of its key.
            overlap: for how long after a rotation the version before signs as well.
            now: the clock.
        """
        self._key = _Key(vault, key)
        self.name = name
        self._overlap = overlap
        self._now = now

    def sign(self, body: str) -> bytes:
        """Return the signed note with this text.

        Raises:
            VaultError: it could not be signed.
        """
        signed = [self._signed(body, None)]
        newest = self._key.version(signed[0].signature.version)
        if newest.version > 1 and self._now() - newest.created_at < self._overlap:
            signed.append(self._signed(body, newest.version - 1))
        return sign_note(body, [(one.key.name, one.key.keyid, one.signature.raw) for one in signed])

    def _signed(self, body: str, version: int | None) -> _Signed:
        [signature] = self._key.vault.sign_all(self._key.name, [body.encode()], version=version)
        return _Signed(VerifierKey(self.name, self._key.version(signature.version).raw), signature)

    def verifier_keys(self) -> dict[str, VerifierKey]:
        """All versions of the key by their ids, as they are published; they verify checkpoints."""
        keys = [VerifierKey(self.name, key.raw) for key in self._key.versions()]
        return {key.keyid: key for key in keys}

    def refreshed_keys(self) -> dict[str, VerifierKey]:
        """The same, asked of Vault anew: another process may have rotated the key."""
        self._key = _Key(self._key.vault, self._key.name)
        return self.verifier_keys()

    def close(self) -> None:
        """Close the connection to Vault."""
        self._key.vault.close()
