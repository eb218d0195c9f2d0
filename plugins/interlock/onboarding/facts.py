"""What was seen of a service, and of what it needs around it. A part that could not be seen is `Unseen`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from interlock.environment.check import Unseen
from interlock.manifest import Manifest
from interlock.mesh.settings import MeshSettings
from interlock.mesh.traffic import Observation
from interlock.onboarding.found import Absent, CannotSee
from interlock.onboarding.service_file import ServiceFile
from interlock.trains.model import Service, Train


@dataclass(frozen=True, slots=True)
class MeshFacts:
    """The objects of the services' and of the root namespace, and the mesh's settings."""

    objects: tuple[Manifest, ...]
    settings: MeshSettings


@dataclass(frozen=True, slots=True)
class AlertRule:
    """One alerting rule: its name, its PromQL expression, its labels."""

    name: str
    expression: str
    labels: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Alerts:
    """The alerting rules that there are.

    Attributes:
        rules: All that were seen.
        operator: Whether rules are objects of the cluster (PrometheusRule), else files of Prometheus.
    """

    rules: tuple[AlertRule, ...]
    operator: bool


@dataclass(frozen=True, slots=True)
class VaultRole:
    """A role of an authentication method.

    Attributes:
        policies: The policies its tokens get.
        service_accounts: Who may log in; None where the method asks for something else.
        namespaces: From which namespaces.
    """

    policies: tuple[str, ...]
    service_accounts: tuple[str, ...] | None = None
    namespaces: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class VaultFacts:
    """What was seen in Vault.

    Attributes:
        mount: The KV engine's mount point.
        kv_version: 1 or 2.
        role: The service's role.
        secrets: The names of the keys of each secret, by its path.
    """

    mount: str
    kv_version: int
    role: VaultRole | Unseen
    secrets: Mapping[str, tuple[str, ...] | Unseen]


@dataclass(frozen=True, slots=True)
class Promotion:
    """The trains, and what a dry run said.

    Attributes:
        trains: Those that load and go to the environment.
        broken: By train, what is wrong with a file that names the service and doesn't load.
        dry_run: What keeps the service's release from being promoted; empty if nothing does.
    """

    trains: tuple[Train, ...]
    broken: Mapping[str, str]
    dry_run: tuple[str, ...] | Unseen


@dataclass(frozen=True, slots=True)
class Facts:
    """All that the rules look at.

    Attributes:
        service: The service's name.
        namespace: Where the environment's services are.
        file: What its owner says.
        at: When it was looked at.
        objects: The objects of the namespace by kind; None where the cluster has no such kind.
        mesh: The mesh's objects.
        observed: What Prometheus has of the traffic.
        alerts: The alerting rules.
        vault: What Vault has; None where the service needs nothing of it.
        promotion: The trains.
    """

    service: str
    namespace: str
    file: ServiceFile
    at: datetime
    objects: Mapping[str, tuple[Manifest, ...] | Unseen]
    mesh: MeshFacts | Unseen
    observed: Observation | Unseen
    alerts: Alerts | Unseen
    vault: VaultFacts | Unseen | None
    promotion: Promotion

    @property
    def in_train(self) -> Service | None:
        """The service as the first train that has it says; None if none has."""
        for train in self.promotion.trains:
            for service in train.services:
                if service.name == self.service:
                    return service
        return None

    @property
    def kind(self) -> str:
        """Its workload's kind."""
        train = self.in_train
        return self.file.kind or (train.kind if train else "Deployment")

    @property
    def workload_name(self) -> str:
        """Its workload's name."""
        train = self.in_train
        return self.file.workload or (train.workload if train else self.service)

    @property
    def container(self) -> str:
        """The name of the container that serves."""
        train = self.in_train
        return self.file.container or (train.container if train else "app")

    def listed(self, kind: str) -> tuple[Manifest, ...]:
        """The objects of a kind.

        Raises:
            CannotSee: They could not be listed.
        """
        found = self.objects.get(kind, Unseen(f"objects of kind {kind} were not asked for"))
        if isinstance(found, Unseen):
            raise CannotSee(found.why)
        return found

    def workload(self) -> Manifest:
        """What runs the service.

        Raises:
            CannotSee: It could not be looked for.
            Absent: It isn't there.
        """
        for one in self.listed(self.kind):
            if one.name == self.workload_name:
                return one
        raise Absent(f"there is no {self.kind} {self.workload_name} in the namespace {self.namespace}")

    def others(self) -> tuple[tuple[str, Manifest], ...]:
        """The other services of its trains and what runs each; without a train, those of all trains."""
        mine = [t for t in self.promotion.trains if any(s.name == self.service for s in t.services)]
        wanted = {
            (service.kind, service.workload): service.name
            for train in mine or self.promotion.trains
            for service in train.services
            if service.name != self.service
        }
        kinds = dict.fromkeys(kind for kind, _ in wanted)
        return tuple(
            (wanted[kind, one.name], one)
            for kind in kinds
            for one in self.listed(kind)
            if (kind, one.name) in wanted
        )
