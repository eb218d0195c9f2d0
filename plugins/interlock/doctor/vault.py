"""Vault: is it there and unsealed, does a signature verify, have we each right of the policy and no more."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from interlock.connections import Connection, ConnectionMissing
from interlock.doctor.line import CONNECTIONS, PATIENCE_SECONDS, Line, attempt
from interlock.environment.vault_policy import ALL, rules
from interlock.settings import Settings
from interlock.trains.model import Environment

if TYPE_CHECKING:
    from interlock.clients.vault import VaultClient

POLICY: Final = "include/deploy/vault/interlock.hcl"
LOG_POLICY: Final = "include/deploy/vault/interlock-log.hcl"


def examine_vault(
    environment: Environment, include: Path, key: str, read: Callable[[str], Connection]
) -> Iterator[Line]:
    """One line each for Vault, the signature, the policy's rights and those that the log alone has."""
    from interlock.clients.vault import VaultClient, VaultError, VaultSettings

    what = f"Vault ({environment.vault})"
    try:
        settings = VaultSettings.of_connection(read(environment.vault))
    except ConnectionMissing as error:
        yield Line(what, False, str(error), CONNECTIONS)
        return
    client = VaultClient(replace(settings, timeout=PATIENCE_SECONDS))
    deploy = include / "deploy" / "vault"
    refused = (VaultError,)
    try:
        yield attempt(what, CONNECTIONS, lambda: _health(client), refused=refused)
        yield attempt(
            "Vault login and transit signature", POLICY, lambda: _sign(client, key), refused=refused
        )
        needs = rules((deploy / "interlock.hcl").read_text(), settings.mounts)
        yield attempt("Vault rights", POLICY, lambda: _rights(client, needs), refused=refused)
        signs = [
            path
            for path in rules((deploy / "interlock-log.hcl").read_text(), settings.mounts)
            if "/sign/" in path
        ]
        yield attempt(
            "Vault rights of the log",
            LOG_POLICY,
            lambda: _signs_none(
                client,
                signs,
                refusal="the workers' role may sign at {}, which is for the log's role alone: "
                f"apply {POLICY} to it, and this policy to a role of its own",
                said="this role can't sign with the log's key, as it should be",
            ),
            refused=refused,
        )
    finally:
        client.close()


def examine_log_vault(settings: Settings, read: Callable[[str], Connection]) -> Iterator[Line]:
    """One line for the log's own role: can it sign a head, with its key and no other."""
    from interlock.clients.vault import VaultClient, VaultError, VaultSettings

    what = f"Vault for the log's heads ({settings.log_vault})"
    try:
        found = VaultSettings.of_connection(read(settings.log_vault))
    except ConnectionMissing as error:
        yield Line(what, False, str(error), CONNECTIONS)
        return
    client = VaultClient(replace(found, timeout=PATIENCE_SECONDS))
    refused = (VaultError,)
    try:
        yield attempt(what, LOG_POLICY, lambda: _sign(client, settings.log_transit_key), refused=refused)
        signs = [f"{found.transit_mount}/sign/{settings.transit_key}"]
        yield attempt(
            "Vault rights of the log's role",
            LOG_POLICY,
            lambda: _signs_none(
                client,
                signs,
                refusal="the log's role may sign at {}, which is for the workers' role alone: give it "
                "this policy and no other",
                said="it signs heads and no statements, as it should be",
            ),
            refused=refused,
        )
    finally:
        client.close()


def _health(client: VaultClient) -> str:
    from interlock.clients.vault import VaultUnavailable

    told = client.health()
    if told.sealed:
        raise VaultUnavailable("it is sealed: unseal it")
    return f"{told.version}, unsealed"


def _sign(client: VaultClient, key: str) -> str:
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    from interlock.clients.vault import VaultRefused

    said = b"interlock doctor"
    signature = client.sign(key, said)
    newest = client.public_key(key)[0]
    try:
        Ed25519PublicKey.from_public_bytes(newest.raw).verify(signature, said)
    except (InvalidSignature, ValueError):
        raise VaultRefused(f"transit key {key} is no ed25519 key: its signature doesn't verify") from None
    return f"signed with {key}, version {newest.version}, and verified"


def _rights(client: VaultClient, needs: dict[str, frozenset[str]]) -> str:
    from interlock.clients.vault import VaultRefused

    missing = [
        f"{', '.join(sorted(lacks))} on {path}"
        for path, needed in needs.items()
        if (lacks := needed - _capabilities(client, path))
    ]
    if missing:
        raise VaultRefused(f"may not {'; '.join(missing)}")
    return f"all of {len(needs)} paths"


def _signs_none(client: VaultClient, signs: list[str], *, refusal: str, said: str) -> str:
    """Nobody makes both what the log holds and what the log says of it: each key is for one role alone.

    Args:
        client: logged in as a role.
        signs: where the other role signs.
        refusal: what to do if this role may as well, with the paths for `{}`.
        said: what is right otherwise.
    """
    from interlock.clients.vault import VaultRefused

    if allowed := [path for path in signs if "update" in _capabilities(client, path)]:
        raise VaultRefused(refusal.format(", ".join(allowed)))
    return said


def _capabilities(client: VaultClient, path: str) -> frozenset[str]:
    found = client.capabilities(path)
    return found | ALL if "root" in found else found
