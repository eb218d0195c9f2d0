"""Objects of services as a run finds and leaves them, as plain values."""

from __future__ import annotations

from datetime import UTC, datetime

from interlock.manifest import Manifest, ObjectRef
from interlock.trains.change import FieldWrite
from interlock.trains.fields import FieldPath, ListKey, put

AT = datetime(2026, 3, 1, tzinfo=UTC)


IMAGE = FieldPath.of("spec", "template", "spec", "containers", ListKey("name", "app"), "image")


NOTE = FieldPath.of("metadata", "annotations", "release")


def ref(service: str) -> ObjectRef:
    return ObjectRef("apps/v1", "Deployment", "payments", service)


def workload(service: str, version: str, *, uid: str = "u", available: int = 1, note: str = "") -> Manifest:
    return Manifest.of(
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {
                "name": service,
                "namespace": "payments",
                "uid": uid,
                "generation": 1,
                "annotations": {"release": note or version},
            },
            "spec": {
                "replicas": 1,
                "template": {"spec": {"containers": [{"name": "app", "image": version}]}},
            },
            "status": {
                "observedGeneration": 1,
                "replicas": 1,
                "updatedReplicas": 1,
                "availableReplicas": available,
            },
        }
    )


KEY = FieldPath.of("data", "key")


def config(service: str) -> ObjectRef:
    return ObjectRef("v1", "ConfigMap", "payments", service)


def bare(named: ObjectRef) -> Manifest:
    """An object right after its creation."""
    metadata = {"name": named.name, "namespace": named.namespace, "uid": "created"}
    return Manifest.of({"apiVersion": named.api_version, "kind": named.kind, "metadata": metadata})


def settings_of(service: str, value: str) -> Manifest:
    return Manifest.of(put(bare(config(service)).raw, KEY, value))


WRITES = (FieldWrite(NOTE, "1", "2", None), FieldWrite(IMAGE, "1", "2", None))
