from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from memory_cluster import MemoryCluster
from planned_services import SANDBOX, TRAIN, workload

from interlock.clients.istio import refusals
from interlock.clients.kubernetes_api import Forbidden, NotFound
from interlock.manifest import Manifest
from interlock.mesh.gate import Gate
from tests.mesh.mesh_objects import Raw, peer, pod

MESHED = replace(SANDBOX, mesh=Gate(allow=("ILM009",)))


def running(name: str, *, sidecar: bool = True) -> list[Raw]:
    of = {"ownerReferences": [{"controller": True, "kind": "StatefulSet", "name": name}]}
    found = pod(f"{name}-0", "payments", sidecar=sidecar, labels={"app": name})
    found["metadata"] |= of
    return [workload(name), found]


def cluster(*policies: Raw, kind: type[MemoryCluster] = MemoryCluster) -> MemoryCluster:
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "payments"}}
    objects = [namespace, *running("service-a"), *running("service-b"), *policies]
    return kind(*(Manifest.of(raw) for raw in objects))


def refused(found: MemoryCluster, *services: str, environment: object = MESHED) -> list[str]:
    return asyncio.run(refusals(found, environment, TRAIN, services))  # type: ignore[arg-type]


STRICT = peer("STRICT", namespace="istio-system", name="default")
LAX = peer("PERMISSIVE", namespace="payments", name="lax", app="service-a")


def test_a_service_is_judged_with_what_it_comes_after() -> None:
    assert refused(cluster(STRICT), "service-b") == []
    [line] = refused(cluster(STRICT, LAX), "service-b")
    assert line.startswith("service-a: Port 8080 accepts plaintext")
    assert "PeerAuthentication payments/lax" in line
    only_b = peer("PERMISSIVE", namespace="payments", name="lax", app="service-b")
    assert refused(cluster(STRICT, only_b), "service-a") == []


def test_an_environment_without_a_mesh_reads_nothing() -> None:
    assert refused(None, "service-a", environment=SANDBOX) == []  # type: ignore[arg-type]


class Denied(MemoryCluster):
    async def list(self, api_version: str, kind: str, *_: object, **__: object) -> object:  # type: ignore[override]
        if kind == "AuthorizationPolicy":
            raise Forbidden("GET authorizationpolicies: 403 may not list", 403)
        return await super().list(api_version, kind, *_, **__)  # type: ignore[arg-type]


class WithoutIstio(MemoryCluster):
    async def list(self, api_version: str, kind: str, *_: object, **__: object) -> object:  # type: ignore[override]
        if "istio.io" in api_version:
            raise NotFound(f"GET {kind}: 404", 404)
        return await super().list(api_version, kind, *_, **__)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("kind", "said"), [(Denied, "403 may not list"), (WithoutIstio, "has no Istio API: install Istio")]
)
def test_what_can_not_be_seen_does_not_pass(kind: type[MemoryCluster], said: str) -> None:
    [line] = refused(cluster(STRICT, kind=kind), "service-a")
    assert line.startswith("the mesh could not be looked at: ")
    assert said in line


def test_the_settings_of_the_mesh_are_read_and_wrong_ones_do_not_pass() -> None:
    config: Raw = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"namespace": "istio-system", "name": "istio"},
        "data": {"mesh": "["},
    }
    [line] = refused(cluster(STRICT, config), "service-a")
    assert "ConfigMap istio-system/istio: data.mesh of the mesh's ConfigMap is not YAML" in line
