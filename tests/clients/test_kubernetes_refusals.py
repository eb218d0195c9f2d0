"""How long a refusal is asked again, with a server that answers as one does that has just started."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import pytest
from lightkube.config.kubeconfig import KubeConfig

from interlock.clients import kubernetes_connection
from interlock.clients.kubernetes import KubernetesClient
from interlock.clients.kubernetes_api import Forbidden
from interlock.manifest import ObjectRef
from tests.clients.small_server import Handler, serving

REF = ObjectRef("v1", "ConfigMap", "payments", "a")
DENIED = 'configmaps "a" is forbidden: User "u" cannot get resource "configmaps" in API group ""'
UNREAD = f'{DENIED}: RBAC: [clusterrole.rbac.authorization.k8s.io "system:discovery" not found, …]'


async def get(address: str) -> Any:
    config = KubeConfig.from_dict(
        {
            "current-context": "c",
            "clusters": [{"name": "c", "cluster": {"server": address}}],
            "contexts": [{"name": "c", "context": {"cluster": "c", "user": "u"}}],
            "users": [{"name": "u", "user": {"token": "t"}}],
        }
    )
    async with KubernetesClient(config) as client:
        return await client.get(REF)


@pytest.mark.parametrize(("message", "waits"), [(DENIED, False), (UNREAD, True)])
def test_a_refusal_is_asked_again_for_long_only_where_rbac_has_not_read_its_roles(
    monkeypatch: pytest.MonkeyPatch, message: str, waits: bool
) -> None:
    monkeypatch.setattr(kubernetes_connection, "_STARTING_SECONDS", 0.05)
    refusals = [message] * 3

    class Starting(Handler):
        def do_GET(self) -> None:
            if refusals:
                self.send(403, json.dumps({"message": refusals.pop(), "reason": "Forbidden"}))
            else:
                self.send(200, json.dumps({"metadata": {"name": "a", "namespace": "payments"}}))

    with serving(Starting) as address:
        if waits:
            assert asyncio.run(get(address)).ref == REF
        else:
            with pytest.raises(Forbidden, match="cannot get resource"):
                asyncio.run(get(address))
    assert len(refusals) == (0 if waits else 2)
