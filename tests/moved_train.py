"""A train in a cluster in memory that has moved two services, b after a, and whose journal is open."""

from __future__ import annotations

from datetime import UTC, datetime

from memory_cluster import MemoryCluster

from interlock.clients.journal import JournalStore
from interlock.clients.locks import take_all
from interlock.clients.workloads import promote
from interlock.manifest import Manifest, ObjectRef
from interlock.trains.change import Change, FieldWrite
from interlock.trains.entries import Head
from interlock.trains.fields import FieldPath
from interlock.trains.model import Environment
from interlock.trains.plan import Plan

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
SANDBOX = Environment("sandbox", "interlock_kubernetes", "payments", "interlock", "v", "require", "store")
IMAGE = FieldPath.parse("spec.template.spec.containers[name=app].image")
DAG, RUN = "promotion_train__payments", "manual__1"
HOLDER = f"{DAG}/{RUN}"


def deployment(name: str) -> Manifest:
    container = {"name": "app", "image": f"{name}:1"}
    return Manifest.of(
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": name, "namespace": "payments", "uid": f"uid-of-{name}", "annotations": {}},
            "spec": {"replicas": 1, "template": {"spec": {"containers": [container]}}},
        }
    )


def ref(name: str) -> ObjectRef:
    return ObjectRef("apps/v1", "Deployment", "payments", name)


async def image(cluster: MemoryCluster, name: str) -> str:
    found = await cluster.get(ref(name))
    assert found is not None
    return str(found.raw["spec"]["template"]["spec"]["containers"][0]["image"])


def planned() -> Plan:
    changes = [
        Change(name, ref(name), (FieldWrite(IMAGE, f"{name}:1", f"{name}:2", None),)) for name in ("a", "b")
    ]
    return Plan.of("payments", "sandbox", changes)


async def moved(*workloads: Manifest) -> MemoryCluster:
    """The cluster once the train has moved both, with nobody left to end it."""
    cluster = MemoryCluster(*(workloads or (deployment("a"), deployment("b"))))
    fences = await take_all(cluster, "payments", "interlock", ["a", "b"], HOLDER, NOW)
    assert isinstance(fences, dict)
    store = JournalStore(cluster, "interlock")
    plan = planned()
    head = Head(DAG, RUN, "payments", "sandbox", plan.to_json(), NOW)
    await store.open(head)
    for change in plan.changes:
        fence = fences[change.service]
        await promote(cluster, store, head.run, change, transitions=fence, try_number=1, now=lambda: NOW)
    return cluster
