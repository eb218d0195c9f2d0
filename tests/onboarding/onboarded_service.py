"""A service whose checklist is complete, and what the tests change about it."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from interlock.manifest import Manifest
from interlock.mesh.settings import MeshSettings
from interlock.mesh.traffic import Observation, Requests, Security, Source
from interlock.onboarding.applying import applied
from interlock.onboarding.facts import AlertRule, Alerts, Facts, MeshFacts, Promotion, VaultFacts, VaultRole
from interlock.onboarding.service_file import ServiceFile
from interlock.trains.model import Service, Train
from tests.mesh.mesh_objects import SIDECAR

AT = datetime(2026, 11, 30, 6, tzinfo=UTC)
NAMESPACE = "payments"
Raw = dict[str, Any]
_CREATED = {"creationTimestamp": "2026-01-01T00:00:00Z"}


def named(api_version: str, kind: str, name: str, **fields: Any) -> Raw:
    metadata = {"name": name, "namespace": NAMESPACE, **_CREATED, **fields.pop("metadata", {})}
    return {"apiVersion": api_version, "kind": kind, "metadata": metadata, **fields}


def workload(name: str, kind: str = "Deployment") -> Raw:
    container = {
        "name": "app",
        "image": f"registry.internal/{name}:1.0.0",
        "ports": [{"name": "http", "containerPort": 8080, "protocol": "TCP"}],
        "readinessProbe": {"httpGet": {"path": "/readyz", "port": "http"}},
        "livenessProbe": {"httpGet": {"path": "/healthz", "port": "http"}},
        "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"memory": "64Mi"}},
    }
    labels = {"app": name, "team": "payments"}
    spread = {
        "maxSkew": 1,
        "topologyKey": "kubernetes.io/hostname",
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": {"app": name}},
    }
    pod = {"serviceAccountName": name, "containers": [container], "topologySpreadConstraints": [spread]}
    spec = {
        "replicas": 2,
        "selector": {"matchLabels": {"app": name}},
        "template": {"metadata": {"labels": labels}, "spec": pod},
    }
    return named("apps/v1", kind, name, metadata={"labels": {"app": name}}, spec=spec)


def pod(name: str) -> Raw:
    template = copy.deepcopy(workload(name)["spec"]["template"])
    notes = {"prometheus.io/scrape": "true", "prometheus.io/path": "/stats/prometheus"}
    labels = template["metadata"]["labels"] | {"security.istio.io/tlsMode": "istio"}
    made = named("v1", "Pod", f"{name}-0", metadata={"labels": labels, "annotations": notes})
    made["spec"] = template["spec"] | {"containers": [*template["spec"]["containers"], SIDECAR]}
    return made


def objects() -> list[Raw]:
    strict = named("security.istio.io/v1", "PeerAuthentication", "default", spec={"mtls": {"mode": "STRICT"}})
    caller = {"source": {"principals": ["cluster.local/ns/payments/sa/service-b"]}}
    allowed = {"selector": {"matchLabels": {"app": "service-c"}}, "rules": [{"from": [caller]}]}
    port = {"name": "http", "port": 80, "targetPort": "http", "protocol": "TCP"}
    host = {
        "host": "service-c.payments.svc.cluster.local",
        "trafficPolicy": {"tls": {"mode": "ISTIO_MUTUAL"}},
    }
    budget = {"maxUnavailable": 1, "selector": {"matchLabels": {"app": "service-c"}}}
    return [
        {
            "apiVersion": "v1",
            "kind": "Namespace",
            "metadata": {"name": NAMESPACE, "labels": {"istio-injection": "enabled"}},
        },
        *(workload(f"service-{letter}") for letter in "abc"),
        *(pod(f"service-{letter}") for letter in "bc"),
        *(named("v1", "ServiceAccount", f"service-{letter}") for letter in "abc"),
        named("v1", "Service", "service-c", spec={"selector": {"app": "service-c"}, "ports": [port]}),
        named("policy/v1", "PodDisruptionBudget", "service-c", spec=budget),
        strict,
        named("security.istio.io/v1", "AuthorizationPolicy", "service-c", spec=allowed),
        named("networking.istio.io/v1", "DestinationRule", "service-c", spec=host),
    ]


_REQUESTS = Requests("service-c-0", "service-c", "service-c", Source(), 200, Security.MUTUAL_TLS, 9.0)
OBSERVED = Observation(NAMESPACE, 600.0, (_REQUESTS,), {"service-c-0": True}, frozenset({"service-c-0"}))
LISTED = ("Deployment", "StatefulSet", "DaemonSet", "Service", "ServiceAccount", "PodDisruptionBudget")


def seen(raws: list[Raw]) -> dict[str, Any]:
    """The fields of Facts that objects give."""
    manifests = [Manifest.of(raw) for raw in raws]
    return {
        "objects": {kind: tuple(one for one in manifests if one.kind == kind) for kind in LISTED},
        "mesh": MeshFacts(tuple(manifests), MeshSettings()),
    }


def train(**services: tuple[str, ...]) -> Train:
    wait = timedelta(seconds=60)
    made = tuple(
        Service(name, f"registry.internal/{name}", "Deployment", name, "app", after, wait, wait)
        for name, after in ((name.replace("_", "-"), after) for name, after in services.items())
    )
    return Train("payments", "", False, ("sandbox",), made)


def facts(change: Callable[[list[Raw]], object] | None = None, **fields: Any) -> Facts:
    """The facts of a service that is ready, but for what `change` does to its objects, and some fields."""
    raws = objects()
    if change is not None:
        change(raws)
    file = {
        "callers": ["service-b"],
        "vault": {"role": "kubernetes/service-c", "paths": {"services/service-c": ["key"]}},
    }
    role = VaultRole(("service-c",), ("service-c",), (NAMESPACE,))
    made = Facts(
        service="service-c",
        namespace=NAMESPACE,
        file=ServiceFile.model_validate(file | fields.pop("file", {})),
        at=AT,
        **seen(raws),
        observed=OBSERVED,
        alerts=Alerts((AlertRule("Errors", 'x{destination_workload="service-c"} > 1', {}),), operator=True),
        vault=VaultFacts("secret", 2, role, {"services/service-c": ("key",)}),
        promotion=Promotion((train(service_a=(), service_b=(), service_c=("service-a",)),), {}, ()),
    )
    return replace(made, **fields)


def after(before: Facts, manifests: tuple[Manifest, ...]) -> Facts:
    """The facts once manifests were applied: pods of a changed workload are made anew, with a sidecar where
    the evaluator says that the injector gives them one."""
    everything = {m.ref: m for m in before.mesh.objects} | {  # type: ignore[union-attr]
        m.ref: m
        for found in before.objects.values()
        for m in found  # type: ignore[union-attr]
    }
    made = applied(everything.values(), manifests, AT.isoformat())
    changed = {one.name for one in manifests if one.kind in ("Deployment", "StatefulSet")}
    raws = [one.raw for one in made if not (one.kind == "Pod" and one.labels.get("app") in changed)]
    alerts = before.alerts
    if isinstance(alerts, Alerts):
        written = [
            AlertRule(rule["alert"], rule["expr"], rule["labels"])
            for one in made
            if one.kind == "PrometheusRule"
            for group in one.spec["groups"]
            for rule in group["rules"]
        ]
        alerts = replace(alerts, rules=(*alerts.rules, *written))
    return replace(before, **seen(raws), alerts=alerts)


def of(raws: list[Raw], kind: str, name: str) -> Raw:
    return next(raw for raw in raws if raw["kind"] == kind and raw["metadata"]["name"] == name)


def pod_of(raws: list[Raw], kind: str = "Deployment") -> Raw:
    """The pod template of service-c."""
    found: Raw = of(raws, kind, "service-c")["spec"]["template"]
    return found


def remove(raws: list[Raw], *kinds: str, name: str = "") -> None:
    raws[:] = [raw for raw in raws if raw["kind"] not in kinds or (name and raw["metadata"]["name"] != name)]
