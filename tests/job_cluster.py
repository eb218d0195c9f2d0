"""A cluster in memory whose Jobs run: the probe's program itself, with the environment of its container."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator
from typing import Any

from memory_cluster import MemoryCluster

from interlock import mesh_probe
from interlock.clients.kubernetes import WatchEvent
from interlock.manifest import Manifest, ObjectRef

Raw = dict[str, Any]


class JobCluster(MemoryCluster):
    """Does for a Job what its controller and a kubelet would.

    Args:
        manifests: What is there.
        runs: Whether the pod's container ever ends.
        condition: A condition of the Job, in place of a pod.
        log: The log, in place of what the program writes.
    """

    def __init__(
        self, *manifests: Manifest, runs: bool = True, condition: Raw | None = None, log: str = ""
    ) -> None:
        super().__init__(*manifests)
        self._runs, self._condition, self._log = runs, condition, log
        self.created: list[Manifest] = []
        self.was_created = asyncio.Event()
        self.deleted: list[tuple[str, bool]] = []

    async def create(self, manifest: Manifest, *, dry_run: bool = False) -> Manifest:
        made = await super().create(manifest, dry_run=dry_run)
        self.created.append(made)
        self.was_created.set()
        if self._condition is not None:
            return self._keep(made.ref, {**made.raw, "status": {"conditions": [self._condition]}})
        state: Raw = {"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}}
        if self._runs:
            state = {"terminated": {"exitCode": 0}}
            self._log = self._log or await asyncio.to_thread(_program, made)
        owner = {"controller": True, "kind": "Job", "name": made.name}
        template = made.spec["template"]
        metadata = {**template["metadata"], "namespace": made.namespace, "name": f"{made.name}-x"}
        pod = {
            "apiVersion": "v1",
            "kind": "Pod",
            "metadata": {**metadata, "ownerReferences": [owner]},
            "spec": template["spec"],
            "status": {"containerStatuses": [{"name": "probe", "state": state}]},
        }
        self._keep(ObjectRef("v1", "Pod", made.namespace, f"{made.name}-x"), pod)
        return made

    async def delete(
        self, ref: ObjectRef, uid: str, resource_version: str = "", *, with_dependents: bool = False
    ) -> None:
        await super().delete(ref, uid, resource_version)
        self.deleted.append((str(ref), with_dependents))

    async def watch(self, *_: Any, **__: Any) -> AsyncIterator[WatchEvent]:
        await asyncio.Event().wait()
        yield  # type: ignore[misc]

    async def pod_log(self, namespace: str, pod: str, container: str, **_: Any) -> str:
        return self._log


def _program(made: Manifest) -> str:
    [container] = made.spec["template"]["spec"]["containers"]
    output = io.StringIO()
    environ = {entry["name"]: entry["value"] for entry in container["env"]}
    mesh_probe.main({**environ, mesh_probe.SECONDS: "5"}, output, lambda: None)
    return output.getvalue()
