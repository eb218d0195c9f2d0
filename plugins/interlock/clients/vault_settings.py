"""Where Vault is, and who asks."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Self

from interlock.connections import Connection, ConnectionMissing
from interlock.environment.vault_policy import Mounts

TIMEOUT_SECONDS: Final = 3.0


@dataclass(frozen=True)
class VaultSettings:
    """Where Vault is and who asks.

    Attributes:
        address: its URL.
        role_id: the AppRole's id; used with `secret_id` when there is no `token`.
        secret_id: the AppRole's secret.
        token: a token to use as it is.
        namespace: Vault namespace, or None.
        mount: mount point of the KV engine.
        kv_version: 1 or 2.
        transit_mount: mount point of the transit engine.
        approle_mount: mount point of the AppRole method.
        timeout: seconds for connecting, and again for each read.
    """

    address: str
    role_id: str | None = None
    secret_id: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)
    namespace: str | None = None
    mount: str = "secret"
    kv_version: int = 2
    transit_mount: str = "transit"
    approle_mount: str = "approle"
    timeout: float = TIMEOUT_SECONDS

    @property
    def mounts(self) -> Mounts:
        """Where the engines are."""
        return Mounts(self.transit_mount, self.mount, self.approle_mount)

    def paths_of(self, secret: str) -> tuple[str, ...]:
        """Where a secret is described: with KV version 2 without its values."""
        if self.kv_version == 1:
            return (f"{self.mount}/{secret}",)
        return (f"{self.mount}/subkeys/{secret}", f"{self.mount}/metadata/{secret}")

    @classmethod
    def of_connection(cls, found: Connection) -> Self:
        """The settings that a `vault` connection describes, with the provider's fields.

        Used: host (also a whole URL) and port; schema, the KV mount; login and password, the AppRole's
        role_id and secret_id, or the password alone, a token; and of the extra `auth_type` (`approle` or
        `token`), `auth_mount_point`, `role_id`, `namespace`, `kv_engine_version`, `use_tls` and
        `transit_mount_point`.

        Raises:
            ConnectionMissing: the authentication, the KV version, the token or the host can't be used.
        """
        extra = found.extra
        method = extra.get("auth_type") or ("approle" if found.login else "token")
        if method not in ("approle", "token"):
            raise ConnectionMissing(
                f"connection {found.name}: auth_type {method!r}; Interlock uses 'approle' or 'token'"
            )
        version = str(extra.get("kv_engine_version") or 2)
        if version not in ("1", "2"):
            raise ConnectionMissing(f"connection {found.name}: kv_engine_version {version!r}; it is 1 or 2")
        approle = method == "approle"
        return cls(
            address=found.address(port=8200),
            role_id=(found.login or extra.get("role_id") or None) if approle else None,
            secret_id=found.password or None if approle else None,
            token=None if approle else found.token() or None,
            namespace=extra.get("namespace") or None,
            mount=found.schema or "secret",
            kv_version=int(version),
            transit_mount=extra.get("transit_mount_point") or "transit",
            approle_mount=(extra.get("auth_mount_point") or "approle") if approle else "approle",
        )
