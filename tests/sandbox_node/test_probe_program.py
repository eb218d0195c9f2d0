"""The mesh probe as a node of the sandbox starts it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from interlock import mesh_probe
from interlock.mesh.probe_result import Heard, read_result
from sandbox.node.programs import _PYTHON


def test_the_probe_runs_without_the_packages_and_looks_where_the_node_has_the_volume(tmp_path: Path) -> None:
    target = {"address": "127.0.0.1", "port": 1, "host": "a", "protocol": "TCP"}
    environ = {
        "SANDBOX_VOLUMES": json.dumps({"/etc/certs": str(tmp_path)}),
        mesh_probe.CERTIFICATES: "/etc/certs",
        mesh_probe.TARGETS: json.dumps([target]),
        mesh_probe.SECONDS: "0.5",
    }
    for name in ("cert-chain.pem", "key.pem", "root-cert.pem"):
        (tmp_path / name).write_text("none")
    command = [sys.executable, "-I", "-S", str(_PYTHON["probe"])]
    ended = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60, check=True)
    [found] = read_result(ended.stdout).values()
    assert found.plaintext is Heard.REFUSED
    assert str(tmp_path) in found.mtls_said
