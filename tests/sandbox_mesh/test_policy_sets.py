"""What the evaluator says and what real sidecars do are the same, under generated policies."""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import pytest

from interlock.mesh.authorize import authorize
from interlock.mesh.client_plan import Sends
from interlock.mesh.mesh import Mesh
from interlock.mesh.outbound import outbound
from interlock.mesh.request import Request
from interlock.mesh.verdict import Answer, Outcome
from sandbox.mesh.objects import inner_address
from sandbox.mesh.outbound import OUTBOUND_PORT
from tests.mesh.mesh_objects import only
from tests.sandbox_mesh.generated_policies import http_request, policy_set
from tests.sandbox_mesh.mesh_calls import (
    AUTO,
    BARE,
    CART,
    HTTP,
    OLD,
    PODS,
    SERVER,
    SERVICES,
    TCP,
    UNDECLARED,
    WEB,
    call_http,
    call_tcp,
    programs,
)
from tests.sandbox_mesh.mesh_envoys import envoys

SETS, CALLS = 300, 6
# A sidecar says that it has accepted a listener a moment before its connections notice.
LAG_SECONDS = 3.0
CALLERS = {"web": (WEB, "shop"), "cart": (CART, "far"), "bare": (BARE, "shop")}


@dataclass(frozen=True)
class Call:
    """One call: who, which Service, which port of it, and what is sent."""

    caller: str
    server: str
    port: int
    http: bool
    host: str
    method: str
    path: str
    headers: dict[str, str]

    @property
    def target(self) -> int:
        return HTTP if self.port == 80 else self.port

    async def works(self) -> bool:
        address, _ = CALLERS[self.caller]
        direct = (SERVER if self.server == "api" else OLD, self.target)
        sidecar = (inner_address(address), OUTBOUND_PORT)
        if self.http:
            to = direct if self.caller == "bare" else sidecar
            return await call_http(address, to, self.host, self.method, self.path, self.headers)
        if self.caller == "bare":
            return await call_tcp(address, direct)
        return await call_tcp(address, sidecar, f"{self.host}:{self.port}")

    def expected(self, mesh: Mesh) -> Outcome:
        """What the evaluator says of it."""
        address, namespace = CALLERS[self.caller]
        client = only(mesh, self.caller)
        mutual = False
        if self.caller != "bare":
            found = outbound(mesh, client, f"{self.server}.shop.svc.cluster.local", self.port)
            (endpoint,) = found.endpoints
            if endpoint.works is not Answer.YES:
                return Outcome.DENY if endpoint.works is Answer.NO else Outcome.INDETERMINATE
            mutual = endpoint.sends is Sends.MTLS
        name = f"{self.server}.shop.svc.cluster.local"
        request = Request(
            self.target,
            principal=f"cluster.local/ns/{namespace}/sa/{self.caller}" if mutual else "",
            http=self.http,
            source_ip=address,
            destination_ip=SERVER,
            method=self.method,
            path=self.path,
            host=self.host,
            headers=self.headers,
            claims={},
            sni=f"outbound_.{self.port}_._.{name}" if mutual else "",
        )
        return authorize(mesh, only(mesh, self.server), request).outcome


def calls(chosen: Random) -> Iterator[Call]:
    for _ in range(CALLS):
        caller = chosen.choice(sorted(CALLERS))
        server, port, http = chosen.choice(
            (
                ("api", 80, True),
                ("api", TCP, False),
                ("api", AUTO, True),
                ("api", AUTO, False),
                ("old", 80, True),
            )
        )
        if caller == "bare" and chosen.random() < 0.3:
            server, port, http = "api", UNDECLARED, chosen.random() < 0.5
        host = f"{server}.shop" + chosen.choice(("", ".svc.cluster.local"))
        if port != 80 and http:
            host += f":{port}"
        yield Call(caller, server, port, http, host, *http_request(chosen))


async def agrees(call: Call, allowed: bool) -> bool:
    deadline = time.monotonic() + LAG_SECONDS
    while await call.works() is not allowed:
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(0.02)
    return True


# It needs no sandbox, but a minute or two: too long for `make check`.
@pytest.mark.sandbox
async def test_evaluator_and_sidecars_agree_on_generated_policy_sets(tmp_path: Path) -> None:
    outcomes: Counter[tuple[str, bool, Outcome]] = Counter()
    differences: list[str] = []
    fixed: list[dict[str, Any]] = [*PODS, *SERVICES]
    async with programs(), envoys(tmp_path, fixed) as sidecars:
        for seed in range(SETS):
            chosen = Random(seed)
            policies = policy_set(chosen)
            await sidecars.tell([*fixed, *policies])
            mesh = Mesh.of([*fixed, *policies])
            tried = [(call, call.expected(mesh)) for call in calls(chosen)]
            outcomes.update((call.caller, call.http, expected) for call, expected in tried)
            decided = [(call, found) for call, found in tried if found is not Outcome.INDETERMINATE]
            same = await asyncio.gather(*(agrees(call, found is Outcome.ALLOW) for call, found in decided))
            differences += [
                f"set {seed}, {call}: not {found}\n{json.dumps(policies)}"
                for (call, found), agreed in zip(decided, same, strict=True)
                if not agreed
            ]
    assert not differences, "\n".join(differences[:5])
    # The sets decide something: every caller is let in and kept out, and next to nothing is left open.
    for caller in CALLERS:
        for http in (True, False):
            assert outcomes[caller, http, Outcome.ALLOW] > 20
            assert outcomes[caller, http, Outcome.DENY] > 20
    undecided = sum(n for (_, _, outcome), n in outcomes.items() if outcome is Outcome.INDETERMINATE)
    assert undecided < sum(outcomes.values()) / 20
