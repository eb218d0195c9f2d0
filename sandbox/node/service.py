"""The program of every service in the sandbox. Standard library only: started as `python -I -S service.py`.

Its environment says who it is and how it behaves (see `sandbox/releases.yaml`):
SANDBOX_SERVICE, SANDBOX_VERSION, SANDBOX_NAMESPACE, SANDBOX_IP, SANDBOX_PORT, SANDBOX_BEHAVIOUR (JSON),
SANDBOX_ENDPOINTS (the file with the ready pods), SANDBOX_PROXY (its sidecar, for calls, if it has one).
From the manifest: CALLS names the services that `/` asks, each with a path if it isn't /version; with
CALL_EVERY, a number of seconds, the program calls them by itself, too.
"""

import json
import os
import random
import signal
import socket
import sys
import threading
import time
from http.client import HTTPConnection, HTTPException
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

SERVICE = os.environ["SANDBOX_SERVICE"]
VERSION = os.environ["SANDBOX_VERSION"]
NAMESPACE = os.environ["SANDBOX_NAMESPACE"]
ADDRESS = (os.environ["SANDBOX_IP"], int(os.environ["SANDBOX_PORT"]))
BEHAVIOUR = json.loads(os.environ["SANDBOX_BEHAVIOUR"])
CALLS = [name for name in os.environ.get("CALLS", "").replace(",", " ").split() if name]
PROXY = os.environ.get("SANDBOX_PROXY", "")
CALL_EVERY = float(os.environ.get("CALL_EVERY") or 0)
CALL_SECONDS = 1.0
STARTED = time.monotonic()
LOAD = "load"
QUIET = ("/healthz", "/readyz", "/version")


def log(text: str) -> None:
    """Write one line of the log."""
    now = time.time()
    clock = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now)) + f".{int(now % 1 * 1000):03d}Z"
    print(f"{clock} {SERVICE} {VERSION} {text}", flush=True)


def ready() -> bool:
    """Whether the time until readiness has passed."""
    after = BEHAVIOUR["ready_after"]
    return after is not None and time.monotonic() - STARTED >= after


def connection_to(service: str) -> tuple[HTTPConnection, str]:
    """Return a connection by which a service is asked, and what its address is in the request line."""
    own = (ADDRESS[0], 0)
    if PROXY:
        host, _, port = PROXY.partition(":")
        name = f"http://{service}.{NAMESPACE}.svc.cluster.local"
        return HTTPConnection(host, int(port), timeout=CALL_SECONDS, source_address=own), name
    with open(os.environ["SANDBOX_ENDPOINTS"], encoding="utf-8") as file:
        known = json.load(file).get(f"{NAMESPACE}/{service}") or []
    if not known:
        raise OSError("no ready endpoint")
    host, _, port = random.choice(known).partition(":")
    return HTTPConnection(host, int(port), timeout=CALL_SECONDS, source_address=own), ""


def ask(called: str, agent: str = "service") -> dict[str, object]:
    """Return what another service says its version is; that it is away is an answer too."""
    service, slash, path = called.partition("/")
    try:
        connection, address = connection_to(service)
        try:
            target = address + (f"/{path}" if slash else "/version")
            connection.request("GET", target, headers={"User-Agent": agent})
            response = connection.getresponse()
            content = response.read()
            if response.status != 200:
                text = content[:200].decode(errors="replace")
                return {"service": service, "error": f"HTTP {response.status}: {text}"}
            answer: dict[str, object] = json.loads(content)
            return answer
        finally:
            connection.close()
    except (OSError, ValueError, HTTPException) as error:
        return {"service": service, "error": str(error)}


def keep_calling(seconds: float) -> None:
    """Call the services for ever; log when an answer isn't like the last one."""
    last: dict[str, object] = {}
    while True:
        time.sleep(seconds)
        for called in CALLS:
            error = ask(called, LOAD).get("error")
            if error != last.get(called):
                log(f"call {called} {error or 'ok'}")
            last[called] = error


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
        # What comes again and again would fill the log.
        if self.path not in QUIET and self.headers.get("User-Agent") != LOAD:
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
    if CALL_EVERY:
        threading.Thread(target=keep_calling, args=(CALL_EVERY,), daemon=True).start()
    Server(ADDRESS, Handler).serve_forever(poll_interval=5)


main()
