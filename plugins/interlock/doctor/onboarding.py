"""The onboarding check: gathers what is to be seen of a service, and lets the core make its checklist.

For the command line, and for the operator: they give what reads connections.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from interlock.connections import Connection, ConnectionMissing
from interlock.doctor.line import PATIENCE_SECONDS
from interlock.environment.check import Unseen
from interlock.mesh.traffic import Observation
from interlock.onboarding.checklist import Checklist
from interlock.onboarding.facts import Alerts, Facts, MeshFacts, Promotion, VaultFacts
from interlock.onboarding.service_file import ServiceFile, load_service
from interlock.onboarding.vault import role_of
from interlock.project import load_trains, service_file, train_file
from interlock.trains.environments import Environments
from interlock.trains.located import Document
from interlock.trains.model import Environment, Train

if TYPE_CHECKING:
    from interlock.clients.kubernetes import KubernetesClient
    from interlock.manifest import Manifest


PROMETHEUS: Final = "interlock_prometheus"
"""The connection that is asked for metrics and rules."""


@dataclass(frozen=True)
class Question:
    """Which service is looked at, and with what.

    Attributes:
        service: its name.
        environment: where it is looked at.
        environments: the names of all environments; None: the trains' are not checked.
        read: gives a connection by its name, or raises ConnectionMissing.
        cluster: makes the client of the environment's cluster; raises ConnectionMissing.
        now: the clock.
    """

    service: str
    environment: Environment
    environments: tuple[str, ...] | None
    read: Callable[[str], Connection]
    cluster: Callable[[], KubernetesClient]
    now: Callable[[], datetime] = field(default=lambda: datetime.now(UTC))


def where(environments: Environments, service: str, asked: str) -> Environment:
    """The environment that was asked for; else the one of the service's file, else the first.

    Raises:
        TrainFileError: it, or the service's file, can't be used.
    """
    name = asked or load_service(service_file(service)).environment
    return environments.named(name or next(iter(environments.names or ()), ""))


def check_service(question: Question) -> Checklist:
    """Look at everything, and judge it.

    Raises:
        TrainFileError: the service's file can't be used.
    """
    file = load_service(service_file(question.service))
    return Checklist.of(asyncio.run(_facts(question, file)), question.environment.name)


async def _facts(question: Question, file: ServiceFile) -> Facts:
    trains = load_trains(question.environments)
    here = tuple(one for one in trains.loaded if question.environment.name in one.environments)
    broken = {name: text for name, text in trains.broken.items() if _names(name, question.service)}
    mine = next((one for one in here if any(s.name == question.service for s in one.services)), None)
    objects: dict[str, tuple[Manifest, ...] | Unseen]
    mesh: MeshFacts | Unseen
    alerts: Alerts | Unseen
    dry_run: tuple[str, ...] | Unseen
    from interlock.clients.service_look import KINDS

    try:
        client = question.cluster()
    except ConnectionMissing as error:
        mesh = alerts = dry_run = unseen = Unseen(str(error))
        objects = dict.fromkeys(KINDS, unseen)
    else:
        async with client:
            objects, mesh, alerts, dry_run = await _cluster(client, question, mine)
    seen = Facts(
        service=question.service,
        namespace=question.environment.namespace,
        file=file,
        at=question.now(),
        objects=objects,
        mesh=mesh,
        observed=Unseen("Prometheus was not asked"),
        alerts=alerts,
        vault=await asyncio.to_thread(_vault, question, file),
        promotion=Promotion(here, broken, dry_run),
    )
    observed, loaded = await asyncio.to_thread(_prometheus, question, seen)
    return replace(seen, observed=observed, alerts=_joined(alerts, loaded))


async def _cluster(
    client: KubernetesClient, question: Question, train: Train | None
) -> tuple[
    dict[str, tuple[Manifest, ...] | Unseen],
    MeshFacts | Unseen,
    Alerts | Unseen,
    tuple[str, ...] | Unseen,
]:
    from interlock.clients.service_look import look_at_mesh, look_at_objects, look_at_rules, try_train

    environment = question.environment
    objects, mesh, alerts = await asyncio.gather(
        look_at_objects(client, environment.namespace),
        look_at_mesh(client, environment),
        look_at_rules(client, environment.namespace),
    )
    if train is None:
        return objects, mesh, alerts, Unseen("it is in no train, so none could be tried", "missing")
    service = train.service(question.service)
    dry_run = await try_train(client, environment, train, service, objects[service.kind])
    return objects, mesh, alerts, dry_run


def _prometheus(question: Question, seen: Facts) -> tuple[Observation | Unseen, Alerts | Unseen]:
    from interlock.clients.prometheus_look import look_at_prometheus
    from interlock.clients.prometheus_settings import PrometheusSettings

    try:
        settings = PrometheusSettings.of_connection(question.read(PROMETHEUS))
    except ConnectionMissing as error:
        return Unseen(str(error)), Unseen(str(error))
    return look_at_prometheus(settings, seen.namespace, seen.at.timestamp())


def _joined(objects: Alerts | Unseen, loaded: Alerts | Unseen) -> Alerts | Unseen:
    """The rules of the cluster and of Prometheus, as far as they were seen."""
    if isinstance(objects, Alerts):
        rules = loaded.rules if isinstance(loaded, Alerts) else ()
        return Alerts((*objects.rules, *rules), operator=True)
    if isinstance(loaded, Alerts):
        return loaded
    return Unseen(f"{objects.why}; {loaded.why}")


def _vault(question: Question, file: ServiceFile) -> VaultFacts | Unseen | None:
    from interlock.clients.vault_look import look_for_service
    from interlock.clients.vault_settings import VaultSettings

    role = role_of(question.service, file)
    if role is None:
        return None
    try:
        settings = VaultSettings.of_connection(question.read(file.vault.connection))
    except ConnectionMissing as error:
        return Unseen(str(error))
    return look_for_service(replace(settings, timeout=PATIENCE_SECONDS), role, file.vault.paths)


def _names(train: str, service: str) -> bool:
    """Whether the file of a train that doesn't load names the service, as far as it can be read."""
    found = Document.read(train_file(train)).value
    services = found.get("services") if isinstance(found, dict) else None
    return isinstance(services, dict) and service in services
