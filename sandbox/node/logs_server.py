"""`kubectl logs`: the API server asks the node for `/containerLogs/NAMESPACE/POD/CONTAINER` over HTTPS.

It listens on 127.0.0.1 only, at a free port that the Node's status names. The certificate is made at the
start and signed by nobody; an API server without `--kubelet-certificate-authority` takes it. With the
option `--client-ca`, only callers with a certificate of that authority are served; without it, whoever
has a shell on this machine can read the logs of the sandbox's services.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from .status import HOST_IP

_FOLLOW_EVERY = 0.25


def tls_context(state: Path, node: str, client_ca: Path | None) -> ssl.SSLContext:
    """Return the server's TLS context with a certificate made now.

    Args:
        state: Where certificate and key are kept, readable for the owner only.
        node: The certificate's name.
        client_ca: If given, callers must show a certificate that it signed.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, f"system:node:{node}")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=365))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(IPv4Address(HOST_IP))]), critical=False)
        .sign(key, hashes.SHA256())
    )
    file = state / "logs-server.pem"
    file.touch(mode=0o600)
    file.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    if client_ca is not None:
        context.load_verify_locations(client_ca)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def find_log(pods: Path, namespace: str, pod: str, container: str, *, previous: bool) -> Path | None:
    """Return the newest log file of a container, or the one before a restart; None if there is none."""
    if not all(part and "/" not in part and ".." not in part for part in (namespace, pod, container)):
        return None
    directories = sorted(pods.glob(f"{namespace}_{pod}_*"), key=lambda p: p.stat().st_mtime)
    if not directories:
        return None
    files = sorted((directories[-1] / container).glob("*.log"), key=lambda p: int(p.stem))
    index = 2 if previous else 1
    return files[-index] if len(files) >= index else None


def exists(file: Path) -> bool:
    """Whether the log is still there."""
    return file.exists()


def read_from(file: Path, offset: int) -> bytes:
    """Return what the log holds after `offset` bytes; nothing once it was removed."""
    try:
        with file.open("rb") as log:
            log.seek(offset)
            return log.read()
    except FileNotFoundError:
        return b""


def tail(content: bytes, lines: int | None) -> bytes:
    """Return the last lines, all for None."""
    if lines is None:
        return content
    return b"".join(content.splitlines(keepends=True)[-lines:]) if lines > 0 else b""


class LogsServer:
    """Serves the log files below one directory."""

    def __init__(self, pods: Path) -> None:
        self._pods = pods

    async def start(self, context: ssl.SSLContext, port: int) -> asyncio.Server:
        """Listen on loopback; port 0 takes a free one."""
        return await asyncio.start_server(self._serve, HOST_IP, port, ssl=context)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            line = (await asyncio.wait_for(reader.readline(), 10)).decode("latin-1").split()
            while (await asyncio.wait_for(reader.readline(), 10)).strip():
                pass
            status, parts = "400 Bad Request", self._text("bad request\n")
            if len(line) == 3 and line[0] == "GET":
                status, parts = self._answer(line[1])
            writer.write(
                f"HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nTransfer-Encoding: chunked\r\n"
                "Connection: close\r\n\r\n".encode()
            )
            async for part in parts:
                if reader.at_eof() or writer.is_closing():
                    break
                if not part:
                    continue
                writer.write(f"{len(part):x}\r\n".encode() + part + b"\r\n")
                await writer.drain()
            writer.write(b"0\r\n\r\n")
            await writer.drain()
        except (OSError, TimeoutError, ValueError, asyncio.CancelledError):
            # Cancelled only at the end of the agent: the connection is all there is to give up.
            pass
        finally:
            writer.close()
            with contextlib.suppress(OSError, ssl.SSLError):
                await writer.wait_closed()

    def _answer(self, target: str) -> tuple[str, AsyncIterator[bytes]]:
        url = urlsplit(target)
        parts = [unquote(part) for part in url.path.strip("/").split("/")]
        query = {name: values[-1] for name, values in parse_qs(url.query).items()}
        if url.path == "/healthz":
            return "200 OK", self._text("ok\n")
        if len(parts) != 4 or parts[0] != "containerLogs":
            return "404 Not Found", self._text("the sandbox's node serves logs only\n")
        _, namespace, pod, container = parts
        previous = query.get("previous") in ("true", "1")
        file = find_log(self._pods, namespace, pod, container, previous=previous)
        if file is None:
            which = "previous terminated container" if previous else "container"
            message = f'{which} "{container}" in pod "{pod}" not found: it wrote no log on this node\n'
            return "404 Not Found", self._text(message)
        return "200 OK", self._content(file, query)

    async def _text(self, text: str) -> AsyncIterator[bytes]:
        yield text.encode()

    async def _content(self, file: Path, query: Mapping[str, str]) -> AsyncIterator[bytes]:
        lines = int(query["tailLines"]) if query.get("tailLines", "").isdigit() else None
        content = read_from(file, 0)
        offset = len(content)
        content = tail(content, lines)
        if query.get("limitBytes", "").isdigit():
            content = content[: int(query["limitBytes"])]
        if content:
            yield content
        # A file of another container's life begins after a restart, so following ends with this one's pod.
        while query.get("follow") in ("true", "1") and exists(file):
            await asyncio.sleep(_FOLLOW_EVERY)
            more = read_from(file, offset)
            offset += len(more)
            # An empty part makes a caller that has gone away be noticed.
            yield more
