"""Real sidecars on loopback, without Kubernetes: Envoys that the sandbox's control plane tells what to do."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from sandbox.mesh import snapshot
from sandbox.mesh.authority import Authority, Certificate
from sandbox.mesh.control_plane import ControlPlane
from sandbox.mesh.envoy import command
from sandbox.mesh.objects import Objects, identity, injected

PATIENCE = 20.0
Raw = dict[str, Any]


class Envoys:
    """The sidecars of some pods, and what they are told."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._processes: list[asyncio.subprocess.Process] = []
        self.control_plane = ControlPlane()
        self.authority = Authority(folder / "authority.pem", datetime.now(UTC))
        self.objects = Objects()

    async def start(self, objects: Iterable[Raw]) -> None:
        """Start a sidecar for each injected pod, and wait until all run with what follows."""
        await self.control_plane.start(self._folder / "xds")
        self.put(objects)
        for pod in filter(injected, self.objects.pods):
            self.certify(pod)
            name = pod["metadata"]["uid"]
            boot = snapshot.bootstrap(pod, self._folder / "xds", self._folder / f"{name}.admin")
            file = self._folder / f"{name}.json"
            file.write_text(json.dumps(boot))
            with (self._folder / f"{name}.log").open("wb") as log:
                self._processes.append(
                    await asyncio.create_subprocess_exec(*command(file), stdout=log, stderr=log)
                )
        await self.told()

    async def tell(self, objects: Iterable[Raw]) -> None:
        """Tell the sidecars what follows from these objects, and wait until they run with it."""
        self.put(objects)
        await self.told()

    def certify(self, pod: Mapping[str, Any]) -> None:
        """Give a pod's sidecar a new certificate, and the roots of now."""
        self.give(pod, self.authority.issue(identity(pod), datetime.now(UTC)))

    def give(self, pod: Mapping[str, Any], own: Certificate) -> None:
        """Give a pod's sidecar this certificate, and the roots of now."""
        self.control_plane.set(pod["metadata"]["uid"], snapshot.secrets(own, self.authority.trusted))

    async def told(self) -> None:
        for pod in filter(injected, self.objects.pods):
            node = pod["metadata"]["uid"]
            await asyncio.wait_for(self.control_plane.told(node), PATIENCE)
            assert not self.control_plane.refused(node), self.control_plane.refused(node)

    def put(self, objects: Iterable[Raw]) -> None:
        """Have the sidecars told what follows from these objects."""
        self.objects = Objects.of(objects)
        for pod in filter(injected, self.objects.pods):
            self.control_plane.set(pod["metadata"]["uid"], snapshot.policies(self.objects, pod))

    async def stop(self) -> None:
        for process in self._processes:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()
        await self.control_plane.stop()


@contextlib.asynccontextmanager
async def envoys(folder: Path, objects: Iterable[Raw]) -> AsyncIterator[Envoys]:
    """Sidecars that end with the block."""
    found = Envoys(folder)
    try:
        await found.start(objects)
        yield found
    finally:
        await found.stop()
