"""The Node object and its Lease: what tells the control plane that the node is there and well."""

from __future__ import annotations

import asyncio
import os
import platform
from datetime import UTC, datetime
from typing import Any

import httpx

from .api import MERGE_PATCH, Api, ApiError
from .status import HOST_IP, stamp

LEASE_SECONDS = 10
STATUS_SECONDS = 60
_UNREADY_TAINTS = ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable")
_CAPACITY = {"cpu": "64", "memory": "256Gi", "pods": "1000", "ephemeral-storage": "1Ti"}
_PRESSURES = (
    ("MemoryPressure", "KubeletHasSufficientMemory"),
    ("DiskPressure", "KubeletHasNoDiskPressure"),
    ("PIDPressure", "KubeletHasSufficientPID"),
)


def node_status(version: str, port: int, previous: dict[str, Any], now: datetime) -> dict[str, Any]:
    """Return the node's status: ready, with room for 1000 pods.

    Args:
        version: The version to report as the kubelet's; the API server's own.
        port: Where the logs are served.
        previous: The status the API has.
        now: The time of the heartbeat.
    """
    since = {(c["type"], c["status"]): c["lastTransitionTime"] for c in previous.get("conditions") or []}
    conditions = [
        {
            "type": kind,
            "status": status,
            "reason": reason,
            "message": "the sandbox's node agent is running",
            "lastHeartbeatTime": stamp(now),
            "lastTransitionTime": since.get((kind, status)) or stamp(now),
        }
        for kind, status, reason in (
            *((kind, "False", reason) for kind, reason in _PRESSURES),
            ("Ready", "True", "KubeletReady"),
        )
    ]
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
    return {
        "conditions": conditions,
        "addresses": [{"type": "InternalIP", "address": HOST_IP}],
        "capacity": _CAPACITY,
        "allocatable": _CAPACITY,
        "daemonEndpoints": {"kubeletEndpoint": {"Port": port}},
        "nodeInfo": {
            "architecture": machine,
            "operatingSystem": "linux",
            "osImage": "Interlock sandbox",
            "kernelVersion": os.uname().release,
            "containerRuntimeVersion": "sandbox://1",
            "kubeletVersion": version,
            "kubeProxyVersion": "",
            "machineID": "sandbox",
            "systemUUID": "sandbox",
            "bootID": "sandbox",
        },
    }


class Heartbeat:
    """Keeps the Node and its Lease."""

    def __init__(self, api: Api, node: str, port: int) -> None:
        self._api, self._node, self._port = api, node, port
        self._path = f"/api/v1/nodes/{node}"

    async def run(self) -> None:
        """Beat for ever; an API server that is away is waited for."""
        loop = asyncio.get_running_loop()
        next_status = 0.0
        while True:
            try:
                if loop.time() >= next_status:
                    await self.report_node()
                    next_status = loop.time() + STATUS_SECONDS
                await self._renew_lease()
                await asyncio.sleep(LEASE_SECONDS)
            except (ApiError, httpx.HTTPError) as error:
                print(f"heartbeat: {error!r}", flush=True)
                await asyncio.sleep(1)

    async def report_node(self) -> None:
        """Create the Node if need be, report it ready and remove the taints of an unready one."""
        version = str((await self._api.call("GET", "/version"))["gitVersion"])
        try:
            node = await self._api.call("GET", self._path)
        except ApiError as error:
            if error.code != 404:
                raise
            node = await self._api.call("POST", "/api/v1/nodes", self._fresh())
        status = node_status(version, self._port, node.get("status") or {}, datetime.now(UTC))
        await self._api.call("PATCH", f"{self._path}/status", {"status": status}, content_type=MERGE_PATCH)
        taints = node["spec"].get("taints") or []
        kept = [t for t in taints if t["key"] not in _UNREADY_TAINTS]
        if kept != taints:
            body = {"spec": {"taints": kept or None}}
            try:
                await self._api.call("PATCH", self._path, body, content_type=MERGE_PATCH)
            except ApiError as error:
                # The admission plug-in NodeRestriction leaves taints to the node-lifecycle controller.
                if error.code != 403:
                    raise

    def _fresh(self) -> dict[str, Any]:
        labels = {
            "kubernetes.io/hostname": self._node,
            "kubernetes.io/os": "linux",
            "node.kubernetes.io/instance-type": "sandbox",
        }
        return {"apiVersion": "v1", "kind": "Node", "metadata": {"name": self._node, "labels": labels}}

    async def _renew_lease(self) -> None:
        leases = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
        moment = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
        spec = {"holderIdentity": self._node, "leaseDurationSeconds": 40, "renewTime": moment}
        try:
            await self._api.call("PATCH", f"{leases}/{self._node}", {"spec": spec}, content_type=MERGE_PATCH)
        except ApiError as error:
            if error.code != 404:
                raise
            lease = {
                "apiVersion": "coordination.k8s.io/v1",
                "kind": "Lease",
                "metadata": {"name": self._node, "namespace": "kube-node-lease"},
                "spec": spec,
            }
            await self._api.call("POST", leases, lease)
