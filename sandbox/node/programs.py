"""What a container runs: the program that its image stands for, and what it is told of its place.

A program of the services' kind is a Python file beside this one, of the standard library alone. What each
of them finds in its environment:

* HOSTNAME, SANDBOX_NAMESPACE, SANDBOX_SERVICE, SANDBOX_VERSION: who it is;
* SANDBOX_IP, SANDBOX_PORT: where it listens, 127.21.x.y behind a sidecar and else the pod's 127.20.x.y;
* SANDBOX_PROXY: its sidecar's HOST:PORT for calls, where it has one;
* SANDBOX_ENDPOINTS: the file with the ready pods of each service, for calls without a sidecar;
* SANDBOX_VOLUMES: JSON, the folder behind each mountPath of an emptyDir volume;
* SANDBOX_BEHAVIOUR: JSON, how the release behaves (`sandbox/releases.yaml`);
* what the container's `env` says. Its `args` follow the program's name.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sandbox.mesh import envoy, snapshot
from sandbox.mesh.objects import PROXY_CONTAINER, inner_address
from sandbox.mesh.objects import injected as has_sidecar
from sandbox.mesh.outbound import OUTBOUND_PORT

from .context import Context
from .probes import port_number
from .releases import Release

_PYTHON = {name: Path(__file__).with_name(f"{name}.py") for name in ("service", "probe")}


@dataclass(frozen=True)
class Command:
    """A command line and its whole environment."""

    argv: tuple[str, ...]
    environment: Mapping[str, str]


def is_sidecar(container: Mapping[str, Any]) -> bool:
    """Whether a container is the pod's sidecar."""
    return bool(container["name"] == PROXY_CONTAINER)


def listens_at(pod: Mapping[str, Any], container: Mapping[str, Any], ip: str) -> str:
    """The address that a container listens at, and is probed at.

    Args:
        pod: The pod.
        container: One of its containers.
        ip: The pod's address.
    """
    return inner_address(ip) if has_sidecar(pod) and not is_sidecar(container) else ip


def port(container: Mapping[str, Any]) -> int:
    """The port that a container's program listens on: its first, or 8080."""
    ports = container.get("ports") or []
    return port_number(ports[0]["containerPort"], container) if ports else 8080


def command(
    context: Context, pod: Mapping[str, Any], container: Mapping[str, Any], ip: str, release: Release
) -> Command:
    """What to start for a container; the files that it needs are written.

    Args:
        context: The agent's parts.
        pod: The pod.
        container: One of its containers.
        ip: The pod's address.
        release: What its image stands for.
    """
    if release.program == "envoy":
        return _sidecar(context, pod, ip)
    program, arguments = _PYTHON[release.program], container.get("args") or ()
    return Command(
        (sys.executable, "-I", "-S", str(program), *map(str, arguments)),
        {**_environment(context, pod, container, ip, release), **_given(container)},
    )


def _sidecar(context: Context, pod: Mapping[str, Any], ip: str) -> Command:
    uid = pod["metadata"]["uid"]
    addressed = {**pod, "status": {**(pod.get("status") or {}), "podIP": ip}}
    folder = context.envoy(uid)
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "bootstrap.json"
    boot = snapshot.bootstrap(addressed, context.sockets / "xds", context.admin_socket(uid))
    file.write_text(json.dumps(boot))
    return Command(tuple(envoy.command(file)), {})


def _environment(
    context: Context, pod: Mapping[str, Any], container: Mapping[str, Any], ip: str, release: Release
) -> dict[str, str]:
    metadata = pod["metadata"]
    found = {
        "HOSTNAME": metadata["name"],
        "SANDBOX_SERVICE": (metadata.get("labels") or {}).get("app") or release.repository.split("/")[-1],
        "SANDBOX_VERSION": release.tag,
        "SANDBOX_NAMESPACE": metadata["namespace"],
        "SANDBOX_IP": listens_at(pod, container, ip),
        "SANDBOX_PORT": str(port(container)),
        "SANDBOX_BEHAVIOUR": release.behaviour.to_json(),
        "SANDBOX_ENDPOINTS": str(context.endpoints.path.resolve()),
        "SANDBOX_VOLUMES": json.dumps(_volumes(context, pod, container)),
    }
    if has_sidecar(pod):
        found["SANDBOX_PROXY"] = f"{inner_address(ip)}:{OUTBOUND_PORT}"
    return found


def _given(container: Mapping[str, Any]) -> dict[str, str]:
    return {entry["name"]: entry["value"] for entry in container.get("env") or [] if "value" in entry}


def _volumes(context: Context, pod: Mapping[str, Any], container: Mapping[str, Any]) -> dict[str, str]:
    """The folder behind each place where a container mounts an emptyDir; the folders are made."""
    shared = {volume["name"] for volume in pod["spec"].get("volumes") or () if "emptyDir" in volume}
    found = {}
    for mount in container.get("volumeMounts") or ():
        if mount["name"] in shared:
            folder = context.volumes(pod["metadata"]["uid"]) / mount["name"]
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            found[mount["mountPath"]] = str(folder)
    return found
