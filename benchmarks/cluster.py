"""The cluster's side of a run: its Deployments, and what is seen of them while they move."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import httpx

from benchmarks import project
from benchmarks.graph import Graph
from sandbox.node.api import Api, ApiError
from sandbox.parts import kubernetes
from sandbox.state import CHECKOUT, State

_PATIENCE = 180.0


class ClusterError(Exception):
    """The cluster did not do what the benchmark asked for."""


class Cluster:
    """The sandbox's cluster, with the administrator's rights."""

    def __init__(self, state: State) -> None:
        self._state = state

    def prepare(self) -> None:
        """Make the namespace and Interlock's rights in it; end the sandbox's own services."""
        namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": project.NAMESPACE}}
        rbac = (CHECKOUT / "include" / "deploy" / "kubernetes" / "rbac.yaml").read_text()
        for manifest in (namespace, *project.rights(rbac)):
            self._put("apply", manifest)
        self._kubectl("-n", "payments", "scale", "deployment", "--all", "--replicas=0")

    def deploy(self, graph: Graph, ready: float) -> None:
        """Make a train's Deployments anew, and wait until all of them run the release before."""
        self._kubectl("-n", project.NAMESPACE, "delete", "deployment", "--all")
        self._until(lambda: not self._items("pods"), "the pods of the last run to be gone")
        self._put("create", project.deployments(graph, ready))
        self._until(
            lambda: (
                sum(item["status"].get("availableReplicas", 0) for item in self._items("deployments"))
                == graph.size
            ),
            f"{graph.size} Deployments to be available",
        )

    def images(self) -> dict[str, str]:
        """What each Deployment asks for."""
        return {item["metadata"]["name"]: _image(item) for item in self._items("deployments")}

    def _items(self, what: str) -> list[dict[str, Any]]:
        items: list[dict[str, Any]] = json.loads(
            self._kubectl("-n", project.NAMESPACE, "get", what, "-o", "json")
        )["items"]
        return items

    def _put(self, verb: str, manifest: Mapping[str, Any]) -> None:
        file = self._state.run / "benchmark-manifest.json"
        self._state.write_json(file, manifest)
        self._kubectl(verb, "-f", str(file))

    def _kubectl(self, *arguments: str) -> str:
        done = kubernetes.kubectl(self._state, *arguments)
        if done.returncode:
            raise ClusterError(f"kubectl {' '.join(arguments)}: {done.stderr.strip()}")
        return done.stdout

    def _until(self, met: Any, what: str) -> None:
        end = time.monotonic() + _PATIENCE
        while not met():
            if time.monotonic() > end:
                raise ClusterError(f"waited {_PATIENCE:.0f} s for {what}")
            time.sleep(1)


class Sightings:
    """When each service's release was first seen written, ready and complete."""

    def __init__(self) -> None:
        self.written: dict[str, datetime] = {}
        self.ready: dict[str, datetime] = {}
        self.complete: dict[str, datetime] = {}

    def see(self, item: Mapping[str, Any], at: datetime) -> None:
        """Take note of a Deployment or a pod as it is at a moment."""
        service = item["metadata"].get("labels", {}).get("app", "")
        if _image(item) != project.image(service, project.AFTER):
            return
        if "containers" in item["spec"]:
            conditions = item.get("status", {}).get("conditions", [])
            if any(one["type"] == "Ready" and one["status"] == "True" for one in conditions):
                self.ready.setdefault(service, at)
            return
        self.written.setdefault(service, at)
        if _complete(item):
            self.complete.setdefault(service, at)


class Watcher:
    """A watch of the namespace, beside the run, by the administrator; a context manager."""

    def __init__(self, state: State) -> None:
        self.sightings = Sightings()
        self._state = state
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="watcher", daemon=True)
        self._tasks: list[asyncio.Task[None]] = []
        self._synced = threading.Event()

    def __enter__(self) -> Watcher:
        self._thread.start()
        if not self._synced.wait(30):
            raise ClusterError("the benchmark's own watch does not begin")
        return self

    def __exit__(self, *of: object) -> None:
        self._loop.call_soon_threadsafe(lambda: [task.cancel() for task in self._tasks])
        self._thread.join(30)

    def _run(self) -> None:
        self._loop.run_until_complete(self._main())
        self._loop.close()

    async def _main(self) -> None:
        api = Api.from_kubeconfig(kubernetes.admin_kubeconfig(self._state))
        paths = (
            f"/api/v1/namespaces/{project.NAMESPACE}/pods",
            f"/apis/apps/v1/namespaces/{project.NAMESPACE}/deployments",
        )
        versions = [
            str((await api.call("GET", path, params={"limit": "1"}))["metadata"]["resourceVersion"])
            for path in paths
        ]
        self._tasks = [
            asyncio.create_task(self._follow(api, path, version))
            for path, version in zip(paths, versions, strict=True)
        ]
        self._synced.set()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await api.close()

    async def _follow(self, api: Api, path: str, version: str) -> None:
        while True:
            try:
                async for event in api.watch(path, {}, version):
                    version = event["object"]["metadata"]["resourceVersion"]
                    if event["type"] in ("ADDED", "MODIFIED"):
                        self.sightings.see(event["object"], datetime.now(UTC))
            except (ApiError, httpx.HTTPError) as error:
                print(f"the benchmark's watch: {error!r}", flush=True)
                await asyncio.sleep(0.2)


def _image(item: Mapping[str, Any]) -> str:
    spec = item["spec"]
    pod = spec if "containers" in spec else spec["template"]["spec"]
    return str(pod["containers"][0]["image"])


def _complete(deployment: Mapping[str, Any]) -> bool:
    status, wanted = deployment.get("status", {}), deployment["spec"].get("replicas", 1)
    return bool(
        status.get("observedGeneration", 0) >= deployment["metadata"]["generation"]
        and status.get("updatedReplicas", 0) == wanted
        and status.get("replicas", 0) == wanted
        and status.get("availableReplicas", 0) == wanted
    )
