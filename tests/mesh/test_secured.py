from __future__ import annotations

import pytest

from interlock.mesh.secured import missing
from tests.mesh.mesh_objects import (
    APP,
    GATEWAY,
    Raw,
    mesh_of,
    namespace,
    peer,
    pod,
    policy,
    rule,
    service,
    source,
    tls,
)

STRICT = peer("STRICT", namespace="istio-system", name="default")
WEB = pod("web-0", labels={"app": "web"})
API, CLIENT = ("Pod shop/api-0",), ("Pod shop/web-0",)
ALLOWED = policy("ALLOW", source(principals=["cluster.local/ns/shop/sa/default"]))


@pytest.mark.parametrize(
    ("objects", "clients", "said"),
    [
        ([pod(), STRICT], None, ()),
        ([pod(), service(), WEB, STRICT], CLIENT, ()),
        ([pod(), service(), WEB, STRICT, ALLOWED], CLIENT, ()),
        ([], None, ("it has no pods",)),
        ([pod(sidecar=False), STRICT], None, ("has a sidecar: no", "accepts plaintext: yes", "mTLS: no")),
        ([pod()], None, ("port 8080 accepts plaintext: yes",)),
        ([pod(), peer("DISABLE")], None, ("accepts plaintext: yes", "accepts mTLS: no")),
        ([pod(), STRICT, peer("STRICT", app="api", ports={8080: "PERMISSIVE"})], None, ("plaintext: yes",)),
        ([pod(hostNetwork=True), STRICT], None, ("plaintext: yes", "mTLS: no")),
        ([pod(containers=[APP, GATEWAY]), STRICT], None, ("sidecar: indeterminate", "plaintext", "mTLS")),
        ([pod(), WEB, STRICT], CLIENT, ("no port of a Service leads to it",)),
        ([pod(), service(), STRICT], CLIENT, ("its client has no pods",)),
        (
            [pod(), service(), WEB, STRICT, rule("api", tls("DISABLE"))],
            CLIENT,
            ("sends plaintext, works: no",),
        ),
        ([pod(), service(), WEB, STRICT, policy("ALLOW", namespace="shop")], CLIENT, ("is not allowed",)),
    ],
)
def test_what_keeps_a_workload_from_being_secured(
    objects: list[Raw], clients: tuple[str, ...] | None, said: tuple[str, ...]
) -> None:
    pods = API if any(raw["metadata"]["name"] == "api-0" for raw in objects) else ()
    lines = missing(mesh_of(namespace(), *objects), pods, clients)
    assert len(lines) == len(said), lines
    assert all(expected in line for line, expected in zip(lines, said, strict=True)), lines


def test_each_pod_counts_and_the_rule_is_named() -> None:
    found = mesh_of(namespace(), pod(), pod("api-1", sidecar=False), STRICT)
    lines = missing(found, (*API, "Pod shop/api-1"))
    assert {line.split(":")[0] for line in lines} == {"Pod shop/api-1"}
    [line] = missing(mesh_of(namespace(), pod(), STRICT, peer("PERMISSIVE", name="lax")), API)
    assert "PeerAuthentication shop/lax" in line


def test_a_pod_without_any_port_can_not_be_judged() -> None:
    bare = pod()
    bare["spec"]["containers"] = [{"name": "app"}, bare["spec"]["containers"][1]]
    [line] = missing(mesh_of(namespace(), bare, STRICT), API)
    assert "declares no port" in line
