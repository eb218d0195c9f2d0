"""Why a workload can't be promoted, told before anything is touched."""

from __future__ import annotations

from collections.abc import Mapping

from interlock.manifest import Manifest
from interlock.trains.fields import FieldPath, get
from interlock.trains.model import Service
from interlock.trains.ownership import managed_by


def obstacles(service: Service, live: Manifest) -> list[str]:
    """What stands in the way of promoting this workload, a line each; empty if nothing does."""
    found: list[str] = []
    ref = f"{service.kind}/{service.workload}"
    if (live.kind, live.name) != (service.kind, service.workload):
        return [f"found {live.ref}, expected {ref}"]
    if "deletionTimestamp" in live.metadata:
        found.append(f"{ref} is being deleted")
    if tool := managed_by(live):
        found.append(f"{ref} is managed by {tool}, which would undo the promotion; promote it there")
    if live.spec.get("paused"):
        found.append(f"{ref} is paused, so its rollout would never end; resume it")
    strategy = live.spec.get("updateStrategy") or {}
    if strategy.get("type") == "OnDelete":
        found.append(f"{ref} has the update strategy OnDelete, so nothing rolls out; expected RollingUpdate")
    if partition := (strategy.get("rollingUpdate") or {}).get("partition"):
        found.append(
            f"{ref} has the partition {partition}, so part of it would stay at the old release; set it to 0"
        )
    pod = get(live.raw, FieldPath.of("spec", "template", "spec"))
    containers = pod.get("containers") if isinstance(pod, Mapping) else None
    names = [str(container.get("name")) for container in containers or ()]
    if service.container not in names:
        found.append(f"{ref} has no container {service.container!r}, only {', '.join(names) or 'none'}")
    return found
