"""The mesh probe against servers whose timing is told."""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import struct
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

from interlock.mesh_probe import Outcome, Probe, Target
from sandbox.mesh.authority import Authority


def certified(folder: Path, name: str) -> Authority:
    """A folder as istio-agent leaves it, by an authority of its own."""
    folder.mkdir()
    authority = Authority(folder / "ca", datetime.now(UTC))
    own = authority.issue(f"spiffe://cluster.local/ns/shop/sa/{name}", datetime.now(UTC))
    (folder / "cert-chain.pem").write_text(own.chain)
    (folder / "key.pem").write_text(own.key)
    (folder / "root-cert.pem").write_text(authority.trusted)
    return authority


@contextlib.contextmanager
def refusing(folder: Path) -> Iterator[int]:
    """The port of a server that takes no certificate but its own authority's, and resets the connection."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert-chain.pem", folder / "key.pem")
    context.load_verify_locations(folder / "root-cert.pem")
    context.verify_mode = ssl.CERT_REQUIRED

    def serve() -> None:
        connection, _ = listener.accept()
        with context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False) as secured:
            with contextlib.suppress(ssl.SSLError):
                secured.do_handshake()
            # What Envoy's closing comes to where it has not read all that was sent.
            secured.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    with socket.create_server(("127.0.0.1", 0)) as listener:
        serving = threading.Thread(target=serve)
        serving.start()
        yield listener.getsockname()[1]
        serving.join()


class Late(Probe):
    """A probe that comes to send only once the other side has reset the connection."""

    def _exchanged(self, connection: socket.socket, target: Target) -> Outcome:
        poll = select.poll()
        poll.register(connection, 0)
        [(_, event)] = poll.poll(10_000)
        assert event & select.POLLERR
        return super()._exchanged(connection, target)


def test_a_refusal_of_our_certificate_is_heard_also_where_the_connection_is_reset_first(
    tmp_path: Path,
) -> None:
    own, theirs = tmp_path / "own", tmp_path / "theirs"
    certified(own, "interlock-probe")
    trusted = certified(theirs, "api").trusted
    (own / "root-cert.pem").write_text(trusted)
    for protocol in ("HTTP", "TCP"):
        with refusing(theirs) as port:
            probe = Late(own, time.monotonic() + 30)
            found = probe._mtls(Target("127.0.0.1", port, "api", protocol))
        assert (found.result, found.said) == ("rejected", "TLSV1_ALERT_UNKNOWN_CA")
        assert found.certificate is not None
