"""Holds a write of Interlock's inside the API server, so that a fault hits it in the middle of its act.

An admission webhook sees each write before it is stored. It lets all of them pass at once but those that a
test holds: of such a one the journal, the cluster and the process that sent it stand still until it is
released.
"""

from __future__ import annotations

import contextlib
import json
import ssl
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from running_sandbox import INTERLOCK_USER, RunningSandbox

from sandbox import certificates
from sandbox.state import State

WEBHOOK = "interlock-test-faults"
SECONDS = 30  # the longest that Kubernetes lets a webhook take

Request = dict[str, Any]
Wanted = Callable[[Request], bool]


def intent_of(service: str) -> Wanted:
    """The first write of a service's journal: before anything has changed."""
    return lambda request: request["operation"] == "CREATE" and _is_journal(request, service)


def change_of(service: str) -> Wanted:
    """A write of the service's Deployment that changes what runs: after the intent."""
    return lambda request: (
        request["kind"]["kind"] == "Deployment"
        and request["name"] == service
        and request["object"]["spec"] != request["oldObject"]["spec"]
    )


def outcome_of(service: str) -> Wanted:
    """A later write of a service's journal: after what runs has changed."""
    return lambda request: request["operation"] == "UPDATE" and _is_journal(request, service)


def _is_journal(request: Request, service: str) -> bool:
    labels = request["object"]["metadata"].get("labels") or {}
    return bool(request["kind"]["kind"] == "Secret" and labels.get("interlock.internal/service") == service)


class Hold:
    """One write that is to be held: the first that fits."""

    def __init__(self, wanted: Wanted) -> None:
        self.wanted = wanted
        self.seen = threading.Event()
        self._free = threading.Event()

    def wait(self, seconds: float = 90) -> None:
        """Wait until the write is held."""
        if not self.seen.wait(seconds):
            pytest.fail(f"the write to hold did not come within {seconds:.0f} s")

    def release(self) -> None:
        """Let the write go on."""
        self._free.set()

    def stay(self) -> None:
        self._free.wait(SECONDS)


class HeldWrites:
    """The webhook and its registration.

    Args:
        sandbox: whose writes are held.
    """

    def __init__(self, sandbox: RunningSandbox) -> None:
        self._sandbox = sandbox
        self._keys = certificates.folder(State(sandbox.root))
        self._lock = threading.Lock()
        self._holds: list[Hold] = []
        self._asked = threading.Event()
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self._keys / "apiserver.crt", self._keys / "apiserver.key")
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)

    def __enter__(self) -> HeldWrites:
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self._sandbox.kubectl_run("apply", "-f", "-", given=json.dumps(self._registration()))
        probe = {
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {"name": "probe", "namespace": "interlock"},
        }
        give_up = time.monotonic() + 30
        while not self._asked.is_set():
            assert time.monotonic() < give_up, "the API server does not ask the webhook"
            self._sandbox.kubectl_run("create", "--dry-run=server", "-f", "-", given=json.dumps(probe))
        return self

    def __exit__(self, *_: object) -> None:
        self._sandbox.kubectl_run("delete", "validatingwebhookconfiguration", WEBHOOK, "--ignore-not-found")
        self._server.shutdown()
        self._server.server_close()

    @contextlib.contextmanager
    def hold(self, wanted: Wanted) -> Iterator[Hold]:
        """Hold the first write of Interlock's that fits, until it is released or the block ends."""
        hold = Hold(wanted)
        with self._lock:
            self._holds.append(hold)
        try:
            yield hold
        finally:
            hold.release()
            with self._lock:
                self._holds.remove(hold)

    def _claim(self, request: Request) -> Hold | None:
        if request["userInfo"]["username"] != INTERLOCK_USER:
            return None
        with self._lock:
            for hold in self._holds:
                if not hold.seen.is_set() and hold.wanted(request):
                    hold.seen.set()
                    return hold
        return None

    def _handler(held) -> type[BaseHTTPRequestHandler]:
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["request"]
                held._asked.set()
                if hold := held._claim(request):
                    hold.stay()
                answer = {"uid": request["uid"], "allowed": True}
                review = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": answer}
                body = json.dumps(review).encode()
                # Who asked may be gone by now: that is what these tests are for.
                with contextlib.suppress(OSError):
                    self.send_response(200)
                    self.send_header("Content-Type", "application/json")
                    self.send_header("Content-Length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                return

        return Handler

    def _registration(self) -> dict[str, Any]:
        authority = b64encode((self._keys / "ca.crt").read_bytes()).decode()
        url = f"https://127.0.0.1:{self._server.server_address[1]}/"

        def rule(group: str, resource: str) -> dict[str, Any]:
            operations = ["CREATE", "UPDATE"]
            return {
                "apiGroups": [group],
                "apiVersions": ["v1"],
                "resources": [resource],
                "operations": operations,
            }

        webhook = {
            "name": "writes.faults.interlock.internal",
            "clientConfig": {"url": url, "caBundle": authority},
            "rules": [rule("apps", "deployments"), rule("", "secrets")],
            "namespaceSelector": {
                "matchExpressions": [
                    {
                        "key": "kubernetes.io/metadata.name",
                        "operator": "In",
                        "values": ["payments", "interlock"],
                    }
                ]
            },
            "failurePolicy": "Ignore",
            "sideEffects": "None",
            "timeoutSeconds": SECONDS,
            "admissionReviewVersions": ["v1"],
        }
        return {
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "ValidatingWebhookConfiguration",
            "metadata": {"name": WEBHOOK},
            "webhooks": [webhook],
        }
