"""The Sidecar resource, as far as security goes: where a sidecar listens, and whom it may call.

Follows pilot/pkg/model/sidecar.go and `doGetSidecarScope` of pilot/pkg/model/push_context.go.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from interlock.mesh.host import subset_of
from interlock.mesh.reading import (
    Problem,
    items,
    labels,
    mapping,
    number,
    path,
    selects,
    text,
    texts,
    timestamp,
)
from interlock.mesh.service import Protocol, protocol_of
from interlock.mesh.workload import Workload


@dataclass(frozen=True, slots=True)
class Ingress:
    """A port that a Sidecar makes the proxy listen on."""

    port: int
    protocol: Protocol
    binds: bool
    tls: bool


@dataclass(frozen=True, slots=True)
class Sidecar:
    """One Sidecar. Build it with `of`.

    Attributes:
        namespace: Its namespace.
        name: Its name.
        created: When it was created, UTC.
        selector: The labels it asks for; None if it is the default of its namespace.
        ingress: The ports it declares; with any, Services' ports are not.
        egress: The hosts that may be called, `namespace/host`, of each listener; None if it doesn't say.
        registry_only: Whether hosts that aren't known may be called; None if it doesn't say.
        problems: What is wrong with it.
    """

    namespace: str
    name: str
    created: datetime
    selector: Mapping[str, str] | None
    ingress: tuple[Ingress, ...]
    egress: tuple[tuple[str, ...], ...] | None
    registry_only: bool | None
    problems: tuple[Problem, ...] = ()

    @classmethod
    def of(cls, raw: Mapping[str, object]) -> Sidecar:
        """The Sidecar of its JSON."""
        metadata, spec = mapping(raw.get("metadata")), mapping(raw.get("spec"))
        given = spec.get("workloadSelector")
        egress = items(spec.get("egress"))
        mode = path(spec, "outboundTrafficPolicy", "mode")
        says = spec.get("outboundTrafficPolicy") is not None or spec.get("inboundConnectionPool") is not None
        problems: tuple[Problem, ...] = ()
        if not egress and not items(spec.get("ingress")) and not says:
            problems = (Problem("spec", "sidecar: empty configuration provided"),)
        return cls(
            namespace=text(metadata.get("namespace")) or "default",
            name=text(metadata.get("name")),
            created=timestamp(metadata.get("creationTimestamp")),
            selector=labels(path(given, "labels")) if isinstance(given, Mapping) else None,
            ingress=tuple(
                found
                for entry in items(spec.get("ingress"))
                if (found := _ingress(mapping(entry))) is not None
            ),
            egress=tuple(texts(mapping(entry).get("hosts")) for entry in egress) or None,
            registry_only=None if mode is None else mode == "REGISTRY_ONLY",
            problems=problems,
        )

    @property
    def ref(self) -> str:
        """`Sidecar payments/default`."""
        return f"Sidecar {self.namespace}/{self.name}"

    def imports(self, host: str, namespace: str, client_namespace: str) -> bool:
        """Whether its workloads know a service; one that they don't know they call without mTLS, if at all.

        Args:
            host: The service's full name.
            namespace: The service's namespace.
            client_namespace: The workload's namespace, which `.` stands for.
        """
        if self.egress is None:
            return True
        return any(_imports(hosts, host, namespace, client_namespace) for hosts in self.egress)


def _imports(hosts: tuple[str, ...], host: str, namespace: str, client_namespace: str) -> bool:
    """Whether one egress listener imports a host; `~` excludes, also without a namespace: `~/*`."""
    included = False
    for entry in hosts:
        if entry.count("/") != 1:
            continue  # Istio logs an error, and goes on without it.
        scope, _, pattern = entry.partition("/")
        excludes = scope.startswith("~")
        scope = scope.removeprefix("~") or "*" if excludes else scope
        scope = client_namespace if scope == "." else scope
        if scope not in ("*", namespace) or not subset_of(host, pattern):
            continue
        if excludes:
            return False
        included = True
    return included


def sidecar_of(workload: Workload, local: Sequence[Sidecar], root: Sequence[Sidecar]) -> Sidecar | None:
    """The Sidecar that holds for a workload; None if none does.

    Args:
        workload: The workload.
        local: The Sidecars of its namespace.
        root: Those of the root namespace.
    """
    for found in sorted(local, key=lambda sidecar: (sidecar.selector is None, _age(sidecar))):
        if found.selector is None or selects(found.selector, workload.labels):
            return found
    defaults = [sidecar for sidecar in root if sidecar.selector is None]
    return min(defaults, key=_age, default=None)


def _age(sidecar: Sidecar) -> tuple[datetime, str, str]:
    return (sidecar.created, sidecar.name, sidecar.namespace)


def _ingress(raw: Mapping[str, object]) -> Ingress | None:
    port = number(path(raw, "port", "number"))
    if port is None:
        return None
    protocol = protocol_of(0, text(path(raw, "port", "protocol")), "TCP", None)
    return Ingress(port, protocol, raw.get("captureMode") == "NONE", isinstance(raw.get("tls"), Mapping))
