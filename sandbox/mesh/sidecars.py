"""Tells all sidecars what follows from the live objects, and keeps their certificates fresh."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path

from sandbox.mesh import snapshot
from sandbox.mesh.authority import Authority, Certificate
from sandbox.mesh.control_plane import ControlPlane
from sandbox.mesh.live import LiveObjects
from sandbox.mesh.objects import PROXY_CONTAINER, Raw, identity, injected, is_ready, name, namespace
from sandbox.mesh.proxy_config import ProxyConfig, ProxyConfigError
from sandbox.mesh.targets import Targets
from sandbox.node.addresses import write_whole
from sandbox.node.context import volumes

_PAUSE = 0.02
# Under a storm of changes, translating takes at most a quarter of a core.
_REST = 3.0
_TEND_EVERY = 0.5
_ENDED = ("Succeeded", "Failed")


class Sidecars:
    """What each sidecar is told, from the live objects and from the authority."""

    def __init__(
        self,
        live: LiveObjects,
        control_plane: ControlPlane,
        authority: Authority,
        node: Path,
        now: Callable[[], datetime],
    ) -> None:
        """Begin with no sidecars.

        Args:
            live: The live objects.
            control_plane: Where the sidecars ask.
            authority: Signs their certificates.
            node: The state directory of the node, where the pods' volumes are, and what Prometheus scrapes.
            now: Tells the time.
        """
        self._live, self._control_plane, self._authority = live, control_plane, authority
        self._node, self._now = node, now
        self._targets = Targets(node / "targets.json")
        self._certificates: dict[str, tuple[Certificate, str]] = {}
        self._complaints: dict[str, dict[str, str]] = {}

    async def run(self) -> None:
        """Follow the objects and the clock for ever."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._live.run())
            group.create_task(self._translate_changes())
            group.create_task(self._tend())

    async def _translate_changes(self) -> None:
        while True:
            await self._live.changed.wait()
            self._live.changed.clear()
            if not self._live.complete:
                continue
            began = time.monotonic()
            objects = self._live.objects()
            for pod in objects.pods:
                if _has_running_sidecar(pod):
                    self._certify(pod)
                    self._control_plane.set(pod["metadata"]["uid"], snapshot.policies(objects, pod))
                    await asyncio.sleep(0)
            self._targets.write(pod for pod in objects.pods if _has_running_sidecar(pod) and is_ready(pod))
            self._forget()
            await asyncio.sleep(max(_PAUSE, _REST * (time.monotonic() - began)))

    async def _tend(self) -> None:
        """Renew what is due, and say what a sidecar has refused."""
        while True:
            self._authority.tend(self._now())
            for pod in self._running():
                if pod["metadata"]["uid"] in self._certificates:
                    self._certify(pod)
                self._complain(pod)
            await asyncio.sleep(_TEND_EVERY)

    def _running(self) -> Iterator[Raw]:
        return (pod for pod in self._live.pods() if _has_running_sidecar(pod))

    def _certify(self, pod: Raw) -> None:
        """Give a pod's sidecar a certificate if it has none, or it is due, or the roots have changed."""
        uid, moment = pod["metadata"]["uid"], self._now()
        roots = f"{self._authority.signer(moment)}\n{self._authority.trusted}"
        known = self._certificates.get(uid)
        if known is not None and known[1] == roots and not known[0].is_due(moment):
            return
        try:
            wanted = ProxyConfig.of(pod)
        except ProxyConfigError:  # changed since the injector has read it
            wanted = ProxyConfig()
        own = self._authority.issue(identity(pod), moment, wanted.lifetime)
        self._certificates[uid] = own, roots
        self._control_plane.set(uid, snapshot.secrets(own, self._authority.trusted))
        self._leave_files(pod, wanted.output, own)

    def _leave_files(self, pod: Raw, place: str, own: Certificate) -> None:
        """Write the certificates where a pod wants them as files: into a volume of its sidecar's."""
        proxy = next(one for one in pod["spec"]["containers"] if one["name"] == PROXY_CONTAINER)
        for mount in proxy.get("volumeMounts") or ():
            if place and mount["mountPath"].rstrip("/") == place.rstrip("/"):
                folder = volumes(self._node, pod["metadata"]["uid"]) / mount["name"]
                folder.mkdir(mode=0o700, parents=True, exist_ok=True)
                write_whole(folder / "key.pem", own.key)
                write_whole(folder / "root-cert.pem", self._authority.trusted)
                write_whole(folder / "cert-chain.pem", own.chain)

    def _complain(self, pod: Raw) -> None:
        uid = pod["metadata"]["uid"]
        refused = dict(self._control_plane.refused(uid))
        if refused != self._complaints.get(uid, {}):
            self._complaints[uid] = refused
            for kind, why in refused.items():
                print(f"{namespace(pod)}/{name(pod)} refuses {kind.rpartition('.')[2]}: {why}", flush=True)

    def _forget(self) -> None:
        """Forget the sidecars of pods that are gone."""
        known = {pod["metadata"]["uid"] for pod in self._live.pods()}
        for uid in [uid for uid in self._certificates if uid not in known]:
            self._control_plane.forget(uid)
            self._certificates.pop(uid)
            self._complaints.pop(uid, None)


def _has_running_sidecar(pod: Raw) -> bool:
    status = pod.get("status") or {}
    ending = pod["metadata"].get("deletionTimestamp") or status.get("phase") in _ENDED
    return injected(pod) and bool(status.get("podIP")) and not ending
