"""The Job of the mesh probe, from its creation to its end."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from job_cluster import JobCluster

from interlock import mesh_probe
from interlock.clients import mesh_probe as client
from interlock.clients.kubernetes import Unreachable
from interlock.clients.mesh_probe import Place, ProbeError, probe
from interlock.manifest import Manifest
from interlock.mesh.gate import Probe
from interlock.mesh.probe_result import Heard
from tests.mesh.mesh_objects import Raw, peer, pod

SETTINGS = Probe("registry.internal/interlock:1")


@pytest.fixture(autouse=True)
def no_wait_for_certificates(monkeypatch: pytest.MonkeyPatch) -> None:
    """No sidecar leaves any here."""
    monkeypatch.setattr(mesh_probe, "CERTIFICATE_SECONDS", 0.0)


@pytest.fixture
def listening() -> Iterator[int]:
    """A port where something listens, and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield int(server.getsockname()[1])


def cluster(*ports: int, **more: Any) -> JobCluster:
    namespace: Raw = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop"}}
    api = pod() | {"status": {"podIP": "127.0.0.1", "phase": "Running"}}
    api["spec"]["containers"][0] = {"name": "app", "ports": [{"containerPort": port} for port in ports]}
    return JobCluster(*(Manifest.of(one) for one in (namespace, api, peer("STRICT"))), **more)


async def run(found: JobCluster) -> client.Probed:
    async def connect() -> Any:
        return found

    place = Place(connect, f"memory {id(found)}", "shop", "istio-system")
    return await probe(place, SETTINGS, name="probe-1", owner="a run")


async def test_the_job_tries_what_is_declared_tells_what_it_saw_and_is_deleted(listening: int) -> None:
    found = cluster(1, listening)
    probed = await run(found)
    assert [one.tried.plaintext for one in probed.seen] == [Heard.REFUSED, Heard.OPEN]
    assert probed.seen[0].tried.mtls is Heard.UNTRIED
    assert "no certificate of the mesh" in probed.seen[0].tried.mtls_said
    assert found.deleted == [("Job/probe-1", True)]
    assert found.created[0].annotations == {"interlock.internal/run": "a run"}


async def test_where_nothing_is_declared_no_job_is_made() -> None:
    found = cluster()
    assert (await run(found)).seen == ()
    assert found.created == []


async def test_a_probe_that_is_cancelled_leaves_no_job() -> None:
    found = cluster(1, runs=False)
    task = asyncio.create_task(run(found))
    await asyncio.wait_for(found.was_created.wait(), 10)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert found.deleted == [("Job/probe-1", True)]


async def test_a_job_whose_creation_was_not_answered_is_deleted_too(monkeypatch: pytest.MonkeyPatch) -> None:
    found = cluster(1)
    create = found.create

    async def lost(manifest: Manifest, **more: Any) -> Manifest:
        await create(manifest, **more)
        raise Unreachable("no answer")

    monkeypatch.setattr(found, "create", lost)
    with pytest.raises(Unreachable):
        await run(found)
    assert found.deleted == [("Job/probe-1", True)]


async def test_a_job_that_never_ends_is_given_up_with_what_holds_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "DEADLINE_SECONDS", 0.1)
    monkeypatch.setattr(client, "LATE_SECONDS", 0.1)
    found = cluster(1, runs=False)
    with pytest.raises(ProbeError, match="did not end within its time: container probe waits: no such image"):
        await run(found)
    assert found.deleted == [("Job/probe-1", True)]


async def test_a_job_that_failed_without_a_pod_says_why() -> None:
    refused = {"type": "Failed", "status": "True", "message": "exceeded quota"}
    found = cluster(1, condition=refused)
    with pytest.raises(ProbeError, match="Job/probe-1 failed: exceeded quota"):
        await run(found)
    assert found.deleted == [("Job/probe-1", True)]


async def test_a_log_without_a_result_is_an_error_and_no_pass() -> None:
    found = cluster(1, log="No module named interlock")
    with pytest.raises(ProbeError, match="its last line: No module named interlock"):
        await run(found)
    assert found.deleted == [("Job/probe-1", True)]
