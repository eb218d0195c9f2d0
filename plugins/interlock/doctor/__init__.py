"""Tries each connection and each right that Interlock needs in an environment."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import yaml

from interlock.connections import ConnectionMissing, connection
from interlock.trains.model import Environment

RBAC = "include/deploy/kubernetes/rbac.yaml"
POLICY = "include/deploy/vault/interlock.hcl"
BUCKET = "include/deploy/s3/writer-policy.json and object-lock.json"
TRAINS, JOURNAL = "interlock-trains", "interlock-journal"


class Rights(Protocol):
    """What tells whether we have a right."""

    async def allowed(self, namespace: str, verb: str, group: str, resource: str) -> bool:
        """Whether we do."""


@dataclass(frozen=True)
class Line:
    """One thing that was tried.

    Attributes:
        what: what was tried.
        ok: whether it works.
        said: what it answered, or what is missing.
        given_by: the file or setting that gives it.
    """

    what: str
    ok: bool
    said: str
    given_by: str


def examine(environment: Environment, include: Path, key: str) -> Iterator[Line]:
    """Try everything, one line each."""
    yield from asyncio.run(_kubernetes(environment, include))
    yield from _vault(environment, key)
    yield _try("evidence store", BUCKET, lambda: _store(environment))


def needed(rbac: str, environment: Environment) -> list[tuple[str, str, str, tuple[str, ...]]]:
    """The rights that rbac.yaml gives: namespace, API group, resource, verbs."""
    namespaces = {TRAINS: environment.namespace, JOURNAL: environment.journal_namespace}
    rights = []
    for item in yaml.safe_load_all(rbac):
        if not isinstance(item, Mapping) or item.get("kind") != "Role":
            continue
        metadata: Mapping[str, Any] = item["metadata"]
        namespace = namespaces.get(metadata["name"], metadata["namespace"])
        for rule in item["rules"]:
            for group in rule["apiGroups"]:
                for resource in rule["resources"]:
                    rights.append((namespace, group, resource, tuple(rule["verbs"])))
    return rights


async def rights_lines(client: Rights, needs: list[tuple[str, str, str, tuple[str, ...]]]) -> list[Line]:
    """One line for each resource, with the verbs that are missing."""
    lines = []
    for namespace, group, resource, verbs in needs:
        answers = await asyncio.gather(*(client.allowed(namespace, verb, group, resource) for verb in verbs))
        missing = [verb for verb, allowed in zip(verbs, answers, strict=True) if not allowed]
        name = f"{resource}.{group}" if group else resource
        said = f"may not {', '.join(missing)}" if missing else ", ".join(verbs)
        lines.append(Line(f"right on {name} in {namespace}", not missing, said, RBAC))
    return lines


async def _kubernetes(environment: Environment, include: Path) -> list[Line]:
    from interlock.clients.kubeconfig import KubernetesSettings
    from interlock.clients.kubernetes import KubernetesClient, KubernetesError

    what = f"Kubernetes API ({environment.kubernetes})"
    lines: list[Line] = []
    try:
        settings = KubernetesSettings.of_connection(connection(environment.kubernetes))
        async with KubernetesClient.of(settings) as client:
            lines.append(Line(what, True, await client.version(), ""))
            rbac = (include / "deploy" / "kubernetes" / "rbac.yaml").read_text()
            lines += await rights_lines(client, needed(rbac, environment))
    except ConnectionMissing as missing:
        lines.append(Line(what, False, str(missing), "Airflow's connections"))
    except (KubernetesError, OSError) as error:
        lines.append(Line(what, False, str(error), RBAC))
    except Exception as error:  # a kubeconfig can be wrong in many ways
        lines.append(Line(what, False, f"{type(error).__name__}: {error}", "the connection's kubeconfig"))
    return lines


def _vault(environment: Environment, key: str) -> Iterator[Line]:
    from interlock.clients.vault import VaultClient, VaultSettings

    what = f"Vault ({environment.vault})"
    try:
        client = VaultClient(VaultSettings.of_connection(connection(environment.vault)))
    except (ConnectionMissing, ValueError) as error:
        yield Line(what, False, str(error), "Airflow's connections")
        return

    def health() -> str:
        told = client.health()
        if told.sealed:
            raise ConnectionMissing("it is sealed: unseal it")
        return f"{told.version}, unsealed"

    def sign() -> str:
        client.sign(key, b"interlock doctor")
        return f"logged in; signs with {key}"

    try:
        yield _try(what, "Airflow's connections", health)
        yield _try("Vault login and transit signature", POLICY, sign)
    finally:
        client.close()


def _store(environment: Environment) -> str:
    from interlock.clients.object_store import ObjectStore, StoreSettings

    store = ObjectStore(StoreSettings.of_connection(connection(environment.store)))
    try:
        store.probe()
    finally:
        store.close()
    return f"bucket {store.bucket} has Object Lock"


def _try(what: str, given_by: str, ask: Callable[[], str]) -> Line:
    from interlock.clients.object_store import StoreError
    from interlock.clients.vault import VaultError

    try:
        return Line(what, True, ask(), given_by)
    except ConnectionMissing as error:
        return Line(what, False, str(error), "Airflow's connections")
    except (StoreError, VaultError) as error:
        return Line(what, False, str(error), given_by)
