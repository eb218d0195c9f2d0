from __future__ import annotations

import random
from itertools import permutations

import pytest

from interlock.mesh.inbound import effective_mtls, port_verdict, ports
from interlock.mesh.verdict import Answer, Mode
from tests.mesh.mesh_objects import Raw, mesh_of, only, peer, pod, service

ROOT = "istio-system"
MESH_STRICT = peer("STRICT", namespace=ROOT)

CASES: list[tuple[str, list[Raw], Mode | None]] = [
    ("no policy is PERMISSIVE", [], Mode.PERMISSIVE),
    ("a mesh-wide policy holds", [MESH_STRICT], Mode.STRICT),
    ("another namespace's policy does not", [peer("STRICT", namespace="other")], Mode.PERMISSIVE),
    ("the namespace's is over the mesh's", [MESH_STRICT, peer("DISABLE")], Mode.DISABLE),
    (
        "the workload's is over the namespace's",
        [peer("STRICT"), peer("DISABLE", app="api", name="w")],
        Mode.DISABLE,
    ),
    (
        "a workload's for others does not hold",
        [peer("STRICT"), peer("DISABLE", app="x", name="w")],
        Mode.STRICT,
    ),
    ("UNSET inherits from the mesh", [MESH_STRICT, peer("UNSET")], Mode.STRICT),
    ("an empty spec inherits", [MESH_STRICT, peer(None)], Mode.STRICT),
    (
        "UNSET inherits over two scopes",
        [MESH_STRICT, peer(None), peer("UNSET", app="api", name="w")],
        Mode.STRICT,
    ),
    ("UNSET of the mesh is PERMISSIVE", [peer("UNSET", namespace=ROOT)], Mode.PERMISSIVE),
    ("the oldest wins", [peer("STRICT", name="b", day=1), peer("DISABLE", name="a", day=2)], Mode.STRICT),
    (
        "the oldest wins though it is UNSET",
        [MESH_STRICT, peer(None, name="b"), peer("DISABLE", name="a", day=2)],
        Mode.STRICT,
    ),
    ("ties go by name", [peer("STRICT", name="b"), peer("DISABLE", name="a")], Mode.DISABLE),
    (
        "the oldest of the workload's wins",
        [peer("DISABLE", app="api", name="a", day=3), peer("STRICT", app="api", name="b", day=2)],
        Mode.STRICT,
    ),
    (
        "a selector in the root namespace holds for none",
        [peer("STRICT", namespace=ROOT, app="api")],
        Mode.PERMISSIVE,
    ),
    (
        "an empty selector is the namespace's",
        [
            peer("DISABLE", app="api", name="w"),
            {**peer("STRICT"), "spec": {"selector": {}, "mtls": {"mode": "STRICT"}}},
        ],
        Mode.DISABLE,
    ),
    ("a mode as a number", [peer(3)], Mode.STRICT),
    ("an unknown mode leaves it open", [peer("STRIKT")], None),
    (
        "an unknown mode of a wider scope does not matter",
        [peer("STRIKT"), peer("STRICT", app="api", name="w")],
        Mode.STRICT,
    ),
    (
        "nor one that isn't the oldest",
        [peer("STRICT", name="a"), peer("STRIKT", name="b", day=2)],
        Mode.STRICT,
    ),
]


@pytest.mark.parametrize(
    ("objects", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_mode_of_a_port_without_a_mode_of_its_own(objects: list[Raw], expected: Mode | None) -> None:
    for order in list(permutations(objects))[:6]:
        mesh = mesh_of(pod(), *order)
        verdict = port_verdict(mesh, only(mesh), 8080)
        assert verdict.mode is expected
        assert verdict.plaintext is (
            Answer.INDETERMINATE if expected is None else Answer.of(expected is not Mode.STRICT)
        )


PORT_CASES: list[tuple[str, list[Raw], dict[int, Mode | None]]] = [
    (
        "a port of the winning workload policy",
        [peer("STRICT", app="api", ports={8080: "DISABLE"})],
        {8080: Mode.DISABLE, 9: Mode.STRICT},
    ),
    ("a port as text", [peer("STRICT", app="api", ports={"8080": "DISABLE"})], {8080: Mode.DISABLE}),
    (
        "UNSET inherits from the policy's own mode",
        [peer("DISABLE"), peer("STRICT", app="api", name="w", ports={8080: "UNSET"})],
        {8080: Mode.STRICT},
    ),
    (
        "and through it from the namespace",
        [peer("DISABLE"), peer(None, app="api", name="w", ports={8080: None, 9: "STRICT"})],
        {8080: Mode.DISABLE, 9: Mode.STRICT},
    ),
    (
        "ports of a namespace's policy are ignored",
        [peer("STRICT", ports={8080: "DISABLE"})],
        {8080: Mode.STRICT},
    ),
    (
        "ports of a policy that lost are ignored",
        [
            peer("STRICT", app="api", name="a", day=1, ports={9: "DISABLE"}),
            peer("STRICT", app="api", name="b", day=2, ports={8080: "DISABLE"}),
        ],
        {8080: Mode.STRICT, 9: Mode.DISABLE},
    ),
    (
        "the Service's port is not the container's",
        [peer("STRICT", app="api", ports={80: "DISABLE"})],
        {8080: Mode.STRICT, 80: Mode.DISABLE},
    ),
    (
        "one unknown mode makes the whole policy unreadable",
        [peer("STRICT", app="api", ports={8080: "OFF"})],
        {8080: None, 9: None},
    ),
    (
        "an entry for port 0 is that of ports no Service declares",
        [peer("STRICT", app="api", ports={0: "DISABLE"})],
        {8080: Mode.DISABLE},
    ),
]


@pytest.mark.parametrize(
    ("objects", "expected"), [case[1:] for case in PORT_CASES], ids=[case[0] for case in PORT_CASES]
)
def test_mode_of_single_ports(objects: list[Raw], expected: dict[int, Mode | None]) -> None:
    mesh = mesh_of(pod(), *objects)
    assert {port: port_verdict(mesh, only(mesh), port).mode for port in expected} == expected


def test_the_root_namespace_is_a_setting() -> None:
    objects = (pod(), peer("STRICT", namespace="mesh-root"))
    assert port_verdict(mesh_of(*objects), only(mesh_of(*objects)), 8080).mode is Mode.PERMISSIVE
    mesh = mesh_of(*objects, root_namespace="mesh-root")
    assert port_verdict(mesh, only(mesh), 8080).mode is Mode.STRICT


def test_a_workload_of_the_root_namespace_has_no_policy_of_its_own() -> None:
    mesh = mesh_of(
        pod(namespace=ROOT),
        peer("STRICT", namespace=ROOT),
        peer("DISABLE", namespace=ROOT, app="api", name="w"),
    )
    assert port_verdict(mesh, only(mesh), 8080).mode is Mode.STRICT


def test_the_reasons_name_the_policies_from_wide_to_narrow() -> None:
    mesh = mesh_of(
        pod(),
        peer("STRICT", namespace=ROOT, name="wide"),
        peer(None, name="middle"),
        peer("UNSET", app="api", name="narrow", day=2, ports={8080: "PERMISSIVE"}),
        peer("DISABLE", app="api", name="late", day=3),
    )
    verdict = port_verdict(mesh, only(mesh), 8080)
    assert [reason.ref for reason in verdict.reasons] == [
        "",
        "PeerAuthentication istio-system/wide",
        "PeerAuthentication shop/middle",
        "PeerAuthentication shop/narrow",
        "PeerAuthentication shop/late",
        "PeerAuthentication shop/narrow",
    ]
    assert verdict.mode is Mode.PERMISSIVE


def test_ports_of_a_policy_are_ports_of_the_workload() -> None:
    mesh = mesh_of(pod(), peer("STRICT", app="api", ports={9000: "DISABLE"}))
    assert {verdict.port: verdict.declared_by for verdict in ports(mesh, only(mesh))} == {
        8080: ("container app",),
        9000: ("PeerAuthentication shop/peer",),
    }


def test_the_order_of_objects_does_not_matter() -> None:
    chosen = random.Random(7)
    policies = [
        peer(
            chosen.choice(["STRICT", "DISABLE", "UNSET", None]),
            namespace=chosen.choice(["shop", ROOT, "other"]),
            name=f"p{chosen.randrange(9)}{index}",
            day=chosen.randrange(1, 4),
            app=chosen.choice(["api", "x", None]),
            ports=chosen.choice([None, {8080: "STRICT"}, {9: "DISABLE"}]),
        )
        for index in range(12)
    ]
    seen = set()
    for _ in range(30):
        chosen.shuffle(policies)
        mesh = mesh_of(pod(), *policies)
        found = effective_mtls(mesh, only(mesh))
        seen.add((found.mode, tuple(sorted(found.ports.items())), found.reasons))
    assert len(seen) == 1


def test_a_port_that_a_service_declares_as_udp_takes_tcp_as_opaque() -> None:
    udp = [{"name": "http", "port": 80, "targetPort": 8080, "protocol": "UDP"}]
    mesh = mesh_of(pod(), service(ports=udp))
    assert port_verdict(mesh, only(mesh), 8080).protocol == "TCP"
