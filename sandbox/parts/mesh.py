"""The mesh's control plane, authority and injector: the sandbox's stand-in for istiod."""

from __future__ import annotations

import ssl
import sys

import httpx

from sandbox import certificates
from sandbox.mesh.injector import registration
from sandbox.parts.kubernetes import MANIFESTS, admin_kubeconfig, apply, create_missing
from sandbox.parts.part import Part, Report
from sandbox.state import CHECKOUT, HOST, State
from sandbox.supervisor import Program

_PORT = "istio-injector"
_RIGHTS = CHECKOUT / "include" / "deploy" / "istio"


class Mesh(Part):
    """`python -m sandbox.mesh`."""

    name = "mesh"
    time_limit = 30.0
    ports = (_PORT,)

    def prepare(self, state: State, report: Report) -> None:
        """Make the injector's certificate, and the node's folder, into which certificates and targets go."""
        certificates.make_injector(state)
        state.data("node").mkdir(mode=0o700, exist_ok=True)

    def programs(self, state: State) -> tuple[Program, ...]:
        """The one program."""
        keys = certificates.folder(state)
        options = (
            f"--kubeconfig={admin_kubeconfig(state)}",
            f"--state={state.data(self.name)}",
            f"--node-state={state.data('node')}",
            f"--socket={state.sockets / 'xds'}",
            f"--injector-port={state.port(_PORT)}",
            f"--certificate={keys / 'injector.crt'}",
            f"--key={keys / 'injector.key'}",
        )
        command = (sys.executable, "-m", "sandbox.mesh", *options)
        return (Program("mesh", command, {"PYTHONPATH": str(CHECKOUT)}),)

    def ready(self, state: State) -> bool:
        """Whether the injector answers, and all objects were seen."""
        context = ssl.create_default_context(cafile=str(certificates.folder(state) / "injector.crt"))
        with httpx.Client(verify=context, timeout=5) as client:
            return client.get(f"https://{HOST}:{state.port(_PORT)}/ready").status_code == 200

    def configure(self, state: State) -> None:
        """Register the injector where it listens now; create settings, policies and Interlock's rights."""
        authority = (certificates.folder(state) / "injector.crt").read_text()
        file = state.run / "injector.json"
        state.write_json(file, registration(state.port(_PORT), authority))
        apply(state, file)
        create_missing(state, MANIFESTS / "mesh.yaml")
        for rights in sorted(_RIGHTS.glob("*.yaml")):
            apply(state, rights)
