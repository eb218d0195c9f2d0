"""What was seen of Vault: its state, the token, what it may do, secrets, the signing key, audit devices."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Literal

from interlock.environment.check import Unseen
from interlock.environment.vault_policy import Mounts


@dataclass(frozen=True, slots=True)
class Server:
    """What Vault tells everybody of itself; a DR secondary takes no requests."""

    initialized: bool
    sealed: bool
    standby: bool
    version: str
    dr_secondary: bool = False

    @property
    def answers(self) -> bool:
        """Whether it takes requests, or passes them on."""
        return self.initialized and not self.sealed and not self.dr_secondary


@dataclass(frozen=True, slots=True)
class Token:
    """What Vault tells of the token that asks, without the token or its accessor.

    Attributes:
        policies: by name, with those of its identity.
        ttl: how long it lives; None: for ever.
        renewable: whether it can be renewed.
        orphan: whether it lives on when the token that made it is revoked.
    """

    policies: tuple[str, ...]
    ttl: timedelta | None
    renewable: bool
    orphan: bool


@dataclass(frozen=True, slots=True)
class VaultFacts:
    """All that was seen.

    Attributes:
        connection: the Airflow connection.
        address: Vault's URL.
        namespace: the one that is asked in; empty: the root's.
        method: how a token is come by.
        mounts: where the engines are.
        key: the transit key that signs statements, with its type as Vault tells it.
        server: Vault itself.
        token: the token.
        rights: what the token may do at each path that was asked for.
        granted: what the token may do by each path of its policies, as they write them, such as `secret/a/*`.
        secrets: by path, the names of the keys of a secret.
        key_type: the type of the transit key.
        audit: the paths of the audit devices.
    """

    connection: str
    address: str
    namespace: str
    method: Literal["approle", "token"]
    mounts: Mounts
    key: str
    server: Server | Unseen
    token: Token | Unseen
    rights: Mapping[str, frozenset[str]] | Unseen
    secrets: Mapping[str, tuple[str, ...] | Unseen]
    key_type: str | Unseen
    audit: tuple[str, ...] | Unseen | None
    granted: Mapping[str, frozenset[str]] | Unseen
