"""The items of the checklist, in its order."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

ITEMS: Final[Mapping[str, str]] = {
    "structure.labels": "Labels as the other services have them",
    "structure.ports": "Ports named by protocol",
    "structure.probes": "Readiness and liveness probes",
    "structure.resources": "Requests and limits",
    "structure.service-account": "A service account of its own",
    "structure.disruption-budget": "A disruption budget",
    "structure.topology": "Spread over the topology",
    "mesh.injection": "Sidecar injected",
    "mesh.strict": "Effective mTLS is STRICT",
    "mesh.authorization": "Authorization policy names its callers",
    "mesh.destination-rule": "DestinationRule for its host",
    "monitoring.scraped": "Scraped by Prometheus",
    "monitoring.golden-signals": "Golden signals present",
    "monitoring.alert-rules": "Alert rules",
    "vault.role": "A role in Vault",
    "vault.paths": "Its secrets in Vault",
    "promotion.train": "In a train",
    "promotion.dependencies": "Its dependencies exist, without a cycle",
    "promotion.dry-run": "A dry run passes",
}
"""Each item's title by its id, `GROUP.NAME`; docs/onboarding.md explains each."""

GROUPS: Final[Mapping[str, str]] = {
    "structure": "Structure",
    "mesh": "Mesh",
    "monitoring": "Monitoring",
    "vault": "Vault",
    "promotion": "Promotion",
}
"""The titles of the groups, in the order of the page."""
