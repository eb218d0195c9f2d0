"""The versions of the servers that command-line tools talk to."""

from __future__ import annotations

import asyncio
from contextlib import closing
from typing import Final

from interlock.clients.kubeconfig import KubernetesSettings
from interlock.clients.kubernetes import Forbidden, KubernetesClient, KubernetesError
from interlock.clients.vault import VaultClient, VaultError, VaultSettings
from interlock.environment.check import Unseen
from interlock.environment.expectations import ToolName
from interlock.environment.versions import Version
from interlock.manifest import Manifest
from interlock.trains.image import Image, ImageError

ISTIOD: Final = "app=istiod"
"""The label that Istio's charts put on its control plane, of each revision."""


def server_versions(
    kubernetes: KubernetesSettings | Unseen, vault: VaultSettings | Unseen, istio_namespace: str
) -> dict[ToolName, Version | Unseen]:
    """The version of what each tool talks to.

    Args:
        kubernetes: where the cluster is.
        vault: where Vault is.
        istio_namespace: where Istio's control plane runs.
    """
    found: dict[ToolName, Version | Unseen] = dict.fromkeys(("vault", "bao"), _vault(vault))
    if isinstance(kubernetes, Unseen):
        return found | dict.fromkeys(("kubectl", "istioctl"), kubernetes)
    try:
        api, istio = asyncio.run(_cluster(kubernetes, istio_namespace))
    except Exception as error:  # a kubeconfig can be wrong in many ways
        api = istio = Unseen(f"{type(error).__name__}: {error}")
    return found | {"kubectl": api, "istioctl": istio}


def _vault(vault: VaultSettings | Unseen) -> Version | Unseen:
    if isinstance(vault, Unseen):
        return vault
    with closing(VaultClient(vault)) as client:
        try:
            told = client.health().version
        except VaultError as error:
            return Unseen(str(error))
    return Version.find(told) or Unseen(f"{vault.address}: it tells no version ({told!r})")


async def _cluster(
    settings: KubernetesSettings, istio_namespace: str
) -> tuple[Version | Unseen, Version | Unseen]:
    async with KubernetesClient.of(settings) as client:
        return await _api(client), await _istio(client, istio_namespace)


async def _api(client: KubernetesClient) -> Version | Unseen:
    try:
        told = await client.version()
    except KubernetesError as error:
        return Unseen(str(error))
    return Version.find(told) or Unseen(f"the API server tells no version ({told!r})")


async def _istio(client: KubernetesClient, namespace: str) -> Version | Unseen:
    try:
        found, _ = await client.list("apps/v1", "Deployment", namespace, labels=ISTIOD)
    except Forbidden as error:
        return Unseen(str(error), "forbidden")
    except KubernetesError as error:
        return Unseen(str(error))
    if not found:
        return Unseen(f"there is no Deployment with {ISTIOD} in {namespace}", "missing")
    versions = [version for one in found for version in _images(one)]
    # While it is upgraded there are several revisions; istioctl is to be as new as the newest.
    return max(versions) if versions else Unseen(f"no image of {ISTIOD} in {namespace} has a version's tag")


def _images(deployment: Manifest) -> list[Version]:
    found = []
    for container in deployment.raw["spec"]["template"]["spec"]["containers"]:
        try:
            tag = Image.parse(str(container.get("image"))).tag
        except ImageError:
            continue
        if tag and (version := Version.find(tag)):
            found.append(version)
    return found
