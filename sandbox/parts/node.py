"""The node agent: the sandbox's stand-in for a kubelet, and the services that run on its node."""

from __future__ import annotations

import importlib.util
import sys

from sandbox.parts.kubernetes import MANIFESTS, admin_kubeconfig, client, create_missing, kubectl
from sandbox.parts.part import Part, PartError, Report
from sandbox.state import CHECKOUT, State
from sandbox.supervisor import Program

NODE = "sandbox-node"
_SERVICES = MANIFESTS / "services.yaml"
_PATIENCE = "90s"


class Node(Part):
    """`python -m sandbox.node`."""

    name = "node"
    time_limit = 30.0

    def prepare(self, state: State, report: Report) -> None:
        """Make the folder for the services' processes and logs."""
        if importlib.util.find_spec("sandbox.node") is None:
            raise PartError("the package sandbox.node is missing", "Check out the whole repository.")
        state.data(self.name).mkdir(mode=0o700, exist_ok=True)

    def programs(self, state: State) -> tuple[Program, ...]:
        """The agent."""
        options = (
            f"--kubeconfig={admin_kubeconfig(state)}",
            f"--node={NODE}",
            f"--state={state.data(self.name)}",
            f"--sockets={state.sockets}",
        )
        command = (sys.executable, "-m", "sandbox.node", *options)
        return (Program("node", command, {"PYTHONPATH": str(CHECKOUT)}, stop_seconds=20),)

    def ready(self, state: State) -> bool:
        """Whether the node is Ready."""
        with client(state) as api:
            answer = api.get(f"/api/v1/nodes/{NODE}")
        if answer.status_code != 200:
            return False
        conditions = answer.json().get("status", {}).get("conditions", [])
        return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)

    def configure(self, state: State) -> None:
        """Deploy the services, if they are not there, and wait until they are available."""
        if not create_missing(state, _SERVICES):
            return
        everything = ("deployment", "--all", "-n", "payments")
        result = kubectl(state, "wait", "--for=condition=Available", *everything, f"--timeout={_PATIENCE}")
        if result.returncode:
            advice = "`kubectl -n payments get pods` with the `env` file sourced"
            raise PartError(f"the services do not become available:\n{result.stderr.strip()}", advice)
