"""A workload as its mesh sees it: a pod, or the pods that a controller's template makes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from interlock.mesh.reading import items, labels, mapping, number, path, text, texts

PROXY = "istio-proxy"
"""The name of a sidecar's container."""

TEMPLATED = ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "ReplicationController", "Job")
"""Kinds whose `spec.template` is a pod's."""

GATEWAY_NAME = "gateway.networking.k8s.io/gateway-name"
"""The label of pods that Istio runs for a Gateway of the Gateway API."""

_WAYPOINT = ("gateway.istio.io/managed", "istio.io-mesh-controller")


class WorkloadError(ValueError):
    """An object runs no pods, or has no name; the message says which."""


class Proxy(StrEnum):
    """What stands between the network and a workload's containers."""

    SIDECAR = "sidecar"
    GATEWAY = "gateway"
    WAYPOINT = "waypoint"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class ContainerPort:
    """One declared port; `name` is empty if it has none."""

    number: int
    name: str
    protocol: str


@dataclass(frozen=True, slots=True)
class Container:
    """One container of a pod; an init container that restarts always is a native sidecar."""

    name: str
    image: str
    args: tuple[str, ...]
    env: Mapping[str, str]
    ports: tuple[ContainerPort, ...]
    restarts_always: bool = False
    user: int | None = None

    @classmethod
    def of(cls, raw: object) -> Container:
        """The container of its JSON."""
        found = mapping(raw)
        ports = tuple(
            ContainerPort(value, text(entry.get("name")), text(entry.get("protocol")) or "TCP")
            for entry in map(mapping, items(found.get("ports")))
            if (value := number(entry.get("containerPort"))) is not None
        )
        env = {
            text(entry.get("name")): text(entry.get("value"))
            for entry in map(mapping, items(found.get("env")))
        }
        return cls(
            name=text(found.get("name")),
            image=text(found.get("image")),
            args=texts(found.get("args")),
            env=env,
            ports=ports,
            restarts_always=found.get("restartPolicy") == "Always",
            user=number(path(found, "securityContext", "runAsUser")),
        )


@dataclass(frozen=True, slots=True)
class Workload:
    """What of a workload its mesh security depends on. Build it with `of`.

    Attributes:
        kind: `Pod`, or the controller's kind.
        namespace: Its namespace; `default` if the manifest has none.
        name: The object's name.
        labels: The pod's labels, which selectors match.
        annotations: The pod's annotations.
        service_account: The pod's service account; `default` if it names none.
        host_network: Whether it shares the node's network.
        containers: The containers.
        init_containers: The init containers; a native sidecar is one.
        pod_ip: A running pod's address; empty if not known.
        user: The user that containers run as unless they say otherwise; None if the pod doesn't say.
    """

    kind: str
    namespace: str
    name: str
    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    service_account: str
    host_network: bool
    containers: tuple[Container, ...]
    init_containers: tuple[Container, ...]
    pod_ip: str = ""
    user: int | None = None

    @classmethod
    def of(cls, raw: Mapping[str, object]) -> Workload:
        """The workload of an object's JSON.

        Raises:
            WorkloadError: The object runs no pods, or has no name.
        """
        kind, metadata = text(raw.get("kind")), mapping(raw.get("metadata"))
        name = text(metadata.get("name")) or text(metadata.get("generateName"))
        if not name:
            raise WorkloadError(f"{kind or 'an object'} without metadata.name is no workload")
        pod_metadata, spec = metadata, mapping(raw.get("spec"))
        if kind == "CronJob":
            spec = mapping(path(spec, "jobTemplate", "spec"))
        if kind in TEMPLATED or kind == "CronJob":
            template = mapping(spec.get("template"))
            pod_metadata, spec = mapping(template.get("metadata")), mapping(template.get("spec"))
        elif kind != "Pod":
            raise WorkloadError(
                f"{kind or 'an object without kind'} {name} runs no pods; "
                f"expected Pod, CronJob or one of {', '.join(TEMPLATED)}"
            )
        return cls(
            kind=kind,
            namespace=text(metadata.get("namespace")) or "default",
            name=name,
            labels=labels(pod_metadata.get("labels")),
            annotations=labels(pod_metadata.get("annotations")),
            service_account=text(spec.get("serviceAccountName"))
            or text(spec.get("serviceAccount"))
            or "default",
            host_network=spec.get("hostNetwork") is True,
            containers=tuple(map(Container.of, items(spec.get("containers")))),
            init_containers=tuple(map(Container.of, items(spec.get("initContainers")))),
            pod_ip=text(path(raw, "status", "podIP")) if kind == "Pod" else "",
            user=number(path(spec, "securityContext", "runAsUser")),
        )

    @property
    def ref(self) -> str:
        """`Pod payments/api-0`."""
        return f"{self.kind} {self.namespace}/{self.name}"

    @property
    def live(self) -> bool:
        """Whether it is a pod, so that what it lacks now it will never get."""
        return self.kind == "Pod"

    @property
    def proxy_container(self) -> Container | None:
        """The sidecar's container, also one that is a native sidecar; None if there is none."""
        for container in (*self.containers, *self.init_containers):
            if container.name == PROXY:
                return container
        return None

    @property
    def proxy(self) -> Proxy:
        """What its own containers and labels say it is; a template does not yet show its sidecar."""
        container = self.proxy_container
        args = container.args if container else ()
        if self.labels.get(_WAYPOINT[0]) == _WAYPOINT[1] or "waypoint" in args[1:3]:
            return Proxy.WAYPOINT
        if "router" in args[1:3] or (GATEWAY_NAME in self.labels and container is not None):
            return Proxy.GATEWAY
        if container is None or container.env.get("DISABLE_ENVOY") == "true":
            return Proxy.NONE
        return Proxy.SIDECAR

    @property
    def gateway_name(self) -> str | None:
        """The Gateway that Istio runs it for; None if for none."""
        return self.labels.get(GATEWAY_NAME)

    @property
    def application_containers(self) -> tuple[Container, ...]:
        """The containers but the sidecar's."""
        return tuple(container for container in self.containers if container.name != PROXY)

    @property
    def application_users(self) -> frozenset[int]:
        """The user ids that are given for the application's containers."""
        users = (self.user, *(container.user for container in self.application_containers))
        return frozenset(user for user in users if user is not None)

    def principal(self, trust_domain: str) -> str:
        """The identity that its sidecar's certificate carries, without `spiffe://`."""
        return f"{trust_domain}/ns/{self.namespace}/sa/{self.service_account}"
