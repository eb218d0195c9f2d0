"""The file of sidecars that Prometheus scrapes."""

from __future__ import annotations

import json
from pathlib import Path

from sandbox.mesh.targets import Targets
from tests.sandbox_mesh.mesh_calls import PODS, SERVER, WEB


def test_each_pod_is_a_target_with_the_labels_of_prometheus_own_discovery(tmp_path: Path) -> None:
    file = tmp_path / "targets.json"
    Targets(file).write(PODS[:2])
    api, web = json.loads(file.read_text())
    assert (api["targets"], web["targets"]) == ([f"{SERVER}:15090"], [f"{WEB}:15090"])
    meta = "__meta_kubernetes_"
    assert api["labels"] == {
        f"{meta}namespace": "shop",
        f"{meta}pod_name": "api",
        f"{meta}pod_ip": SERVER,
        f"{meta}pod_node_name": "",
        f"{meta}pod_label_app": "api",
        f"{meta}pod_label_security_istio_io_tlsMode": "istio",
    }


def test_the_file_changes_only_with_the_pods_and_is_empty_without_any(tmp_path: Path) -> None:
    file = tmp_path / "targets.json"
    targets = Targets(file)
    targets.write(PODS[:2])
    before = file.stat().st_ino
    targets.write(reversed(PODS[:2]))
    assert file.stat().st_ino == before
    targets.write([])
    assert json.loads(file.read_text()) == []
    assert [path.name for path in tmp_path.iterdir()] == ["targets.json"]
