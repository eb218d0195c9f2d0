"""A train of three services, what is live of it, and the plans that are made of both."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from interlock.manifest import Manifest, ObjectRef
from interlock.trains.change import Change
from interlock.trains.config import Release, RunConfig
from interlock.trains.fields import FieldPath
from interlock.trains.model import Environment, Service, Train
from interlock.trains.plan import Plan, make_plan

IMAGE = FieldPath.parse("spec.template.spec.containers[name=app].image")


SANDBOX = Environment("sandbox", "interlock_kubernetes", "payments", "interlock", "v", "require", "store")


def service(name: str, *after: str, kind: str = "Deployment") -> Service:
    return Service(
        name=name,
        image=f"registry.internal/{name}",
        kind=kind,
        workload=name,
        container="app",
        after=after,
        deadline=timedelta(minutes=5),
        soak=timedelta(seconds=15),
    )


TRAIN = Train(
    name="payments",
    description="",
    approval=False,
    environments=("sandbox",),
    services=(service("service-b", "service-a"), service("service-a"), service("data", kind="StatefulSet")),
)


def config(**board: str) -> RunConfig:
    releases = {
        name.replace("_", "-"): Release(f"registry.internal/{name.replace('_', '-')}:{tag}")
        for name, tag in board.items()
    }
    return RunConfig(releases, SANDBOX, dry_run=False, change="", reason="")


def workload(name: str = "service-a", *, kind: str = "Deployment", tag: str = "1.0.0") -> dict[str, Any]:
    return {
        "apiVersion": "apps/v1",
        "kind": kind,
        "metadata": {"name": name, "namespace": "payments", "uid": "u1", "resourceVersion": "5"},
        "spec": {
            "replicas": 2,
            "template": {
                "spec": {
                    "containers": [
                        {"name": "proxy", "image": "proxy:1"},
                        {"name": "app", "image": f"registry.internal/{name}:{tag}"},
                    ]
                }
            },
        },
    }


def owned_by(*managers: str, key: str = 'k:{"name":"app"}') -> list[dict[str, Any]]:
    fields = {"f:spec": {"f:template": {"f:spec": {"f:containers": {key: {".": {}, "f:image": {}}}}}}}
    return [{"manager": manager, "operation": "Update", "fieldsV1": fields} for manager in managers]


def plan_of(config: RunConfig, live: dict[str, Manifest | None]) -> Plan:
    services = {name: TRAIN.service(name) for name in live}
    refs = {name: ObjectRef("apps/v1", s.kind, "payments", s.workload) for name, s in services.items()}
    return make_plan(TRAIN, config, {refs[name]: manifest for name, manifest in live.items()})


def planned(raw: dict[str, Any], tag: str = "1.1.0") -> Change:
    (change,) = plan_of(config(service_a=tag), {"service-a": Manifest.of(raw)}).changes
    return change
