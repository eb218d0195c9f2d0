"""The kinds of objects that a release may consist of, and the order in which they are written."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

WORKLOADS: Final = ("Deployment", "StatefulSet", "DaemonSet")
WORKLOAD_API: Final = "apps/v1"

KINDS: Final[Mapping[str, str]] = {
    # A pod names its account and reads its configuration when it starts.
    "ServiceAccount": "v1",
    "ConfigMap": "v1",
    # Then what brings requests to it; a route comes after the subsets that it names.
    "Service": "v1",
    "DestinationRule": "networking.istio.io/v1",
    "VirtualService": "networking.istio.io/v1",
    # Who may call it, and in which way.
    "PeerAuthentication": "security.istio.io/v1",
    "AuthorizationPolicy": "security.istio.io/v1",
    "NetworkPolicy": "networking.k8s.io/v1",
    # How many pods of it there are.
    "PodDisruptionBudget": "policy/v1",
    "HorizontalPodAutoscaler": "autoscaling/v2",
}
"""The kinds that go with a release, each with its API, in the order of the writes; the workload comes last.

`include/deploy/kubernetes/rbac.yaml` grants the rights on exactly these, and `interlock doctor` tries them.
"""
