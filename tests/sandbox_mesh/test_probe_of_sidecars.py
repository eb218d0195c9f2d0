"""The mesh probe against real sidecars: what it says of each port, and what follows from that."""

from __future__ import annotations

import asyncio
import copy
import io
import json
from collections.abc import Collection, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from interlock import mesh_probe
from interlock.mesh.mesh import Mesh
from interlock.mesh.observed import Observed, observed, observed_findings
from interlock.mesh.probe_plan import ProbePlan, plan
from interlock.mesh.probe_result import Heard, read_result
from interlock.mesh.verdict import Finding
from sandbox.mesh.authority import Authority, Certificate
from tests.mesh.mesh_objects import peer, policy
from tests.sandbox_mesh.mesh_calls import (
    AUTO,
    HTTP,
    PODS,
    SERVICES,
    TCP,
    UNDECLARED,
    programs,
)
from tests.sandbox_mesh.mesh_envoys import Envoys, envoys

Raw = dict[str, Any]
PROBE_ID = "spiffe://cluster.local/ns/shop/sa/interlock-probe"
SILENT = 5050
API = copy.deepcopy(PODS[0])
API["spec"]["containers"][0]["ports"].append({"containerPort": SILENT})
CLUSTER = [API, PODS[4], *SERVICES]
"""`api` with a sidecar, `old` without; nothing listens on the port 5050 of `api`."""
ALL = {HTTP, TCP, AUTO, UNDECLARED}
OLD_TOO = -1
"""Among the ports to try: the pod without a sidecar, too."""


class Probing:
    """A probe with a certificate of the mesh, beside running sidecars."""

    def __init__(self, sidecars: Envoys, folder: Path) -> None:
        self.sidecars, self.folder = sidecars, folder
        self.certify(sidecars.authority)

    def certify(self, authority: Authority) -> None:
        own = authority.issue(PROBE_ID, datetime.now(UTC))
        for name, content in (
            ("cert-chain.pem", own.chain),
            ("key.pem", own.key),
            ("root-cert.pem", self.sidecars.authority.trusted),
        ):
            (self.folder / name).write_text(content)

    async def look(
        self, *policies: Raw, declared: Sequence[Raw] | None = None, ports: Collection[int] = ALL
    ) -> tuple[dict[tuple[str, int], Observed], list[Finding]]:
        """Probe while the sidecars follow some policies; the objects say others, if `declared` is given."""
        await self.sidecars.tell([*CLUSTER, *policies])
        mesh = Mesh.of([*CLUSTER, *(policies if declared is None else declared)])
        # Each opaque port that takes what it is sent costs a second: only what a test is about is tried.
        running = frozenset({"Pod shop/api"} | ({"Pod shop/old"} if OLD_TOO in ports else set()))
        found = plan(mesh, "shop", running, 20)
        planned = ProbePlan(tuple(one for one in found.targets if one.declared.port in ports))
        output, ended = io.StringIO(), []
        environ = {
            mesh_probe.TARGETS: json.dumps([target.to_json() for target in planned.targets]),
            mesh_probe.CERTIFICATES: str(self.folder),
        }
        code = await asyncio.to_thread(mesh_probe.main, environ, output, lambda: ended.append(True))
        assert (code, ended) == (0, [True]), output.getvalue()
        seen = observed(planned, read_result(output.getvalue()))
        differing = observed_findings(seen, planned, mesh.settings, datetime.now(UTC))
        return {(one.target.workload.name, one.target.declared.port): one for one in seen}, list(differing)


def about(found: Iterable[Finding], ref: str = "Pod shop/api") -> list[tuple[str, str]]:
    """Codes and the ports that they name."""
    of_pod = [one for one in found if one.ref == ref]
    return [(one.code, next(word for word in one.text.split() if word.isdigit())) for one in of_pod]


async def test_what_real_sidecars_do_agrees_with_what_is_declared_in_every_mode(tmp_path: Path) -> None:
    async with programs(), envoys(tmp_path, CLUSTER) as sidecars:
        probing = Probing(sidecars, tmp_path)
        for mode, plaintext, mtls in (
            ("STRICT", "no", "yes"),
            ("PERMISSIVE", "yes", "yes"),
            ("DISABLE", "yes", "no"),
        ):
            seen, found = await probing.look(
                peer(mode), ports=ALL | ({OLD_TOO} if mode == "STRICT" else set())
            )
            assert {port: seen["api", port].plaintext for port in ALL} == dict.fromkeys(ALL, plaintext), mode
            assert {port: seen["api", port].mtls for port in ALL} == dict.fromkeys(ALL, mtls), mode
            assert about(found) == [], mode
            if mode == "STRICT":  # A pod without a sidecar takes plaintext and no mTLS, as is declared of it.
                assert (seen["old", HTTP].plaintext, seen["old", HTTP].mtls) == ("yes", "no")
                assert about(found, "Pod shop/old") == []


async def test_where_sidecars_do_not_follow_the_objects_that_is_the_finding(tmp_path: Path) -> None:
    async with programs(), envoys(tmp_path, CLUSTER) as sidecars:
        probing = Probing(sidecars, tmp_path)
        two = {HTTP, TCP}
        for code, does, says in (
            ("ILM020", "PERMISSIVE", "STRICT"),
            ("ILM021", "STRICT", "PERMISSIVE"),
            ("ILM022", "DISABLE", "PERMISSIVE"),
            ("ILM023", "PERMISSIVE", "DISABLE"),
        ):
            _, found = await probing.look(peer(does), declared=[peer(says, name="said")], ports=two)
            assert sorted(about(found)) == [(code, str(port)) for port in sorted(two)]
            assert all("PeerAuthentication shop/said" in one.text for one in found)


@pytest.mark.parametrize("mode", ["STRICT", "PERMISSIVE"])
async def test_a_port_on_which_nothing_listens_is_never_taken_for_strict(tmp_path: Path, mode: str) -> None:
    async with envoys(tmp_path, CLUSTER) as sidecars:
        seen, found = await Probing(sidecars, tmp_path).look(peer(mode), ports={SILENT, TCP, HTTP, OLD_TOO})
        for port in (SILENT, TCP):
            assert seen["api", port].plaintext == "indeterminate"
        assert seen["old", HTTP].tried.plaintext is Heard.REFUSED
        assert ("ILM028", str(TCP)) in about(found)
        assert any("nothing listens there" in one.text for one in found if one.ref == "Pod shop/old")
        assert {one.code for one in found} == {"ILM028"}


async def test_a_policy_that_denies_the_probe_is_seen_and_hides_nothing_of_http(tmp_path: Path) -> None:
    async with programs(), envoys(tmp_path, CLUSTER) as sidecars:
        seen, found = await Probing(sidecars, tmp_path).look(peer("STRICT"), policy("ALLOW"))
        assert (seen["api", HTTP].plaintext, seen["api", HTTP].mtls) == ("no", "yes")
        assert "403 RBAC: access denied" in str(seen["api", HTTP].to_json()["said"])
        # On an opaque port the sidecar ends what it denies, as it ends plaintext: that can't be told apart.
        assert (seen["api", TCP].plaintext, seen["api", TCP].mtls) == ("indeterminate", "yes")
        assert sorted(about(found)) == sorted(("ILM028", str(port)) for port in ALL - {HTTP})


async def test_certificates_of_others_expired_ones_and_late_ones_are_told(tmp_path: Path) -> None:
    async with programs(), envoys(tmp_path, CLUSTER) as sidecars:
        probing, authority = Probing(sidecars, tmp_path), sidecars.authority
        own = "spiffe://cluster.local/ns/shop/sa/api"

        async def codes(given: Certificate) -> set[str]:
            sidecars.give(API, given)
            _, found = await probing.look(peer("STRICT"), ports={HTTP})
            return {code for code, _ in about(found)}

        now = datetime.now(UTC)
        assert await codes(authority.issue(own, now)) == set()
        assert await codes(authority.issue("spiffe://cluster.local/ns/shop/sa/web", now)) == {"ILM024"}
        assert await codes(authority.issue(own, now - timedelta(hours=2))) == {"ILM026"}
        assert await codes(authority.issue(own, now - timedelta(minutes=50))) == {"ILM027"}
        folder = tmp_path / "other"
        folder.mkdir()
        assert await codes(Authority(folder / "ca", now).issue(own, now)) == {"ILM025"}


async def test_a_probe_whose_certificate_is_refused_blames_no_port_for_plaintext(tmp_path: Path) -> None:
    async with programs(), envoys(tmp_path, CLUSTER) as sidecars:
        probing = Probing(sidecars, tmp_path)
        folder = tmp_path / "other"
        folder.mkdir()
        probing.certify(Authority(folder / "ca", datetime.now(UTC)))
        seen, found = await probing.look(peer("STRICT"))
        assert {seen["api", port].plaintext for port in ALL} == {"no"}
        assert {code for code, _ in about(found)} == {"ILM022"}
        assert all("UNKNOWN_CA" in one.text for one in found if one.code == "ILM022")
