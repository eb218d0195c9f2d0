"""The images of a workload set without a train: what they are, and the object that sets them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from interlock.manifest import FIELD_MANAGER, PREFIX, Manifest, ObjectRef
from interlock.trains.fields import FieldPath, ListKey, get, put
from interlock.trains.model import Service
from interlock.trains.obstacles import obstacles
from interlock.trains.ownership import owner

BEFORE = "before"
ROLLOUT = f"{PREFIX}rollout"
"""Annotation on a workload: which task rolled it out, and the images it found, so that a retry knows them."""


class ImagesError(ValueError):
    """The images of this workload can't be set; the message says why."""


def images_in(live: Manifest | None, ref: ObjectRef, containers: Mapping[str, str]) -> dict[str, str]:
    """The images that these containers have.

    Raises:
        ImagesError: the workload is not there, or can't be rolled out; the message has all reasons.
    """
    if live is None:
        raise ImagesError(f"no {ref} in namespace {ref.namespace}")
    problems: list[str] = []
    for container in containers:
        problems += [p for p in obstacles(_service(ref, container), live) if p not in problems]
    if problems:
        raise ImagesError("; ".join(problems))
    return {container: str(get(live.raw, _image_path(container))) for container in containers}


def _service(ref: ObjectRef, container: str) -> Service:
    return Service(
        name=ref.name,
        image="",
        kind=ref.kind,
        workload=ref.name,
        container=container,
        after=(),
        deadline=timedelta(0),
        soak=timedelta(0),
    )


def _image_path(container: str) -> FieldPath:
    return FieldPath.of("spec", "template", "spec", "containers", ListKey("name", container), "image")


def left_by(task: str, live: Manifest) -> dict[str, str] | None:
    """The images that this task found at its first write, if it has written already."""
    try:
        left = json.loads(live.annotations.get(ROLLOUT, "null"))
    except ValueError:
        return None
    if not task or not isinstance(left, dict) or left.get("task") != task:
        return None
    before = left.get(BEFORE)
    return {str(name): str(image) for name, image in before.items()} if isinstance(before, dict) else None


def apply_object(live: Manifest, images: Mapping[str, str], task: str, before: Mapping[str, str]) -> Manifest:
    """The apply object: the images, and those of other containers that would be lost if we let go of them."""
    metadata: dict[str, Any] = {
        "name": live.name,
        "namespace": live.namespace,
        "uid": live.uid,
        "resourceVersion": live.resource_version,
    }
    if task:
        left = {"task": task, BEFORE: dict(before)}
        metadata["annotations"] = {ROLLOUT: json.dumps(left, sort_keys=True)}
    raw: dict[str, Any] = {"apiVersion": live.api_version, "kind": live.kind, "metadata": metadata}
    for container in live.raw["spec"]["template"]["spec"]["containers"]:
        path = _image_path(container["name"])
        if container["name"] in images:
            raw = put(raw, path, images[container["name"]])
        elif owner(live, path) == FIELD_MANAGER:
            raw = put(raw, path, container["image"])
    return Manifest.of(raw)
