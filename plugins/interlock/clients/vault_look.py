"""Looks at Vault as an environment check needs it; what can't be looked at is told as such.

No value of a secret, no token and no accessor is kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import closing
from datetime import timedelta
from functools import partial
from typing import Any, TypeVar

from interlock.clients.vault import SecretMissing, VaultClient, VaultError, VaultRefused, VaultSettings
from interlock.environment.check import Unseen
from interlock.environment.vault_facts import Server, Token, VaultFacts
from interlock.onboarding.facts import VaultFacts as ServiceFacts
from interlock.onboarding.facts import VaultRole

T = TypeVar("T")


class VaultInspector(VaultClient):
    """A Vault client that also looks at its own token, at rights, at keys, and at audit devices."""

    def token(self) -> Token:
        """Return what Vault tells of the token that asks."""
        data: Mapping[str, Any] = self._read("auth/token/lookup-self")
        policies = {*(data.get("policies") or ()), *(data.get("identity_policies") or ())}
        ttl = timedelta(seconds=int(data.get("ttl") or 0))
        return Token(
            policies=tuple(sorted(policies)),
            ttl=ttl if data.get("expire_time") else None,
            renewable=bool(data.get("renewable")),
            orphan=bool(data.get("orphan")),
        )

    def rights(self, paths: Iterable[str]) -> dict[str, frozenset[str]]:
        """Return what the token may do at each path, by one request."""
        asked = sorted(set(paths))
        answer = self._asked(lambda: self._hvac.sys.get_capabilities(asked), "asking for rights")
        if missing := [path for path in asked if path not in answer]:
            raise VaultRefused(f"{self._settings.address}: no answer on rights at {', '.join(missing)}")
        return {path: frozenset(answer[path]) for path in asked}

    def granted(self) -> dict[str, frozenset[str]]:
        """Return what all policies of the token come to, by their paths; a `*` ends one that stands for more.

        Paths with a `+` in them are not told. Every token with the policy `default` may ask.
        """
        told: Mapping[str, Any] = self._read("sys/internal/ui/resultant-acl")
        if told.get("root"):
            return {"*": frozenset({"root"})}
        return {
            f"{path}{end}": frozenset(given.get("capabilities") or ())
            for kind, end in (("exact_paths", ""), ("glob_paths", "*"))
            for path, given in (told.get(kind) or {}).items()
        }

    def secret_keys(self, path: str) -> tuple[str, ...]:
        """Return the names of a secret's keys."""
        return self.secret(path).keys

    def key_type(self, key: str) -> str:
        """Return the type of a transit key."""
        return str(self._read(f"{self._settings.transit_mount}/keys/{key}")["type"])

    def role(self, name: str) -> VaultRole:
        """Return what a role of an authentication method, MOUNT/NAME, gives and to whom."""
        mount, _, short = name.rpartition("/")
        data = self._read(f"auth/{mount}/role/{short}")
        accounts = data.get("bound_service_account_names")
        return VaultRole(
            policies=tuple(data.get("token_policies") or data.get("policies") or ()),
            service_accounts=None if accounts is None else tuple(accounts),
            namespaces=tuple(data.get("bound_service_account_namespaces") or ()),
        )

    def audit_devices(self) -> tuple[str, ...]:
        """Return the paths of the audit devices that are enabled; it needs `sudo` on sys/audit."""
        return tuple(sorted(self._read("sys/audit")))


def look_at_vault(
    name: str,
    settings: VaultSettings,
    *,
    key: str,
    paths: Iterable[str],
    secrets: Iterable[str],
    auditor: VaultSettings | Unseen | None,
) -> VaultFacts:
    """All that is seen of Vault by a role.

    Args:
        name: the connection's.
        settings: where Vault is, and who asks.
        key: the transit key that signs statements.
        paths: at which the rights are asked for.
        secrets: paths of secrets under the mount.
        auditor: who may see the audit devices; None: nobody is asked.
    """
    with closing(VaultInspector(settings)) as vault:
        server = _seen(lambda: _server(vault))
        usable = isinstance(server, Server) and server.answers
        token = _seen(vault.token) if usable else Unseen("Vault can't be asked")
        asked = isinstance(token, Token)
        nobody = Unseen("there is no token to ask with")
        return VaultFacts(
            connection=name,
            address=settings.address,
            namespace=settings.namespace or "",
            method="token" if settings.token is not None or not settings.role_id else "approle",
            mounts=settings.mounts,
            key=key,
            server=server,
            token=token,
            rights=_seen(lambda: vault.rights(paths)) if asked else nobody,
            secrets={path: _seen(partial(vault.secret_keys, path)) if asked else nobody for path in secrets},
            key_type=_seen(lambda: vault.key_type(key)) if asked else nobody,
            audit=_audit(auditor) if asked else nobody,
            granted=_seen(vault.granted) if asked else nobody,
        )


def look_for_service(settings: VaultSettings, role: str, secrets: Iterable[str]) -> ServiceFacts:
    """A service's role, MOUNT/NAME, and the keys of its secrets.

    Args:
        settings: where Vault is, and who asks.
        role: the service's role.
        secrets: paths of its secrets under the mount.
    """
    with closing(VaultInspector(settings)) as vault:
        return ServiceFacts(
            settings.mount,
            settings.kv_version,
            _seen(partial(vault.role, role)),
            {path: _seen(partial(vault.secret_keys, path)) for path in secrets},
        )


def _audit(auditor: VaultSettings | Unseen | None) -> tuple[str, ...] | Unseen | None:
    if auditor is None or isinstance(auditor, Unseen):
        return auditor
    with closing(VaultInspector(auditor)) as vault:
        return _seen(vault.audit_devices)


def _server(vault: VaultClient) -> Server:
    told = vault.health()
    return Server(told.initialized, told.sealed, told.standby, told.version, told.dr_secondary)


def _seen(look: Callable[[], T]) -> T | Unseen:
    try:
        return look()
    except VaultRefused as error:
        return Unseen(str(error), "refused")
    except SecretMissing as error:
        return Unseen(str(error), "missing")
    except VaultError as error:
        return Unseen(str(error))
