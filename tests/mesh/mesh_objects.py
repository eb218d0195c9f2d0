"""Small objects for the tests of the mesh evaluator, as parsed YAML."""

from __future__ import annotations

from typing import Any

from interlock.mesh.mesh import Mesh
from interlock.mesh.settings import MeshSettings
from interlock.mesh.workload import Workload

Raw = dict[str, Any]
SIDECAR: Raw = {
    "name": "istio-proxy",
    "image": "docker.io/istio/proxyv2:1.27.1",
    "args": ["proxy", "sidecar"],
}
APP: Raw = {"name": "app", "ports": [{"containerPort": 8080, "name": "http"}]}
GATEWAY: Raw = {"name": "istio-proxy", "image": "docker.io/istio/proxyv2:1.27.1", "args": ["proxy", "router"]}


def metadata(namespace: str, name: str, day: int = 1, **more: object) -> Raw:
    return {
        "namespace": namespace,
        "name": name,
        "creationTimestamp": f"2026-01-{day:02}T00:00:00Z",
        **more,
    }


def pod(name: str = "api-0", namespace: str = "shop", *, sidecar: bool = True, **spec: Any) -> Raw:
    """A pod with app=api, the injector's label and a port 8080; `labels`, `notes` for its metadata."""
    labels = {"app": "api", **({"security.istio.io/tlsMode": "istio"} if sidecar else {})}
    found = {"labels": labels | spec.pop("labels", {}), "annotations": spec.pop("notes", {})}
    containers = [APP, SIDECAR] if sidecar else [APP]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata(namespace, name, **found),
        "spec": {"containers": containers, **spec},
    }


def deployment(name: str = "api", namespace: str = "shop", **template: Any) -> Raw:
    template = {"metadata": {"labels": {"app": "api"}}, "spec": {"containers": [APP]}} | template
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": metadata(namespace, name),
        "spec": {"template": template},
    }


def peer(
    mode: object = None,
    *,
    namespace: str = "shop",
    name: str = "peer",
    day: int = 1,
    app: str | None = None,
    ports: dict[object, object] | None = None,
) -> Raw:
    spec: Raw = {} if mode is None else {"mtls": {"mode": mode}}
    if app is not None:
        spec["selector"] = {"matchLabels": {"app": app}}
    if ports is not None:
        spec["portLevelMtls"] = {port: {"mode": value} for port, value in ports.items()}
    return {
        "apiVersion": "security.istio.io/v1",
        "kind": "PeerAuthentication",
        "metadata": metadata(namespace, name, day),
        "spec": spec,
    }


def policy(
    action: object = None,
    *rules: object,
    namespace: str = "shop",
    name: str = "policy",
    notes: dict[str, str] | None = None,
    **spec: object,
) -> Raw:
    """An AuthorizationPolicy; without rules it has none at all."""
    found: Raw = {**({"action": action} if action is not None else {}), **spec}
    if rules:
        found["rules"] = list(rules)
    return {
        "apiVersion": "security.istio.io/v1",
        "kind": "AuthorizationPolicy",
        "metadata": metadata(namespace, name, annotations=notes or {}),
        "spec": found,
    }


def source(**fields: object) -> Raw:
    return {"from": [{"source": fields}]}


def operation(**fields: object) -> Raw:
    return {"to": [{"operation": fields}]}


def when(key: str, *values: str, **more: object) -> Raw:
    return {"when": [{"key": key, **({"values": list(values)} if values else {}), **more}]}


def service(
    name: str = "api",
    namespace: str = "shop",
    day: int = 1,
    ports: list[Raw] | None = None,
    **spec: object,
) -> Raw:
    given = ports or [{"name": "http", "port": 80, "targetPort": 8080}]
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": metadata(namespace, name, day),
        "spec": {"selector": {"app": "api"}, "ports": given, **spec},
    }


def rule(
    host: str,
    policy: object = None,
    *,
    namespace: str = "shop",
    name: str = "rule",
    day: int = 1,
    **spec: object,
) -> Raw:
    found = {"host": host, **({"trafficPolicy": policy} if policy is not None else {}), **spec}
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "DestinationRule",
        "metadata": metadata(namespace, name, day),
        "spec": found,
    }


def tls(mode: object, **more: object) -> Raw:
    return {"tls": {"mode": mode, **more}}


def namespace(name: str = "shop", **labels: str) -> Raw:
    given = {key.replace("__", "/").replace("_", "-"): value for key, value in labels.items()}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": given}}


def sidecar(name: str = "default", namespace: str = "shop", **spec: object) -> Raw:
    return {
        "apiVersion": "networking.istio.io/v1",
        "kind": "Sidecar",
        "metadata": metadata(namespace, name),
        "spec": spec,
    }


def mesh_of(*objects: Raw, **settings: Any) -> Mesh:
    return Mesh.of(objects, MeshSettings(**settings))


def only(mesh: Mesh, name: str = "") -> Workload:
    """The workload of a name, or the only one."""
    found = [workload for workload in mesh.workloads if not name or workload.name == name]
    assert len(found) == 1, found
    return found[0]
