"""The program of every service in the sandbox. Standard library only: started as `python -I -S service.py`.

Its environment says who it is and how it behaves (see `sandbox/releases.yaml`):
SANDBOX_SERVICE, SANDBOX_VERSION, SANDBOX_NAMESPACE, SANDBOX_IP, SANDBOX_PORT, SANDBOX_BEHAVIOUR (JSON),
SANDBOX_ENDPOINTS (the file with the ready pods). CALLS, from the manifest, names the services that `/` asks.
"""

import json
import os
import random
import signal
import socket
import sys
import time
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SERVICE = os.environ["SANDBOX_SERVICE"]
VERSION = os.environ["SANDBOX_VERSION"]
NAMESPACE = os.environ["SANDBOX_NAMESPACE"]
ADDRESS = (os.environ["SANDBOX_IP"], int(os.environ["SANDBOX_PORT"]))
BEHAVIOUR = json.loads(os.environ["SANDBOX_BEHAVIOUR"])
CALLS = [name for name in os.environ.get("CALLS", "").replace(",", " ").split() if name]
STARTED = time.monotonic()
QUIET = ("/healthz", "/readyz")


def log(text: str) -> None:
    """Write one line of the log."""
    now = time.time()
    clock = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f".{int(now % 1 * 1000):03d}Z"
    print(f"{clock} {SERVICE} {VERSION} {text}", flush=True)


def ready() -> bool:
    """Whether the time until readiness has passed."""
    after = BEHAVIOUR["ready_after"]
    return after is not None and time.monotonic() - STARTED >= after


def ask(service: str) -> dict[str, object]:
    """Return what another service says its version is; that it is away is an answer too."""
    try:
        with open(os.environ["SANDBOX_ENDPOINTS"], encoding="utf-8") as file:
            known = json.load(file).get(f"{NAMESPACE}/{service}") or []
        if not known:
            return {"service": service, "error": "no ready endpoint"}
        host, _, port = random.choice(known).partition(":")
        connection = HTTPConnection(host, int(port), timeout=1)
        try:
            connection.request("GET", "/version")
            answer: dict[str, object] = json.loads(connection.getresponse().read())
            return answer
        finally:
            connection.close()
    except (OSError, ValueError, HTTPException) as error:
        return {"service": service, "error": str(error)}


class Handler(BaseHTTPRequestHandler):
    """Answers /healthz, /readyz, /version and /."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    timeout = 30

    def do_GET(self) -> None:
        """Answer one request."""
        path = self.path.partition("?")[0]
        about: dict[str, object] = {"service": SERVICE, "version": VERSION, "pod": socket_name()}
        if path == "/healthz":
            self.answer(200, {"status": "ok"})
        elif path == "/readyz":
            self.answer(200 if ready() else 503, {"ready": ready()})
        elif path == "/version":
            self.answer(200, about)
        elif path == "/":
            if random.random() < BEHAVIOUR["error_rate"]:
                self.answer(500, {**about, "error": "internal error"})
            else:
                self.answer(200, {**about, "calls": [ask(name) for name in CALLS]})
        else:
            self.answer(404, {"error": f"no such path: {path}"})

    def answer(self, status: int, body: dict[str, object]) -> None:
        """Send a JSON answer."""
        content = json.dumps(body).encode() + b"\n"
        self.send_response_only(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)
        if self.path not in QUIET:
            log(f"{self.command} {self.path} {status}")

    def log_message(self, format: str, *args: object) -> None:
        """Keep http.server's own log lines out."""


def socket_name() -> str:
    """Return the pod's name."""
    return os.environ.get("HOSTNAME", socket.gethostname())


class Server(ThreadingHTTPServer):
    """Without the reverse look-up of its own name that http.server does at the start."""

    daemon_threads = True
    request_queue_size = 128

    def server_bind(self) -> None:
        """Bind to the pod's address."""
        self.allow_reuse_address = True
        socket_server_bind(self)
        self.server_name, self.server_port = ADDRESS


def socket_server_bind(server: ThreadingHTTPServer) -> None:
    """Bind as socketserver.TCPServer does."""
    server.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    server.socket.bind(server.server_address[:2])


def end(*_: object) -> None:
    """End as asked by TERM."""
    log("TERM: ending")
    os._exit(0)


def main() -> None:
    """Serve until TERM, or crash as told."""
    crash = BEHAVIOUR["crash"]
    log(f"starting on {ADDRESS[0]}:{ADDRESS[1]}")
    if crash:
        time.sleep(crash["after"])
        print(crash["log"], file=sys.stderr, flush=True)
        sys.exit(crash["exit_code"])
    signal.signal(signal.SIGTERM, end)
    Server(ADDRESS, Handler).serve_forever(poll_interval=5)


main()
