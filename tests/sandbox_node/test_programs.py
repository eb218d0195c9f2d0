"""What the node starts for a container, with a sidecar and without."""

import json
from pathlib import Path
from typing import Any, cast

import pytest

from sandbox.node import programs
from sandbox.node.addresses import Endpoints
from sandbox.node.context import Context, now
from sandbox.node.releases import Behaviour, Release, ReleasesFileError, program
from sandbox.node.status import ContainerView, Running, Terminated, phase

Raw = dict[str, Any]
IP = "127.20.3.4"
APP: Raw = {"name": "app", "image": "api:1", "ports": [{"containerPort": 9000}]}
PROXY: Raw = {"name": "istio-proxy", "image": "proxyv2:1"}
SERVICE = Release("registry.internal/api", "1", Behaviour())


def pod(*containers: Raw, **spec: Any) -> Raw:
    metadata = {"name": "api-0", "namespace": "shop", "uid": "0b1b6e4c-5d3c-4d7b-9d11-a2f1c8c1a001"}
    return {"metadata": metadata, "spec": {"containers": list(containers), **spec}}


@pytest.fixture
def context(tmp_path: Path) -> Context:
    class Parts:
        state, sockets = tmp_path, tmp_path / "s"
        endpoints = Endpoints(tmp_path / "endpoints.json")
        volumes, envoy, admin_socket = Context.volumes, Context.envoy, Context.admin_socket

    return cast(Context, Parts())


def environment(context: Context, of: Raw, container: Raw = APP) -> dict[str, str]:
    return dict(programs.command(context, of, container, IP, SERVICE).environment)


def test_a_program_behind_a_sidecar_has_the_inner_address_and_knows_its_sidecar(context: Context) -> None:
    found = environment(context, pod(APP, PROXY))
    assert (found["SANDBOX_IP"], found["SANDBOX_PORT"]) == ("127.21.3.4", "9000")
    assert found["SANDBOX_PROXY"] == "127.21.3.4:15001"


def test_a_program_without_a_sidecar_has_the_address_of_its_pod(context: Context) -> None:
    found = environment(context, pod(APP))
    assert found["SANDBOX_IP"] == IP
    assert "SANDBOX_PROXY" not in found


def test_a_container_is_probed_where_it_listens() -> None:
    injected = pod(APP, PROXY)
    assert programs.listens_at(injected, APP, IP) == "127.21.3.4"
    assert programs.listens_at(injected, PROXY, IP) == IP
    assert programs.listens_at(pod(APP), APP, IP) == IP


def test_a_sidecar_is_an_envoy_that_asks_the_control_plane_of_the_sandbox(context: Context) -> None:
    release = Release("docker.io/istio/proxyv2", "1", Behaviour(), "envoy")
    found = programs.command(context, pod(APP, PROXY), PROXY, IP, release)
    assert found.argv[0].endswith("/envoy")
    boot = json.loads(Path(found.argv[2]).read_text())
    asked = boot["static_resources"]["clusters"][0]["load_assignment"]["endpoints"][0]
    path = asked["lb_endpoints"][0]["endpoint"]["address"]["pipe"]["path"]
    assert path == str(context.sockets / "xds")
    assert boot["node"]["id"] == pod()["metadata"]["uid"]


def test_arguments_and_values_of_the_manifest_reach_the_program(context: Context) -> None:
    given = {
        **APP,
        "args": ["--once"],
        "env": [{"name": "CALLS", "value": "b"}, {"name": "X", "valueFrom": {}}],
    }
    found = programs.command(context, pod(given), given, IP, SERVICE)
    assert found.argv[-1] == "--once"
    assert found.environment["CALLS"] == "b"
    assert "X" not in found.environment


def test_an_empty_dir_is_a_folder_that_all_containers_of_the_pod_share(context: Context) -> None:
    mounts = [{"name": "certs", "mountPath": "/etc/certs"}, {"name": "token", "mountPath": "/token"}]
    mounting = {**APP, "volumeMounts": mounts}
    volumes = [{"name": "certs", "emptyDir": {}}, {"name": "token", "projected": {}}]
    found = json.loads(environment(context, pod(mounting, volumes=volumes), mounting)["SANDBOX_VOLUMES"])
    assert found == {"/etc/certs": str(context.volumes(pod()["metadata"]["uid"]) / "certs")}
    assert Path(found["/etc/certs"]).is_dir()


def test_a_release_names_its_program_and_is_a_service_by_default() -> None:
    assert program("good") == "service"
    assert program({"errors": 0.5}) == "service"
    assert program({"program": "envoy"}) == "envoy"
    with pytest.raises(ReleasesFileError, match="envoi"):
        program({"program": "envoi"})


def test_how_a_sidecar_ended_does_not_count_for_the_work_of_a_pod() -> None:
    def view(name: str, code: int) -> ContainerView:
        return ContainerView(name, "i", Terminated(code, now(), now()))

    assert phase([view("app", 0), view("istio-proxy", 137)], "Never") == "Succeeded"
    assert phase([view("app", 3), view("istio-proxy", 0)], "Never") == "Failed"
    assert phase([view("app", 0), ContainerView("istio-proxy", "i", Running(now()))], "Never") == "Running"
