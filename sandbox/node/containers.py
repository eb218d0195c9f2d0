"""One container's life: image, start, probes, exit, back-off, start again; as a kubelet would have it."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from . import backoff, programs
from .context import Context, now
from .probes import Probe, Result, Tally, follow
from .processes import Exit, Process
from .releases import Image, Release
from .status import ContainerView, Running, Terminated, Waiting, restored_view


def log_file(directory: Path, container: str, restart: int) -> Path:
    """Return the file with what a container wrote between two restarts."""
    return directory / container / f"{restart}.log"


class ContainerRunner:
    """Runs one container of one pod and keeps `view`, what is to be reported of it."""

    def __init__(
        self,
        context: Context,
        pod: Mapping[str, Any],
        spec: Mapping[str, Any],
        ip: str,
        changed: Callable[[], None],
    ) -> None:
        self._context, self._pod, self._spec, self._pod_ip = context, pod, spec, ip
        self._changed = changed
        self._ip = programs.listens_at(pod, spec, ip)
        self.is_sidecar = programs.is_sidecar(spec)
        metadata = pod["metadata"]
        self._place = f"{metadata['name']}_{metadata['namespace']}({metadata['uid']})"
        self._logs = context.logs(metadata["namespace"], metadata["name"], metadata["uid"])
        self._grace = float(pod["spec"].get("terminationGracePeriodSeconds", 30))
        # A sidecar runs as long as the others do, whatever becomes of it.
        self._policy = "Always" if self.is_sidecar else pod["spec"].get("restartPolicy", "Always")
        self._process: Process | None = None
        self.view: ContainerView = restored_view(spec, pod.get("status") or {}, now())

    def _show(self, **changes: Any) -> None:
        view = replace(self.view, **changes)
        if view != self.view:
            self.view = view
            self._changed()

    def _event(self, reason: str, message: str, *, warning: bool = False) -> None:
        record = self._context.events.warning if warning else self._context.events.normal
        record(self._pod, self.view.name, reason, message)

    async def run(self) -> None:
        """Run the container until its restart policy says that it is done, or for ever."""
        wait = backoff.CrashBackoff()
        while True:
            release = await self._pull()
            began = time.monotonic()
            ended = await self._run_once(release)
            wait = wait.after(time.monotonic() - began)
            if self._policy == "Never" or (self._policy == "OnFailure" and ended.exit_code == 0):
                return
            if wait.delay:
                # The terminated state is seen for a moment, as between two syncs of a kubelet.
                await asyncio.sleep(0.2)
                delay = backoff.text(wait.delay)
                message = f"back-off {delay} restarting failed container={self.view.name} pod={self._place}"
                self._show(state=Waiting("CrashLoopBackOff", message), last_state=ended)
                self._event(
                    "BackOff",
                    f"Back-off restarting failed container {self.view.name} in pod {self._place}",
                    warning=True,
                )
                await asyncio.sleep(wait.delay)
            self._show(last_state=ended, restarts=self.view.restarts + 1)

    async def _pull(self) -> Release:
        """Return the release the image names, reporting as a failing pull for as long as there is none."""
        image = self.view.image
        attempt = 0
        while True:
            release = self._context.registry.find(image)
            if release is not None:
                self._event("Pulled", f'Container image "{image}" already present on machine')
                return release
            if Image.parse(image) is None:
                message = f'Failed to apply default image tag "{image}": couldn\'t parse image name "{image}"'
                self._show(state=Waiting("InvalidImageName", f"{message}: invalid reference format"))
                self._event("InspectFailed", f"{message}: invalid reference format", warning=True)
                self._event("Failed", "Error: InvalidImageName", warning=True)
                await asyncio.sleep(10)
                continue
            error = (
                f'rpc error: code = NotFound desc = failed to pull and unpack image "{image}": '
                f'failed to resolve reference "{image}": {image}: not found'
            )
            self._event("Pulling", f'Pulling image "{image}"')
            self._event("Failed", f'Failed to pull image "{image}": {error}', warning=True)
            self._event("Failed", "Error: ErrImagePull", warning=True)
            self._show(state=Waiting("ErrImagePull", error))
            await asyncio.sleep(0.5)
            message = f'Back-off pulling image "{image}"'
            self._show(state=Waiting("ImagePullBackOff", f"{message}: ErrImagePull: {error}"))
            self._event("BackOff", message)
            self._event("Failed", "Error: ImagePullBackOff", warning=True)
            await asyncio.sleep(backoff.growing(attempt))
            attempt += 1

    async def _run_once(self, release: Release) -> Terminated:
        name, restarts = self.view.name, self.view.restarts
        for old in (self._logs / name).glob("*.log"):
            if int(old.stem) < restarts - 1:
                old.unlink()
        command = programs.command(self._context, self._pod, self._spec, self._pod_ip, release)
        self._process = await Process.start(
            command.argv,
            command.environment,
            log_file(self._logs, name, restarts),
            self._context.records,
            f"{self._pod['metadata']['uid']}.{name}",
        )
        self._event("Created", f"Created container: {name}")
        self._event("Started", f"Started container {name}")
        started_at = now()
        has = {kind: Probe.of(kind, self._spec) for kind in ("startup", "readiness", "liveness")}
        self._show(
            state=Running(started_at),
            image_id=release.image_id,
            container_id=f"sandbox://{secrets.token_hex(32)}",
            started=has["startup"] is None,
            ready=has["startup"] is None and has["readiness"] is None,
        )
        ended = await self._until_exit(self._process, has)
        terminated = Terminated(ended.code, started_at, now(), self.view.container_id, ended.signal)
        self._show(state=terminated, ready=False, started=False)
        return terminated

    async def _until_exit(self, process: Process, has: Mapping[str, Probe | None]) -> Exit:
        """Probe the running process until it ends, or is ended for a failed probe."""
        ending = asyncio.create_task(process.wait())
        probing = asyncio.create_task(self._probe(has))
        try:
            await asyncio.wait({ending, probing}, return_when=asyncio.FIRST_COMPLETED)
            if not ending.done():
                kind = probing.result()
                self._event("Killing", f"Container {self.view.name} failed {kind} probe, will be restarted")
                self._show(ready=False)
                return await process.stop(self._grace)
            return await ending
        finally:
            probing.cancel()
            ending.cancel()
            await asyncio.gather(probing, ending, return_exceptions=True)

    async def _probe(self, has: Mapping[str, Probe | None]) -> str:
        """Run the probes; return the kind of the one whose failure ends the container."""
        startup, readiness, liveness = has["startup"], has["readiness"], has["liveness"]
        if startup is not None:
            await follow(startup, self._ip, lambda t, r: self._observed("startup", t, r))
            if not self.view.started:
                return "startup"
        asking: asyncio.Task[None] | None = None
        if readiness is not None:
            asking = asyncio.create_task(
                follow(readiness, self._ip, lambda t, r: self._observed("readiness", t, r))
            )
        try:
            if liveness is not None:
                await follow(liveness, self._ip, lambda t, r: self._observed("liveness", t, r))
                return "liveness"
            await asyncio.Event().wait()
            return ""
        finally:
            if asking is not None:
                asking.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await asking

    def _observed(self, kind: str, tally: Tally, result: Result) -> None:
        if not result.ok:
            self._event("Unhealthy", f"{kind.capitalize()} probe failed: {result.message}", warning=True)
        if kind == "readiness":
            self._show(ready=tally.passed is True)
        elif kind == "startup" and tally.passed:
            self._show(started=True, ready="readinessProbe" not in self._spec)

    async def stop(self, grace: float) -> None:
        """End the container's process for good; `run` must not be running any more."""
        process = self._process
        if process is None or not process.running:
            return
        self._event("Killing", f"Stopping container {self.view.name}")
        since = self.view.state.started_at if isinstance(self.view.state, Running) else now()
        ended = await process.stop(grace)
        state = Terminated(ended.code, since, now(), self.view.container_id, ended.signal)
        self._show(state=state, ready=False, started=False)

    async def retire(self, grace: float) -> None:
        """End a sidecar whose pod has done its work, as `stop`; it counts as ended also if it was down."""
        await self.stop(grace)
        if not isinstance(self.view.state, Terminated):
            self._show(state=self.view.last_state or Terminated(0, now(), now()), ready=False, started=False)

    def kill(self) -> None:
        """End the process at once, without a word to the API."""
        if self._process is not None and self._process.running:
            self._process.kill()
