"""What a release wants of a service's objects: the image that the run brings, and the service's manifests.

Only fields that a manifest names are wanted; all others stay as they are in the cluster.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from interlock.manifest import Manifest, ObjectRef
from interlock.trains.config import Release, RunConfig
from interlock.trains.fields import FieldPath, ListKey, get, leaves, put, same
from interlock.trains.kinds import KINDS, WORKLOAD_API, WORKLOADS
from interlock.trains.model import Service, Train
from interlock.trains.ownership import managed_by

_IDENTITY = {
    FieldPath.of("apiVersion"),
    FieldPath.of("kind"),
    FieldPath.of("metadata", "name"),
    FieldPath.of("metadata", "namespace"),
}


def image_of(container: str) -> FieldPath:
    """The field that a release's image goes to."""
    return FieldPath.of("spec", "template", "spec", "containers", ListKey("name", container), "image")


def desired(service: Service, release: Release, namespace: str) -> tuple[dict[str, Any], ...]:
    """The objects of a release, the workload last: the fields that Interlock wants to own, and no other."""
    given = [_placed(manifest, namespace) for manifest in service.manifests]
    further = [raw for raw in given if raw["kind"] in KINDS]
    order = list(KINDS)
    further.sort(key=lambda raw: (order.index(raw["kind"]), raw["metadata"]["name"]))
    bare: dict[str, Any] = {
        "apiVersion": WORKLOAD_API,
        "kind": service.kind,
        "metadata": {"name": service.workload, "namespace": namespace},
    }
    workload = next((raw for raw in given if raw["kind"] in WORKLOADS), bare)
    return (*further, put(workload, image_of(service.container), release.image))


def refs(train: Train, config: RunConfig) -> tuple[ObjectRef, ...]:
    """All objects of the releases on board."""
    return tuple(ref_of(raw) for raws in _all(train, config).values() for raw in raws)


def drafts(
    train: Train, config: RunConfig, live: Mapping[ObjectRef, Manifest | None]
) -> tuple[tuple[str, Manifest], ...]:
    """The objects as the run would write them, each with its service, for a dry run by the API server.

    An image is stored as it is sent, so a service without manifests asks for nothing.

    Raises:
        FieldError: A manifest has another shape than the object in the cluster.
    """
    found = []
    for name, raws in _all(train, config).items():
        given = {(manifest.kind, manifest.name) for manifest in train.service(name).manifests}
        for raw in raws:
            ref = ref_of(raw)
            if (ref.kind, ref.name) not in given or (ref.kind in WORKLOADS and live.get(ref) is None):
                continue
            made = draft(live.get(ref), raw)
            if made is not None:
                found.append((name, made))
    return tuple(found)


def draft(live: Manifest | None, wanted: Mapping[str, Any]) -> Manifest | None:
    """An object with the wanted fields, as it would be written; None if it has them."""
    if live is None:
        return Manifest.of(wanted)
    raw: dict[str, Any] = live.raw
    for path in wanted_fields(wanted):
        value = get(wanted, path)
        if not same(get(raw, path), value):
            raw = put(raw, path, value)
    return None if raw is live.raw else Manifest.of(raw)


def wanted_fields(wanted: Mapping[str, Any]) -> list[FieldPath]:
    """The fields that an object of a release sets.

    Containers, variables and volumes of a workload are told apart by their names, as others have theirs
    beside them. Any other object's list is one value: what a manifest no longer lists is gone.
    """
    found = leaves(wanted, keyed=wanted["kind"] in WORKLOADS)
    return [path for path in found if path not in _IDENTITY]


def obstacle(live: Manifest) -> list[str]:
    """What stands in the way of changing a further object, a line each; empty if nothing does."""
    found = []
    if "deletionTimestamp" in live.metadata:
        found.append(f"{live.ref} is being deleted")
    if tool := managed_by(live):
        found.append(f"{live.ref} is managed by {tool}, which would undo the change; change it there")
    return found


def ref_of(raw: Mapping[str, Any]) -> ObjectRef:
    """The name of an object that isn't read from a server."""
    return ObjectRef(raw["apiVersion"], raw["kind"], raw["metadata"]["namespace"], raw["metadata"]["name"])


def _all(train: Train, config: RunConfig) -> dict[str, tuple[dict[str, Any], ...]]:
    namespace = config.environment.namespace
    return {name: desired(train.service(name), release, namespace) for name, release in config.board.items()}


def _placed(manifest: Manifest, namespace: str) -> dict[str, Any]:
    return {**manifest.raw, "metadata": {**manifest.metadata, "namespace": namespace}}
