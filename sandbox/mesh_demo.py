"""The demo's train that is refused: the services' namespace accepts plaintext, and nothing may move.

What the policy changes is seen on a real connection, too, before Interlock is asked: the sidecar of
`service-a` hangs up on a client without a certificate, and answers it once the policy is there.
"""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from typing import Final

import httpx

from sandbox.parts import kubernetes
from sandbox.rides import (
    NAMESPACE,
    POLL_SECONDS,
    SERVICES,
    DemoError,
    deployments,
    judge,
    live_releases,
    next_good,
    ride,
    table,
)
from sandbox.state import State
from sandbox.train_api import TrainApi

POLICY: Final = "demo-permissive"
_PORT: Final = 8080
_SECONDS: Final = 10.0
_LAX: Final = {
    "apiVersion": "security.istio.io/v1",
    "kind": "PeerAuthentication",
    "metadata": {"name": POLICY, "namespace": NAMESPACE},
    "spec": {"mtls": {"mode": "PERMISSIVE"}},
}
_NAMED: Final = (f"Port {_PORT} accepts plaintext", f"PeerAuthentication {NAMESPACE}/{POLICY}")
"""What the refusal has to name: the port, and the rule."""
_REFUSED: Final = {"plan": "failed", "lock": "upstream_failed", "service-a.promote": "upstream_failed"}


def is_refused(api: TrainApi, state: State, runs: list[str]) -> bool:
    """Set the namespace PERMISSIVE, trigger a train, undo that; returns whether all is as expected."""
    before, written = live_releases(state), _generations(state)
    wanted = {service: next_good(before[service]) for service in SERVICES}
    print(f"\nTrain 3: {NAMESPACE} is set PERMISSIVE. The train has to be refused before anything moves.")
    print(f"  a plaintext request to service-a: {_plaintext(state)}", flush=True)
    with _permissive(state):
        _until(lambda: _plaintext(state) != _REFUSES, "service-a's sidecar to accept plaintext")
        print(f"  PeerAuthentication {POLICY} applied; the same request: {_plaintext(state)}", flush=True)
        outcome = ride(api, "demo-is-refused", wanted, runs)
    after = live_releases(state)
    table(before, wanted, after, "as before", before)
    expected = judge(outcome, "failed", after, before, _REFUSED)
    reason = outcome.reasons.get("plan", "")
    wrong = [f"the refusal does not name {text!r}" for text in _NAMED if text not in reason]
    if _generations(state) != written:
        wrong.append("a Deployment was written")
    _until(lambda: _plaintext(state) == _REFUSES, "service-a's sidecar to refuse plaintext again")
    print(f"  PeerAuthentication {POLICY} deleted; the same request: {_plaintext(state)}")
    if wrong:
        print(f"  NOT as expected: {'; '.join(wrong)}.")
    return expected and not wrong


def take_back(state: State) -> None:
    """Delete the policy, which a demo that was ended in its midst leaves behind."""
    kind = "peerauthentications.security.istio.io"
    done = kubernetes.kubectl(state, "delete", kind, POLICY, "-n", NAMESPACE, "--ignore-not-found")
    if done.returncode:
        raise DemoError(f"kubectl can't delete {POLICY}: {done.stderr.strip()}", "kube-apiserver.log")


_REFUSES: Final = "refused (the connection is closed)"


def _plaintext(state: State) -> str:
    """What becomes of a request without a certificate to a pod of service-a."""
    selector = ("-l", "app=service-a", "--field-selector=status.phase=Running")
    found = kubernetes.kubectl(state, "get", "pods", "-n", NAMESPACE, *selector, "-o", "json")
    pods = json.loads(found.stdout)["items"] if found.returncode == 0 else []
    if not pods:
        raise DemoError("the cluster has no running pod of service-a", "node.log")
    try:
        answer = httpx.get(f"http://{pods[0]['status']['podIP']}:{_PORT}/version", timeout=5)
    except httpx.TransportError:
        return _REFUSES
    return f"answered with {answer.status_code} ({answer.text.strip()[:80]})"


@contextlib.contextmanager
def _permissive(state: State) -> Iterator[None]:
    file = state.run / f"{POLICY}.json"
    state.write_json(file, _LAX)
    applied = kubernetes.kubectl(state, "apply", "-f", str(file))
    if applied.returncode:
        raise DemoError(f"kubectl can't apply {file}: {applied.stderr.strip()}", "kube-apiserver.log")
    try:
        yield
    finally:
        take_back(state)


def _generations(state: State) -> dict[str, int]:
    """How often the specification of each Deployment was written."""
    return {name: item["metadata"]["generation"] for name, item in deployments(state).items()}


def _until(met: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + _SECONDS
    while not met():
        if time.monotonic() > end:
            raise DemoError(f"waited {_SECONDS:.0f} s for {what}", "node.log")
        time.sleep(POLL_SECONDS / 5)
