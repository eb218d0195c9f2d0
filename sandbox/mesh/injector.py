"""The injector: a mutating admission webhook over HTTPS, and how it is registered with the API server.

It is registered as Istio's chart does it (manifests/charts/istio-control/istio-discovery/templates/
mutatingwebhook.yaml), with one difference: the API server runs on this machine, and calls it by URL. Its
failure policy is Fail, so no pod is created without its sidecar while the injector is away; whoever creates
pods (a ReplicaSet, a Job) tries again.
"""

from __future__ import annotations

import base64
import json
import ssl
from collections.abc import Callable
from pathlib import Path
from typing import Any

from aiohttp import web

from sandbox.mesh.injection import REVISION, Refused, patch

HOST = "127.0.0.1"
_SUFFIX = "sidecar-injector.istio.io"
_INJECT, _REV, _ENABLED = "sidecar.istio.io/inject", "istio.io/rev", "istio-injection"

Raw = dict[str, Any]


def review(request: Raw) -> Raw:
    """The answer to an AdmissionReview about a pod that is to be created."""
    asked = request["request"]
    answer: Raw = {"uid": asked["uid"], "allowed": True}
    try:
        changes = patch(asked["object"], asked["namespace"])
    except Refused as error:
        answer |= {"allowed": False, "status": {"message": str(error), "code": 400}}
    else:
        if changes:
            encoded = base64.b64encode(json.dumps(changes).encode()).decode()
            answer |= {"patchType": "JSONPatch", "patch": encoded}
    return {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": answer}


def registration(port: int, authority: str) -> Raw:
    """The MutatingWebhookConfiguration.

    Args:
        port: Where the injector listens.
        authority: The certificate that its own is checked with, in PEM.
    """
    is_revision = _expression(_REV, "In", REVISION)
    no_revision, no_label = _expression(_REV, "DoesNotExist"), _expression(_ENABLED, "DoesNotExist")
    not_false, asks = _expression(_INJECT, "NotIn", "false"), _expression(_INJECT, "In", "true")
    # For each: which namespaces, which pods. At most one of them holds for a pod.
    webhooks = {
        f"rev.namespace.{_SUFFIX}": ([is_revision, no_label], [not_false]),
        f"rev.object.{_SUFFIX}": ([no_revision, no_label], [not_false, is_revision]),
        f"namespace.{_SUFFIX}": ([_expression(_ENABLED, "In", "enabled")], [not_false]),
        f"object.{_SUFFIX}": ([no_label, no_revision], [asks, no_revision]),
    }
    bundle = base64.b64encode(authority.encode()).decode()
    pods = {"operations": ["CREATE"], "apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods"]}
    return {
        "apiVersion": "admissionregistration.k8s.io/v1",
        "kind": "MutatingWebhookConfiguration",
        "metadata": {
            "name": "istio-sidecar-injector",
            "labels": {"app": "sidecar-injector", _REV: REVISION},
        },
        "webhooks": [
            {
                "name": name,
                "clientConfig": {"url": f"https://{HOST}:{port}/inject", "caBundle": bundle},
                "rules": [{**pods, "scope": "*"}],
                "namespaceSelector": {"matchExpressions": namespaces},
                "objectSelector": {"matchExpressions": objects},
                "failurePolicy": "Fail",
                "reinvocationPolicy": "Never",
                "matchPolicy": "Equivalent",
                "sideEffects": "None",
                "timeoutSeconds": 5,
                "admissionReviewVersions": ["v1"],
            }
            for name, (namespaces, objects) in webhooks.items()
        ],
    }


def _expression(key: str, operator: str, *values: str) -> Raw:
    return {"key": key, "operator": operator, **({"values": list(values)} if values else {})}


class Injector:
    """The server, at `/inject`; `/ready` answers 200 when the mesh has seen all objects once."""

    def __init__(self, is_ready: Callable[[], bool]) -> None:
        self._is_ready = is_ready
        application = web.Application()
        application.add_routes([web.post("/inject", self._inject), web.get("/ready", self._ready)])
        self._runner = web.AppRunner(application, access_log=None)

    async def start(self, port: int, certificate: Path, key: Path) -> None:
        """Listen on loopback."""
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(certificate, key)
        await self._runner.setup()
        await web.TCPSite(self._runner, HOST, port, ssl_context=context).start()

    async def stop(self) -> None:
        """End all connections."""
        await self._runner.cleanup()

    async def _inject(self, request: web.Request) -> web.Response:
        return web.json_response(review(await request.json()))

    async def _ready(self, _: web.Request) -> web.Response:
        return web.Response(status=200 if self._is_ready() else 503)
