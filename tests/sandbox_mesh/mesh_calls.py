"""Pods of a small mesh, the program behind its servers, and calls between them as programs make them."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from sandbox.mesh.objects import inner_address
from tests.mesh.mesh_objects import SIDECAR, metadata, service

Raw = dict[str, Any]


def _network() -> str:
    """The first three numbers of addresses that no other process of the tests, and no sandbox, uses."""
    for number in range(54):
        # The node agent stays below 200.
        network = f"127.20.{201 + (os.getpid() + number) % 54}"
        held = socket.socket()
        try:
            held.bind((f"{network}.254", 20000))
        except OSError:
            held.close()
        else:
            held.detach()  # held for as long as the process lives
            return network
    raise OSError("no network is free")


NETWORK = _network()
SERVER, WEB, CART, BARE, OLD = (f"{NETWORK}.{number}" for number in (1, 2, 3, 9, 4))
HTTP, TCP, AUTO, UNDECLARED = 8080, 9090, 7070, 6060
CALL_SECONDS = 5.0
_GREETING = b"\x00 no HTTP\n"


def mesh_pod(
    name: str, address: str, namespace: str = "shop", *, ports: Sequence[int] = (), sidecar: bool = True
) -> Raw:
    """A ready pod whose ServiceAccount is called like its app."""
    labels = {"app": name, **({"security.istio.io/tlsMode": "istio"} if sidecar else {})}
    app = {"name": "app", "image": "app:1", "ports": [{"containerPort": port} for port in ports]}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": metadata(namespace, name, labels=labels, uid=name),
        "spec": {"serviceAccountName": name, "containers": [app, SIDECAR] if sidecar else [app]},
        "status": {"podIP": address, "conditions": [{"type": "Ready", "status": "True"}]},
    }


PODS = [
    mesh_pod("api", SERVER, ports=(HTTP, TCP, AUTO, UNDECLARED)),
    mesh_pod("web", WEB),
    mesh_pod("cart", CART, "far"),
    mesh_pod("bare", BARE, sidecar=False),
    mesh_pod("old", OLD, ports=(HTTP,), sidecar=False),
]
SERVICES = [
    service(
        ports=[
            {"name": "http", "port": 80, "targetPort": HTTP},
            {"name": "tcp", "port": TCP},
            {"name": "any", "port": AUTO},
        ]
    ),
    service("old", selector={"app": "old"}, ports=[{"name": "http", "port": 80, "targetPort": HTTP}]),
]


@contextlib.asynccontextmanager
async def programs() -> AsyncIterator[None]:
    """The programs of `api`, behind its sidecar, and of `old`, which has none: HTTP, or an echo."""
    places = [(inner_address(SERVER), port) for port in (HTTP, TCP, AUTO, UNDECLARED)] + [(OLD, HTTP)]
    servers = [await asyncio.start_server(_answer, *place) for place in places]
    try:
        yield
    finally:
        for server in servers:
            server.close()


async def _answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(OSError, asyncio.IncompleteReadError):
        while line := await reader.readline():
            if b"HTTP/1.1" not in line:
                writer.write(line)
                continue
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    with contextlib.suppress(OSError):
        writer.close()


async def call_http(
    caller: str, to: tuple[str, int], host: str, method: str, path: str, headers: Mapping[str, str]
) -> bool:
    """Whether a request is answered with 200; fails if it is answered with anything but 200, 403 and 503.

    Args:
        caller: The address that the connection comes from.
        to: The address that it goes to: that of the caller's own sidecar, or the server's.
        host: The Host header.
        method: The method.
        path: The path with its query.
        headers: More headers.
    """
    lines = [f"{method} {path} HTTP/1.1", f"Host: {host}", "Connection: close", "Content-Length: 0"]
    lines += [f"{key}: {value}" for key, value in headers.items()]
    answer = await _exchange(caller, to, ["\r\n".join([*lines, "", ""]).encode()])
    status = answer[9:12]
    assert status in (b"200", b"403", b"503", b""), answer
    return status == b"200"


async def call_tcp(caller: str, to: tuple[str, int], through: str = "") -> bool:
    """Whether something that isn't HTTP comes back from the program.

    Args:
        caller: The address that the connection comes from.
        to: The address that it goes to.
        through: Asks the caller's sidecar at that address to connect to this host and port.
    """
    ask = [f"CONNECT {through} HTTP/1.1\r\nHost: {through}\r\n\r\n".encode()] if through else []
    answer = await _exchange(caller, to, [*ask, _GREETING])
    return answer.endswith(_GREETING)


async def _exchange(caller: str, to: tuple[str, int], parts: Sequence[bytes]) -> bytes:
    """Send each part once the one before is answered; returns the last answer, empty if there is none."""
    answer = b""
    try:
        async with asyncio.timeout(CALL_SECONDS):
            reader, writer = await asyncio.open_connection(*to, local_addr=(caller, 0))
            try:
                for part in parts:
                    writer.write(part)
                    answer = await reader.read(65536)
            finally:
                writer.close()
    except OSError:
        return b""
    return answer
