"""Looks at a service's objects, and at what a train with it alone would do; writes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final

from interlock.clients.istio import mesh_objects, refusals
from interlock.clients.kubernetes import Forbidden, KubernetesClient, KubernetesError, NotFound
from interlock.clients.survey import survey
from interlock.environment.check import Unseen
from interlock.manifest import Manifest
from interlock.onboarding.facts import AlertRule, Alerts, MeshFacts
from interlock.trains.config import RunConfigError, parse_run_config
from interlock.trains.model import Environment, Service, Train
from interlock.trains.plan import PlanError

KINDS: Final[Mapping[str, str]] = {
    "Deployment": "apps/v1",
    "StatefulSet": "apps/v1",
    "DaemonSet": "apps/v1",
    "Service": "v1",
    "ServiceAccount": "v1",
    "PodDisruptionBudget": "policy/v1",
}
"""What is looked at in the services' namespace, and its API version."""


async def look_at_objects(
    client: KubernetesClient, namespace: str
) -> dict[str, tuple[Manifest, ...] | Unseen]:
    """The objects of a namespace by kind; a kind that can't be listed is told as such."""
    found = await asyncio.gather(*(_kind(client, kind, namespace) for kind in KINDS))
    return dict(zip(KINDS, found, strict=True))


async def look_at_mesh(client: KubernetesClient, environment: Environment) -> MeshFacts | Unseen:
    """The mesh's objects, from the root namespace that the environment names."""
    root = environment.mesh.root_namespace if environment.mesh else "istio-system"
    try:
        objects, settings = await mesh_objects(client, environment.namespace, root)
    except KubernetesError as error:
        return _unseen("the mesh could not be looked at", error)
    return MeshFacts(tuple(objects), settings)


async def look_at_rules(client: KubernetesClient, namespace: str) -> Alerts | Unseen:
    """The alerting rules that are objects of the cluster; `missing` where it has no such kind."""
    try:
        found, _ = await client.list("monitoring.coreos.com/v1", "PrometheusRule", namespace)
    except KubernetesError as error:
        return _unseen(f"PrometheusRules in {namespace}", error)
    rules = tuple(
        AlertRule(str(rule["alert"]), str(rule.get("expr") or ""), rule.get("labels") or {})
        for one in found
        for group in one.spec.get("groups") or ()
        for rule in group.get("rules") or ()
        if rule.get("alert")
    )
    return Alerts(rules, operator=True)


async def try_train(
    client: KubernetesClient,
    environment: Environment,
    train: Train,
    service: Service,
    live: tuple[Manifest, ...] | Unseen,
) -> tuple[str, ...] | Unseen:
    """What keeps a train with this service alone, at the release that runs, from going; empty: nothing.

    Args:
        client: The cluster's.
        environment: Where it would go.
        train: The train.
        service: Its service.
        live: The objects of the service's kind.
    """
    if isinstance(live, Unseen):
        return live
    workload = next((one for one in live if one.name == service.workload), None)
    if workload is None:
        return (f"there is no {service.kind} {service.workload} in the namespace {environment.namespace}",)
    given = {service.name: _image(workload, service.container), "environment": environment.name}
    try:
        config = parse_run_config(train, {environment.name: environment}, {**given, "dry_run": True})
        await survey(client, train, config)
    except (RunConfigError, PlanError) as error:
        return error.problems
    except KubernetesError as error:
        return _unseen("the plan could not be made", error)
    return tuple(await refusals(client, environment, train, [service.name]))


def _image(workload: Manifest, container: str) -> str:
    containers = workload.spec.get("template", {}).get("spec", {}).get("containers") or ()
    return next((str(one.get("image")) for one in containers if one.get("name") == container), "")


async def _kind(client: KubernetesClient, kind: str, namespace: str) -> tuple[Manifest, ...] | Unseen:
    try:
        found, _ = await client.list(KINDS[kind], kind, namespace)
    except KubernetesError as error:
        return _unseen(f"{kind}s in {namespace}", error)
    return tuple(found)


def _unseen(what: str, error: KubernetesError) -> Unseen:
    if isinstance(error, NotFound):
        return Unseen(f"{what}: {error}", "missing")
    return Unseen(f"{what}: {error}", "forbidden" if isinstance(error, Forbidden) else "away")
