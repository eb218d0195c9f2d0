"""The objects that sidecars are configured from, as the API gives them, and what is asked of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Raw = Mapping[str, Any]

ROOT_NAMESPACE = "istio-system"
TRUST_DOMAIN = "cluster.local"
CLUSTER_DOMAIN = "cluster.local"
TLS_MODE_LABEL = "security.istio.io/tlsMode"
PROXY_CONTAINER = "istio-proxy"


@dataclass(frozen=True)
class Objects:
    """All objects of one moment; those of a kind are ordered oldest first.

    Attributes:
        pods: Those that have an address and aren't being deleted.
        services: All Services.
        peer_authentications: All PeerAuthentications.
        authorization_policies: All AuthorizationPolicies.
        destination_rules: All DestinationRules.
    """

    pods: Sequence[Raw] = ()
    services: Sequence[Raw] = ()
    peer_authentications: Sequence[Raw] = ()
    authorization_policies: Sequence[Raw] = ()
    destination_rules: Sequence[Raw] = ()

    @classmethod
    def of(cls, objects: Iterable[Raw]) -> Objects:
        """Sort mixed objects by their kind; other kinds are passed over."""
        kinds: dict[str, list[Raw]] = {}
        for raw in objects:
            kinds.setdefault(str(raw.get("kind")), []).append(raw)
        ordered = {kind: sorted(found, key=_age) for kind, found in kinds.items()}
        return cls(
            pods=[pod for pod in ordered.get("Pod", ()) if _reachable(pod)],
            services=ordered.get("Service", []),
            peer_authentications=ordered.get("PeerAuthentication", []),
            authorization_policies=ordered.get("AuthorizationPolicy", []),
            destination_rules=ordered.get("DestinationRule", []),
        )

    def endpoints(self, service: Raw) -> list[Raw]:
        """The pods behind a Service."""
        selector = service["spec"].get("selector") or {}
        if not selector:
            return []
        return [
            pod
            for pod in self.pods
            if namespace(pod) == namespace(service) and selects(selector, labels(pod))
        ]

    def services_of(self, pod: Raw) -> list[Raw]:
        """The Services that a pod is behind."""
        return [service for service in self.services if any(p is pod for p in self.endpoints(service))]


def _age(raw: Raw) -> tuple[str, str, str]:
    metadata = raw["metadata"]
    return (
        str(metadata.get("creationTimestamp") or ""),
        str(metadata["name"]),
        str(metadata.get("namespace") or ""),
    )


def _reachable(pod: Raw) -> bool:
    return bool((pod.get("status") or {}).get("podIP")) and not pod["metadata"].get("deletionTimestamp")


def namespace(raw: Raw) -> str:
    """The namespace of an object."""
    return str(raw["metadata"].get("namespace") or "default")


def name(raw: Raw) -> str:
    """The name of an object."""
    return str(raw["metadata"]["name"])


def labels(raw: Raw) -> Mapping[str, str]:
    """The labels of an object."""
    return raw["metadata"].get("labels") or {}


def selects(selector: Mapping[str, str], given: Mapping[str, str]) -> bool:
    """Whether labels have all that a selector asks for."""
    return all(given.get(key) == value for key, value in selector.items())


def address(pod: Raw) -> str:
    """A pod's address: where its sidecar listens."""
    return str(pod["status"]["podIP"])


def inner_address(pod_address: str) -> str:
    """Where the program of an injected pod listens, for its sidecar and the node's probes alone.

    127.20.x.y is the pod's address, 127.21.x.y that of the program behind the sidecar.
    """
    return "127.21." + pod_address.removeprefix("127.20.")


def service_account(pod: Raw) -> str:
    """The name of a pod's ServiceAccount."""
    return str(pod["spec"].get("serviceAccountName") or "default")


def identity(pod: Raw) -> str:
    """The URI in the certificate of a pod's sidecar."""
    return f"spiffe://{TRUST_DOMAIN}/ns/{namespace(pod)}/sa/{service_account(pod)}"


def injected(pod: Raw) -> bool:
    """Whether a pod has a sidecar."""
    return any(container["name"] == PROXY_CONTAINER for container in pod["spec"]["containers"])


def is_ready(pod: Raw) -> bool:
    """Whether a pod takes requests."""
    conditions = (pod.get("status") or {}).get("conditions") or ()
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def workload_name(pod: Raw) -> str:
    """The name of the workload that a pod is of: its controller's, without the hash of a ReplicaSet."""
    for owner in pod["metadata"].get("ownerReferences") or ():
        if owner.get("controller"):
            known = labels(pod).get("pod-template-hash")
            return str(owner["name"]).removesuffix(f"-{known}") if known else str(owner["name"])
    return name(pod)


def canonical_name(pod: Raw) -> str:
    """The name under which Istio counts a pod's requests."""
    given = labels(pod)
    for label in ("service.istio.io/canonical-name", "app.kubernetes.io/name", "app"):
        if label in given:
            return given[label]
    return workload_name(pod)
