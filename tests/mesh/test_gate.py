from __future__ import annotations

import pytest

from interlock.mesh.gate import Gate, GateError
from interlock.mesh.mesh import Mesh
from interlock.mesh.settings import MeshSettings
from tests.mesh.mesh_objects import Raw, deployment, peer, pod

API = {"api": ["Pod shop/api-0"]}
STRICT = peer("STRICT", namespace="istio-system", name="default")
OPEN = Gate(allow=("ILM009",))
"""No test here is about who may call."""


def mesh(*objects: Raw) -> Mesh:
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop", "labels": {}}}
    return Mesh.of([namespace, *objects], MeshSettings(prometheus_merge=False))


def test_strict_passes_and_permissive_is_refused_with_the_port_and_the_rule() -> None:
    assert OPEN.refusals(mesh(pod(), STRICT), API) == []
    [line] = OPEN.refusals(mesh(pod(), STRICT, peer("PERMISSIVE", name="lax", app="api")), API)
    assert line.startswith("api: Port 8080 accepts plaintext:")
    assert "PeerAuthentication shop/lax" in line
    assert line.endswith("[ILM001 PlaintextAccepted]")


@pytest.mark.parametrize(
    ("objects", "code"),
    [
        ([pod(sidecar=False), STRICT], "IST0103"),
        ([pod(hostNetwork=True), STRICT], "ILM002"),
        ([pod(labels={"gateway.istio.io/managed": "istio.io-mesh-controller"}), STRICT], "ILM003"),
    ],
)
def test_what_is_outside_of_the_mesh_or_can_not_be_told_is_refused(objects: list[Raw], code: str) -> None:
    labelled = {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": "shop", "labels": {"istio-injection": "enabled"}},
    }
    lines = OPEN.refusals(mesh(*objects, labelled), API)
    assert any(f"[{code} " in line for line in lines), lines


def test_what_is_said_of_another_workload_refuses_nothing() -> None:
    other = pod("web-0", sidecar=False, labels={"app": "web"})
    assert OPEN.refusals(mesh(pod(), other, STRICT), API) == []


def test_pods_of_one_service_say_the_same_only_once_and_a_missing_one_is_named() -> None:
    lax = peer("PERMISSIVE", name="lax")
    found = mesh(pod("api-0"), pod("api-1"), lax)
    lines = OPEN.refusals(found, {"api": ["Pod shop/api-0", "Pod shop/api-1"], "web": []})
    assert len([line for line in lines if line.startswith("api: Port 8080")]) == 1
    assert lines[-1] == "web: nothing runs it in the mesh's namespace"


def test_severity_and_allowances_decide_what_refuses() -> None:
    found = mesh(pod(), peer("PERMISSIVE", name="lax"))
    assert Gate(fail_on="Error").refusals(found, API) == []
    assert Gate(allow=("ILM001", "ILM009")).refusals(found, API) == []
    codes = {line.rpartition("[")[2].split()[0] for line in Gate(fail_on="Info").refusals(found, API)}
    assert {"ILM001", "ILM009", "ILM011"} <= codes


def test_a_template_is_judged_where_there_is_no_pod() -> None:
    assert OPEN.refusals(mesh(deployment(), STRICT), {"api": ["Deployment shop/api"]})


@pytest.mark.parametrize("wrong", [{"fail_on": "warning"}, {"allow": ("ILM999",)}])
def test_a_gate_that_asks_for_what_there_is_not_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(GateError, match=r"fail_on 'warning'|ILM999"):
        Gate(**wrong)  # type: ignore[arg-type]
