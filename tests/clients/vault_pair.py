"""Two real servers of OpenBao with raft storage: one active, and one that stands by."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import hvac
import requests

from tests.clients.real_parts import BIN, RunningVault, end_group, free_ports, prepare_vault, until


@contextmanager
def running_pair(folder: Path) -> Iterator[tuple[RunningVault, str]]:
    """Run both, unsealed and prepared; give the active one, and the address of the standby."""
    with ExitStack() as stack:
        ports = free_ports(4)
        addresses = [f"http://127.0.0.1:{port}" for port in ports[:2]]
        processes = []
        for n, address in enumerate(addresses):
            data = folder / f"data-{n}"
            data.mkdir()
            file = folder / f"bao-{n}.json"
            tcp = {"address": f"127.0.0.1:{ports[n]}", "cluster_address": f"127.0.0.1:{ports[n + 2]}"}
            raft = {"path": str(data), "node_id": f"node-{n}", "performance_multiplier": 1}
            config = {
                "storage": {"raft": raft},
                "listener": [{"tcp": {**tcp, "tls_disable": True}}],
                "api_addr": address,
                "cluster_addr": f"https://127.0.0.1:{ports[n + 2]}",
            }
            file.write_text(json.dumps(config))
            with (folder / f"log-{n}").open("wb") as out:
                process = subprocess.Popen(
                    [str(BIN / "bao"), "server", f"-config={file}"],
                    stdout=out,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                )
            stack.callback(end_group, process)
            processes.append(process)
        for n, address in enumerate(addresses):
            wait(address, 501, processes[n], folder / f"log-{n}")
        made = hvac.Client(url=addresses[0]).sys.initialize(1, 1)
        key = made["keys"][0]
        root = hvac.Client(url=addresses[0], token=made["root_token"], timeout=10)
        stack.callback(root.adapter.close)
        root.sys.submit_unseal_key(key)
        wait(addresses[0], 200, processes[0], folder / "log-0")
        second = hvac.Client(url=addresses[1])
        stack.callback(second.adapter.close)
        second.sys.join_raft_cluster(addresses[0])
        second.sys.submit_unseal_key(key)
        wait(addresses[1], 429, processes[1], folder / "log-1")
        root.sys.enable_secrets_engine("kv", path="secret", options={"version": "2"})
        prepare_vault(root)
        # A standby reads by itself, once the engine of version 2 is ready on the active node.
        wait(addresses[1], 200, processes[1], folder / "log-1", "secret/config", made["root_token"])
        yield RunningVault(addresses[0], key, root), addresses[1]


def wait(
    address: str,
    status: int,
    process: subprocess.Popen[bytes],
    log: Path,
    path: str = "sys/health",
    token: str = "",
) -> None:
    """Wait until a path of a server answers with a status."""
    headers = {"X-Vault-Token": token} if token else {}

    def ready() -> bool:
        try:
            return requests.get(f"{address}/v1/{path}", headers=headers, timeout=2).status_code == status
        except requests.RequestException:
            return False

    until(f"bao with status {status}", ready, process, log)
