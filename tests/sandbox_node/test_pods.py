"""Pods with a sidecar, as the node runs them: real Envoys, and an API that only listens."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

from sandbox.node.addresses import Addresses, Endpoints
from sandbox.node.context import Context
from sandbox.node.pods import PodRunner
from sandbox.node.releases import Behaviour, Release
from tests.sandbox_mesh.mesh_calls import SERVER

Raw = dict[str, Any]
SECONDS = 10.0
UID = "0b1b6e4c-5d3c-4d7b-9d11-a2f1c8c1a001"


class Parts:
    """What a pod asks of the agent's other parts, where nothing else has any."""

    def __init__(self) -> None:
        self.status: Raw = {}

    def find(self, _: str) -> Release:
        return Release("docker.io/istio/proxyv2", "1", Behaviour(), "envoy")

    def normal(self, *_: object, **__: object) -> None: ...

    async def patch_status(self, _: str, __: str, status: Raw) -> None:
        self.status = status

    async def delete_now(self, *_: object) -> None: ...


def sidecar_alone(**metadata: object) -> Raw:
    return {
        "metadata": {"name": "gateway-0", "namespace": "shop", "uid": UID, **metadata},
        "spec": {"containers": [{"name": "istio-proxy", "image": "proxyv2:1"}]},
        "status": {"podIP": SERVER},
    }


async def until(met: Callable[[], bool]) -> None:
    give_up = time.monotonic() + SECONDS
    while not met():
        assert time.monotonic() < give_up, "it did not come to pass"
        await asyncio.sleep(0.02)


async def test_a_sidecar_alone_runs_and_leaves_nothing_behind_when_its_pod_goes(tmp_path: Path) -> None:
    state, sockets = tmp_path / "node", tmp_path / "s"
    for folder in (state / "running", sockets):
        folder.mkdir(parents=True)
    parts = Parts()
    anything = cast(Any, parts)
    addresses, endpoints = Addresses(state / "addresses.json"), Endpoints(state / "endpoints.json")
    context = Context("node", state, anything, anything, anything, addresses, endpoints, sockets)
    runner = PodRunner(context, sidecar_alone())
    runner.start()
    try:
        await until(lambda: any(sockets.iterdir()))
        await until(lambda: "running" in parts.status["containerStatuses"][0]["state"])
        runner.update(sidecar_alone(deletionTimestamp="now", deletionGracePeriodSeconds=1))
        await runner.gone()
    finally:
        runner.kill()
    assert [path for path in (*sockets.iterdir(), *state.rglob("*")) if UID[:13] in path.name] == []
