"""The objects of a mesh, read once and indexed by what they are looked up by."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import TypeVar

from interlock.manifest import Manifest
from interlock.mesh.authorization_policy import AuthorizationPolicy
from interlock.mesh.destination_rule import DestinationRule, DestinationRules
from interlock.mesh.peer_authentication import PeerAuthentication
from interlock.mesh.policy_index import PolicyIndex
from interlock.mesh.reading import Problem, items, labels, mapping, path, text
from interlock.mesh.request_authentication import RequestAuthentication
from interlock.mesh.service import Service
from interlock.mesh.service_entry import ServiceEntry
from interlock.mesh.settings import MeshSettings
from interlock.mesh.sidecar import Sidecar, sidecar_of
from interlock.mesh.workload import TEMPLATED, Workload, WorkloadError

T = TypeVar("T")

WORKLOAD_KINDS = frozenset({"Pod", "CronJob", *TEMPLATED})


@dataclass(frozen=True)
class Mesh:
    """A mesh's objects. Build it with `of`.

    Attributes:
        settings: The mesh's settings.
        workloads: Pods and controllers; a controller's pods are among them too, if they were given.
        namespaces: The labels of each namespace that was given.
        services: The Services of a namespace, oldest first.
        peer_authentications: Those of a namespace, oldest first.
        authorization_policies: Those of a namespace, oldest first.
        request_authentications: Those of a namespace.
        sidecars: The Sidecar objects of a namespace.
        destination_rules: The DestinationRules.
        service_entries: The ServiceEntries.
        webhooks: MutatingWebhookConfigurations as they are.
        annotations: Kind, name and own annotations of namespaces, Services, pods and Deployments.
        unread: Objects that are none, with what is wrong, by what could be told of their names.
        memo: What was worked out before: for a workload or for policies by their `id`.
    """

    settings: MeshSettings
    workloads: tuple[Workload, ...]
    namespaces: Mapping[str, Mapping[str, str]]
    services: Mapping[str, tuple[Service, ...]]
    peer_authentications: Mapping[str, tuple[PeerAuthentication, ...]]
    authorization_policies: Mapping[str, tuple[AuthorizationPolicy, ...]]
    request_authentications: Mapping[str, tuple[RequestAuthentication, ...]]
    sidecars: Mapping[str, tuple[Sidecar, ...]]
    destination_rules: tuple[DestinationRule, ...]
    service_entries: tuple[ServiceEntry, ...]
    webhooks: tuple[Mapping[str, object], ...]
    annotations: tuple[tuple[str, str, Mapping[str, str]], ...] = ()
    unread: tuple[tuple[str, Problem], ...] = ()
    memo: dict[str, dict[object, object]] = field(
        default_factory=lambda: defaultdict(dict), compare=False, repr=False
    )

    @classmethod
    def of(
        cls, objects: Iterable[Mapping[str, object] | Manifest], settings: MeshSettings | None = None
    ) -> Mesh:
        """The mesh of some objects; Lists are taken apart, kinds that don't matter are passed over.

        Args:
            objects: Parsed YAML or JSON, in any order, or manifests.
            settings: The mesh's settings; Istio's defaults if there are none.
        """
        given = settings or MeshSettings()
        found: dict[str, list[Mapping[str, object]]] = defaultdict(list)
        unread: list[tuple[str, Problem]] = []
        for raw in _flat(objects):
            kind = text(raw.get("kind"))
            if not text(path(raw, "metadata", "name")) and not text(path(raw, "metadata", "generateName")):
                unread.append((kind or "object", Problem("metadata.name", "an object needs a name")))
            else:
                found[kind].append(raw)
        workloads = []
        for kind in sorted(WORKLOAD_KINDS & found.keys()):
            for raw in found[kind]:
                try:
                    workloads.append(Workload.of(raw))
                except WorkloadError as error:
                    unread.append((kind, Problem("kind", str(error))))
        peers = sorted(
            map(PeerAuthentication.of, _istio(found, "PeerAuthentication")), key=lambda p: p.age_order
        )
        policies = sorted(
            map(AuthorizationPolicy.of, _istio(found, "AuthorizationPolicy")), key=lambda p: p.age_order
        )
        services = sorted(
            (Service.of(raw, given.cluster_domain) for raw in found["Service"]),
            key=lambda service: (service.created, service.host),
        )
        return cls(
            settings=given,
            workloads=tuple(workloads),
            namespaces={
                text(path(raw, "metadata", "name")): labels(path(raw, "metadata", "labels"))
                for raw in found["Namespace"]
            },
            services=_by_namespace(services, lambda service: service.namespace),
            peer_authentications=_by_namespace(peers, lambda policy: policy.namespace),
            authorization_policies=_by_namespace(policies, lambda policy: policy.namespace),
            request_authentications=_by_namespace(
                map(RequestAuthentication.of, _istio(found, "RequestAuthentication")), lambda p: p.namespace
            ),
            sidecars=_by_namespace(map(Sidecar.of, _istio(found, "Sidecar")), lambda s: s.namespace),
            destination_rules=tuple(
                DestinationRule.of(raw, given.cluster_domain) for raw in _istio(found, "DestinationRule")
            ),
            service_entries=tuple(map(ServiceEntry.of, _istio(found, "ServiceEntry"))),
            webhooks=tuple(found["MutatingWebhookConfiguration"]),
            annotations=tuple(
                (kind, _ref(kind, raw), annotations)
                for kind in ("Namespace", "Service", "Pod", "Deployment")
                for raw in found[kind]
                if (annotations := labels(path(raw, "metadata", "annotations")))
            ),
            unread=tuple(unread),
        )

    @cached_property
    def rules_of_clients(self) -> DestinationRules:
        """The DestinationRules, indexed for the lookups of clients."""
        return DestinationRules.of(self.destination_rules, self.settings.root_namespace)

    @cached_property
    def policy_index(self) -> PolicyIndex:
        """The AuthorizationPolicies, by the workloads that they are for."""
        return PolicyIndex(self.authorization_policies, self.settings)

    @cached_property
    def service_by_host(self) -> Mapping[str, Service]:
        """The Service of a full name."""
        return {service.host: service for group in self.services.values() for service in group}

    @cached_property
    def workloads_of_namespace(self) -> Mapping[str, tuple[Workload, ...]]:
        """The workloads of a namespace."""
        return _by_namespace(self.workloads, lambda workload: workload.namespace)

    def services_of(self, workload: Workload) -> tuple[Service, ...]:
        """The Services that have a workload among their endpoints, oldest first."""
        return tuple(s for s in self.services.get(workload.namespace, ()) if s.selects(workload))

    def endpoints(self, service: Service) -> tuple[Workload, ...]:
        """The workloads behind a Service: its pods, or without any the controllers that make them."""
        found = [w for w in self.workloads_of_namespace.get(service.namespace, ()) if service.selects(w)]
        return tuple(w for w in found if w.live) or tuple(found)

    def sidecar_object(self, workload: Workload) -> Sidecar | None:
        """The Sidecar object that holds for a workload; None if none does."""
        return sidecar_of(
            workload,
            self.sidecars.get(workload.namespace, ()),
            self.sidecars.get(self.settings.root_namespace, ()),
        )


def _ref(kind: str, raw: Mapping[str, object]) -> str:
    name = text(path(raw, "metadata", "name")) or text(path(raw, "metadata", "generateName"))
    namespace = text(path(raw, "metadata", "namespace")) or "default"
    return f"{kind} {name}" if kind == "Namespace" else f"{kind} {namespace}/{name}"


def _flat(objects: Iterable[Mapping[str, object] | Manifest]) -> Iterable[Mapping[str, object]]:
    for given in objects:
        raw = given.raw if isinstance(given, Manifest) else mapping(given)
        if text(raw.get("kind")).endswith("List") and isinstance(raw.get("items"), list):
            kind = text(raw.get("kind")).removesuffix("List")
            for item in map(mapping, items(raw.get("items"))):
                yield from _flat([item if item.get("kind") or not kind else {**item, "kind": kind}])
        else:
            yield raw


def _istio(found: Mapping[str, list[Mapping[str, object]]], kind: str) -> list[Mapping[str, object]]:
    """Objects of Istio's own groups; other groups have kinds of the same name (AuthorizationPolicy)."""
    return [
        raw
        for raw in found.get(kind, ())
        if ".istio.io/" in text(raw.get("apiVersion")) or "apiVersion" not in raw
    ]


def _by_namespace(found: Iterable[T], namespace: Callable[[T], str]) -> dict[str, tuple[T, ...]]:
    grouped: dict[str, list[T]] = defaultdict(list)
    for item in found:
        grouped[namespace(item)].append(item)
    return {key: tuple(group) for key, group in grouped.items()}
