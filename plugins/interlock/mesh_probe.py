"""The mesh probe: one plaintext and one mTLS connection to each port that it is told, and what came of them.

It runs in a pod of its own with an Istio certificate, as `python -m interlock.mesh_probe`, needs nothing but
the standard library, and decides nothing: `interlock.mesh.observed` says what its result means. It connects
to the ports of INTERLOCK_PROBE_TARGETS and to no others, once each way; only a server's certificate that does
not verify costs a second handshake, which shows whose it is. Of an answer nothing is kept but HTTP's status.

What it sends is harmless, and decides. To an HTTP port OPTIONS, a safe method (RFC 9110, 9.2.1): it passes
the sidecar's policies, so that a denial shows. To any other port a single zero byte: no protocol takes it for
a message, but a sidecar now knows that it is neither TLS nor HTTP, and ends it if it wants mTLS.

The result is one JSON document between two marks on the standard output:

    {"version": 1,
     "results": [{"address", "port",
                  "plaintext": {"result", "said"},
                  "mtls": {"result", "said", "certificate": index or null, "untrusted": why, or ""}}],
     "certificates": [PEM, …]}

A connection's `result` is one of

    answered      something came back; of HTTP, `said` has the status
    open          nothing came back, and the connection stayed open
    closed        the other side ended it without a word
    rejected      the TLS handshake failed, or our certificate was refused: `said` has the alert
    silent        no answer to the TLS handshake within the time
    refused       nothing listens there
    unreachable   no connection came about
    untried       not tried; `said` has why
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
import ssl
import sys
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, TextIO

TARGETS: Final = "INTERLOCK_PROBE_TARGETS"
"""A JSON list of `{"address", "port", "host", "protocol"}`; the protocol is HTTP, or it is opaque."""
CERTIFICATES: Final = "INTERLOCK_PROBE_CERTIFICATES"
"""The folder where istio-agent leaves the pod's certificate (its OUTPUT_CERTS)."""
SECONDS: Final = "INTERLOCK_PROBE_SECONDS"
"""How long all of it may take."""

BEGIN, END = "-----BEGIN INTERLOCK MESH PROBE-----", "-----END INTERLOCK MESH PROBE-----"
MAX_TARGETS = 256
MAX_BYTES = 1_000_000
CONCURRENT = 16
CONNECTION_SECONDS = 3.0
"""For a connection to come about, for its handshake, and for the answer to a request."""
SILENCE_SECONDS = 1.0
"""An opaque connection that is open for so long after the zero byte has been accepted."""
CERTIFICATE_SECONDS = 15.0
"""The sidecar's agent may still be fetching its first certificate."""
_ALPN = {True: ["istio-http/1.1"], False: ["istio"]}
_FILES = ("cert-chain.pem", "key.pem", "root-cert.pem")
_DENIED = b"RBAC: access denied"
_TLS_ALERT = b"\x15\x03"
_LONGEST = 120
_LONGEST_CERTIFICATE = 8_000


@dataclass(frozen=True)
class Target:
    """A port to try."""

    address: str
    port: int
    host: str
    protocol: str

    @property
    def http(self) -> bool:
        """Whether it is asked in HTTP."""
        return self.protocol == "HTTP"


@dataclass
class Outcome:
    """What came of a connection, as the module's text says."""

    result: str
    said: str = ""


@dataclass
class MtlsOutcome(Outcome):
    """What came of an mTLS connection; the certificate is the server's, in PEM."""

    certificate: str | None = None
    untrusted: str = ""


class Probe:
    """Tries targets within a time.

    Args:
        folder: Where the pod's certificate is.
        until: When to end, on the monotonic clock.
    """

    def __init__(self, folder: Path, until: float) -> None:
        self._until = until
        self._contexts: dict[tuple[bool, bool], ssl.SSLContext] = {}
        self._without = ""
        try:
            self._contexts = {
                (is_http, verified): _context(folder, _ALPN[is_http], verified)
                for is_http in (True, False)
                for verified in (True, False)
            }
        except OSError as error:
            self._without = f"no certificate of the mesh in {folder}: {error.strerror or error}"[:_LONGEST]

    def result(self, targets: list[Target]) -> dict[str, Any]:
        """Try all of them; the document."""
        with ThreadPoolExecutor(CONCURRENT) as pool:
            plain, secured = pool.map(self._plaintext, targets), pool.map(self._mtls, targets)
            found = list(zip(plain, secured, strict=True))
        certificates: dict[str, int] = {}
        results = []
        for target, (plaintext, mtls) in zip(targets, found, strict=True):
            said = asdict(mtls)
            if mtls.certificate is not None:
                said["certificate"] = certificates.setdefault(mtls.certificate, len(certificates))
            where = {"address": target.address, "port": target.port}
            results.append(where | {"plaintext": asdict(plaintext), "mtls": said})
        return {"version": 1, "results": results, "certificates": list(certificates)}

    def _plaintext(self, target: Target) -> Outcome:
        connection = self._connected(target)
        if isinstance(connection, Outcome):
            return connection
        with connection:
            return self._exchanged(connection, target)

    def _mtls(self, target: Target) -> MtlsOutcome:
        if self._without:
            return MtlsOutcome("untried", self._without)
        try:
            return self._handshaken(target, verified=True)
        except ssl.SSLCertVerificationError as error:
            untrusted = (error.verify_message or "it does not verify")[:_LONGEST]
        # Once more, to say whose certificate it is.
        found = self._handshaken(target, verified=False)
        found.untrusted = untrusted
        return found

    def _handshaken(self, target: Target, *, verified: bool) -> MtlsOutcome:
        """One mTLS connection; raises SSLCertVerificationError if a certificate is to verify and doesn't."""
        connection = self._connected(target)
        if isinstance(connection, Outcome):
            return MtlsOutcome(connection.result, connection.said)
        context = self._contexts[target.http, verified]
        with connection:
            try:
                secured = context.wrap_socket(connection, server_hostname=target.host)
            except ssl.SSLCertVerificationError:
                raise
            except TimeoutError:
                return MtlsOutcome("silent")
            except OSError as error:
                alert = isinstance(error, ssl.SSLError) and not isinstance(error, ssl.SSLEOFError)
                return MtlsOutcome("rejected" if alert else "closed", _reason(error))
            with secured:
                der = secured.getpeercert(binary_form=True) or b""
                shown = ssl.DER_cert_to_PEM_cert(der) if 0 < len(der) <= _LONGEST_CERTIFICATE else None
                # Under TLS 1.3 a refusal of our certificate comes after the handshake, in place of an answer.
                found = self._exchanged(secured, target)
                return MtlsOutcome(found.result, found.said, shown)

    def _connected(self, target: Target) -> socket.socket | Outcome:
        left = self._until - time.monotonic()
        if left <= 0:
            return Outcome("untried", "the time for all ports was over")
        try:
            return socket.create_connection((target.address, target.port), min(left, CONNECTION_SECONDS))
        except ConnectionRefusedError:
            return Outcome("refused")
        except TimeoutError:
            return Outcome("unreachable", "no answer")
        except OSError as error:
            return Outcome("unreachable", _reason(error))

    def _exchanged(self, connection: socket.socket, target: Target) -> Outcome:
        until, heard = time.monotonic() + (CONNECTION_SECONDS if target.http else SILENCE_SECONDS), b""
        # Who refuses us may have reset the connection before this is sent; why is still there to be read.
        with contextlib.suppress(OSError):
            connection.sendall(_request(target.host) if target.http else b"\0")
        try:
            while len(heard) < 4096 and (left := until - time.monotonic()) > 0:
                connection.settimeout(left)
                part = connection.recv(4096)
                if not part:
                    return _answered(heard, target) if heard else Outcome("closed")
                heard += part
                if not target.http or _whole(heard):
                    break
        except TimeoutError:
            pass
        except ssl.SSLEOFError:
            return Outcome("closed", "without the end of TLS")
        except ssl.SSLError as error:
            return Outcome("rejected", _reason(error))
        except OSError as error:
            return _answered(heard, target) if heard else Outcome("closed", _reason(error))
        return _answered(heard, target) if heard else Outcome("open")


def main(environ: Mapping[str, str], output: TextIO, end_sidecar: Callable[[], None]) -> int:
    """Try what the environment says, and write the result; 2 if it can't be understood.

    Args:
        environ: The environment.
        output: Where the result goes.
        end_sidecar: Called at the end: a sidecar that is no native one would keep its pod from ending.
    """
    try:
        until = time.monotonic() + float(environ.get(SECONDS, "60"))
        targets = [Target(**one) for one in json.loads(environ[TARGETS])]
        if len(targets) > MAX_TARGETS:
            raise ValueError(f"{len(targets)} targets, at most {MAX_TARGETS} are tried")
        folder = Path(environ.get(CERTIFICATES, "/etc/istio-output-certs"))
        _await_files(folder, min(until, time.monotonic() + CERTIFICATE_SECONDS))
        text = json.dumps(Probe(folder, until).result(targets), indent=1)
        if len(text) > MAX_BYTES:
            raise ValueError(f"the result has {len(text)} bytes, at most {MAX_BYTES} are written")
    except (KeyError, TypeError, ValueError) as error:
        print(f"the mesh probe could not work: {type(error).__name__}: {error}", file=output, flush=True)
        return 2
    finally:
        end_sidecar()
    print(BEGIN, text, END, sep="\n", file=output, flush=True)
    return 0


def quit_sidecar() -> None:
    """Ask istio-agent to end, as its documents say for Jobs; a native sidecar ends without."""
    with contextlib.suppress(OSError, http.client.HTTPException):
        agent = http.client.HTTPConnection("127.0.0.1", 15020, timeout=CONNECTION_SECONDS)
        agent.request("POST", "/quitquitquit")
        agent.getresponse().read()


def _context(folder: Path, alpn: list[str], verified: bool) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED if verified else ssl.CERT_NONE
    # Istio trusts whatever is in root-cert.pem, an intermediate authority too.
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    chain, key, root = (folder / name for name in _FILES)
    context.load_verify_locations(root)
    context.load_cert_chain(chain, key)
    context.set_alpn_protocols(alpn)
    return context


def _await_files(folder: Path, until: float) -> None:
    while not all((folder / name).exists() for name in _FILES) and time.monotonic() < until:
        time.sleep(0.1)


def _request(host: str) -> bytes:
    agent = "User-Agent: interlock-mesh-probe\r\nConnection: close"
    return f"OPTIONS / HTTP/1.1\r\nHost: {host}\r\n{agent}\r\n\r\n".encode()


def _whole(heard: bytes) -> bool:
    """Whether no more of an HTTP answer is needed: the body matters only of a denial."""
    _, ended, body = heard.partition(b"\r\n\r\n")
    return bool(ended and (body or heard[9:12] != b"403"))


def _answered(heard: bytes, target: Target) -> Outcome:
    """Of what a service says nothing is kept but the status, and that a policy denied the request."""
    if heard.startswith(_TLS_ALERT):
        return Outcome("rejected", "by a TLS alert")
    if not target.http or not heard.startswith(b"HTTP/1."):
        return Outcome("answered")
    status = heard[9:12].decode("ascii", "replace")
    return Outcome("answered", f"{status} RBAC: access denied" if _DENIED in heard else status)


def _reason(error: OSError) -> str:
    return str(getattr(error, "reason", "") or error.strerror or type(error).__name__)[:_LONGEST]


if __name__ == "__main__":
    sys.exit(main(os.environ, sys.stdout, quit_sidecar))
