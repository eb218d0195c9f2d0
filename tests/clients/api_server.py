"""A real API server with its etcd, and nothing else of Kubernetes: objects are kept, nothing rolls out."""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from sandbox.parts.etcd import Etcd
from sandbox.parts.kubernetes import Kubernetes, interlock_kubeconfig
from sandbox.parts.part import Part
from sandbox.state import State
from tests.clients.real_parts import end_group

READY_SECONDS = 120.0


@contextlib.contextmanager
def running_api_server(root: Path) -> Iterator[Path]:
    """Run them; give the kubeconfig of Interlock's ServiceAccount, with the rights of rbac.yaml."""
    state = State(root)
    state.create()
    parts: tuple[Part, ...] = (Etcd(), Kubernetes())
    state.claim_ports(name for part in parts for name in part.ports)
    with contextlib.ExitStack() as stack:
        for part in parts:
            part.prepare(state, lambda text: print(text))
            program = part.programs(state)[0]
            log = stack.enter_context((state.log / f"{program.name}.log").open("wb"))
            process = subprocess.Popen(
                program.command, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
            )
            stack.callback(end_group, process)
            _until_ready(part, state, process)
        Kubernetes().configure(state)
        yield interlock_kubeconfig(state)


def _until_ready(part: Part, state: State, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + READY_SECONDS
    while time.monotonic() < deadline and process.poll() is None:
        with contextlib.suppress(httpx.HTTPError):
            if part.ready(state) if isinstance(part, Etcd) else _serves(state):
                return
        time.sleep(0.2)
    pytest.fail(f"{part.name} did not start; see {state.log}")


def _serves(state: State) -> bool:
    from sandbox.parts.kubernetes import client

    with client(state) as api:
        return api.get("/readyz").status_code == 200
