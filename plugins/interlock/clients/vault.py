"""A client of Vault (or OpenBao) that signs, and that looks at secrets without seeing their values.

It is built from plain settings and knows no Airflow. Every call has a time limit of a few seconds, so that a
train under way is not held up by a Vault that is away.

Errors:

    VaultError
      VaultUnavailable     sealed, away, or answering with errors of its own: try again later
      VaultRefused         the credentials or their policy don't allow it: somebody has to act
      SecretMissing        there is nothing at this path
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeVar

import hvac
import requests
from hvac import exceptions as hvac_errors

from interlock.clients.vault_settings import VaultSettings

__all__ = [
    "Health",
    "PublicKey",
    "SecretFacts",
    "SecretMissing",
    "SecretVersion",
    "Signature",
    "VaultClient",
    "VaultError",
    "VaultRefused",
    "VaultSettings",
    "VaultUnavailable",
]

T = TypeVar("T")


class VaultError(Exception):
    """Vault did not do what it was asked."""


class VaultUnavailable(VaultError):
    """Vault is sealed, away, or fails by itself; the same request may succeed later."""


class VaultRefused(VaultError):
    """Vault refuses the credentials, or their policy doesn't allow this request."""


class SecretMissing(VaultError):
    """There is no secret at this path, or its current version was deleted."""


@dataclass(frozen=True)
class Health:
    """What Vault says of itself; a standby passes requests on, a DR secondary doesn't."""

    initialized: bool
    sealed: bool
    version: str
    standby: bool = False
    dr_secondary: bool = False


@dataclass(frozen=True)
class PublicKey:
    """One version of a transit key: its number, its 32 bytes, and when it was made."""

    version: int
    raw: bytes
    created_at: datetime


@dataclass(frozen=True)
class Signature:
    """A signature of 64 bytes, and the version of the transit key that made it."""

    version: int
    raw: bytes


@dataclass(frozen=True)
class SecretVersion:
    """One version of a secret, without its content."""

    version: int
    created_at: datetime
    deleted: bool
    destroyed: bool


@dataclass(frozen=True)
class SecretFacts:
    """What may be known of a secret: the names of its keys and its age, never a value.

    Attributes:
        path: its path under the mount point.
        mount: the KV engine's mount point.
        keys: the names of its keys, sorted.
        version: the current version's number; None for KV version 1.
        created_at: when the current version was written; None for KV version 1.
        versions: all versions that Vault still knows, oldest first.
    """

    path: str
    mount: str
    keys: tuple[str, ...]
    version: int | None
    created_at: datetime | None
    versions: tuple[SecretVersion, ...]

    def age_seconds(self, now: datetime) -> float | None:
        """Return the current version's age in seconds; None when Vault doesn't tell."""
        return None if self.created_at is None else (now - self.created_at).total_seconds()


class VaultClient:
    """Signs with transit keys and describes secrets."""

    def __init__(self, settings: VaultSettings) -> None:
        """Keep the settings; the first request logs in."""
        self._settings = settings
        self._hvac: Any = hvac.Client(
            url=settings.address,
            namespace=settings.namespace,
            timeout=settings.timeout,
            token=settings.token,
            session=_session(settings.address),
        )
        # hvac falls back to VAULT_TOKEN and ~/.vault-token; who asks is decided by the settings alone.
        self._hvac.token = settings.token

    def close(self) -> None:
        """Close the connections to Vault."""
        self._hvac.adapter.close()

    def sign(self, key: str, data: bytes) -> bytes:
        """Return the 64-byte ed25519 signature of `data` by the newest version of a transit key."""
        return self.sign_all(key, [data])[0].raw

    def sign_all(self, key: str, data: Sequence[bytes], *, version: int | None = None) -> list[Signature]:
        """Return the signature of each of `data`, by one request.

        Args:
            key: the transit key's name.
            data: what is signed.
            version: the key's version; the newest when None.

        Raises:
            VaultError: one could not be signed, and so none was.
        """
        batch = [{"input": base64.b64encode(one).decode()} for one in data]

        def ask() -> Any:
            mount = self._settings.transit_mount
            return self._hvac.secrets.transit.sign_data(
                key, batch_input=batch, mount_point=mount, key_version=version
            )

        results = self._asked(ask, f"signing with transit key {key}")["data"]["batch_results"]
        if errors := [one["error"] for one in results if one.get("error")]:
            raise VaultRefused(f"{self._settings.address}: signing with transit key {key}: {errors[0]}")
        return [_signature(str(one["signature"])) for one in results]

    def public_key(self, key: str) -> tuple[PublicKey, ...]:
        """Return the public keys of all versions of a transit key, newest first."""

        def ask() -> Any:
            return self._hvac.secrets.transit.read_key(key, mount_point=self._settings.transit_mount)

        versions = self._asked(ask, f"reading transit key {key}")["data"]["keys"]
        found = [
            PublicKey(int(n), base64.b64decode(v["public_key"]), _time(str(v["creation_time"])))
            for n, v in versions.items()
        ]
        return tuple(sorted(found, key=lambda k: -k.version))

    def capabilities(self, path: str) -> frozenset[str]:
        """What the credentials may do at a path, such as {"update"}; {"deny"} where nothing."""
        answer = self._asked(lambda: self._hvac.sys.get_capabilities([path]), f"asking for rights on {path}")
        return frozenset(answer[path])

    def health(self) -> Health:
        """Return whether Vault is initialised, sealed, a standby.

        It needs no credentials, and is asked outside the namespace: within one, Vault has no such path.

        Raises:
            VaultUnavailable: it can't be reached, or is no Vault.
        """
        address = self._settings.address
        try:
            told = self._hvac.session.get(f"{address}/v1/sys/health", timeout=self._settings.timeout).json()
            return Health(
                bool(told["initialized"]),
                bool(told["sealed"]),
                str(told.get("version", "")),
                bool(told.get("standby", False)),
                told.get("replication_dr_mode") == "secondary",
            )
        except requests.RequestException as error:
            raise VaultUnavailable(f"{address}: no health status: {error}") from error
        except (KeyError, TypeError) as error:
            raise VaultUnavailable(f"{address}: what answers there is no Vault") from error

    def secret(self, path: str) -> SecretFacts:
        """Describe the secret at `path` under the mount point, without its values.

        With KV version 2 the values don't even leave Vault: its `subkeys` endpoint gives key names. A policy
        needs `read` on `<mount>/subkeys/<path>` and `<mount>/metadata/<path>`. With version 1 they are
        dropped on arrival.

        Raises:
            SecretMissing: nothing is there.
        """
        mount, path = self._settings.mount, path.strip("/")
        where, *described = self._settings.paths_of(path)
        if not described:
            return SecretFacts(path, mount, tuple(sorted(self._read(where))), None, None, ())
        keys = tuple(sorted(self._read(where)["subkeys"] or {}))
        metadata = self._read(described[0])
        versions = tuple(
            SecretVersion(int(n), _time(v["created_time"]), bool(v["deletion_time"]), bool(v["destroyed"]))
            for n, v in sorted(metadata["versions"].items(), key=lambda item: int(item[0]))
        )
        current = int(metadata["current_version"])
        created = next((v.created_at for v in versions if v.version == current), None)
        return SecretFacts(path, mount, keys, current, created, versions)

    def _read(self, path: str) -> Mapping[str, Any]:
        answer = self._asked(lambda: self._hvac.read(path), f"reading {path}")
        if answer is None:
            raise SecretMissing(f"{self._settings.address}: nothing at {path}")
        data: Mapping[str, Any] = answer["data"]
        return data

    def _asked(self, ask: Callable[[], T], what: str) -> T:
        """Ask, logging in first when there is no token, and once more when an AppRole's token has expired."""
        where = f"{self._settings.address}: {what}"
        try:
            fresh = self._log_in()
            try:
                return ask()
            except hvac_errors.Forbidden:
                if fresh or self._settings.token is not None:
                    raise
                self._hvac.token = None
                self._log_in()
                return ask()
        except requests.RequestException as error:
            raise VaultUnavailable(f"{where}: not reachable ({type(error).__name__})") from error
        except (hvac_errors.Forbidden, hvac_errors.Unauthorized) as error:
            raise VaultRefused(f"{where}: refused; check the role and its policy") from error
        except hvac_errors.InvalidPath as error:
            raise SecretMissing(f"{where}: there is no such thing") from error
        except hvac_errors.InvalidRequest as error:
            raise VaultRefused(f"{where}: {_first_line(error)}") from error
        except hvac_errors.VaultError as error:
            raise VaultUnavailable(f"{where}: {_first_line(error)}") from error

    def _log_in(self) -> bool:
        if self._hvac.token is not None:
            return False
        if not (self._settings.role_id and self._settings.secret_id):
            raise VaultRefused(f"{self._settings.address}: neither a token nor an AppRole is given")
        self._hvac.auth.approle.login(
            self._settings.role_id, self._settings.secret_id, mount_point=self._settings.approle_mount
        )
        return True


def _session(address: str) -> requests.Session:
    """A session as hvac makes it; it reads proxies and CA bundle from the environment once, not each time."""
    session: requests.Session = hvac.Client(url=address, token="-").session
    told = session.merge_environment_settings(address, {}, None, session.verify, session.cert)
    session.proxies, session.verify, session.cert = told["proxies"] or {}, told["verify"], told["cert"]
    session.trust_env = False
    return session


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _signature(text: str) -> Signature:
    """Read Vault's form, `vault:v3:` and Base 64."""
    _, version, encoded = text.split(":")
    return Signature(int(version.removeprefix("v")), base64.b64decode(encoded))


def _time(text: str) -> datetime:
    """Read Vault's RFC 3339 times; they carry nanoseconds, of which Python keeps six digits."""
    return datetime.fromisoformat(text).astimezone(UTC)
