"""`python -m sandbox.mesh --kubeconfig FILE …`: the mesh's control plane, authority and injector."""

from __future__ import annotations

import argparse
import asyncio
import signal
from datetime import UTC, datetime
from pathlib import Path

from sandbox.mesh.authority import Authority
from sandbox.mesh.control_plane import ControlPlane
from sandbox.mesh.injector import Injector
from sandbox.mesh.live import LiveObjects
from sandbox.mesh.sidecars import Sidecars
from sandbox.node.api import Api


def arguments() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(prog="python -m sandbox.mesh", description=__doc__)
    parser.add_argument("--kubeconfig", type=Path, required=True, help="how to reach the API server")
    parser.add_argument("--state", type=Path, required=True, help="directory for the authority's roots")
    parser.add_argument("--node-state", type=Path, required=True, help="state directory of the node")
    parser.add_argument("--socket", type=Path, required=True, help="unix socket that the sidecars ask")
    parser.add_argument("--injector-port", type=int, required=True, help="port of the injector")
    parser.add_argument("--certificate", type=Path, required=True, help="the injector's certificate")
    parser.add_argument("--key", type=Path, required=True, help="its private key")
    return parser


def _now() -> datetime:
    return datetime.now(UTC)


async def run(options: argparse.Namespace) -> None:
    """Run the mesh until TERM or INT."""
    api = Api.from_kubeconfig(options.kubeconfig)
    live, control_plane = LiveObjects(api), ControlPlane()
    authority = Authority(options.state / "authority.pem", _now())
    sidecars = Sidecars(live, control_plane, authority, options.node_state, _now)
    injector = Injector(lambda: live.complete)
    await control_plane.start(options.socket)
    await injector.start(options.injector_port, options.certificate, options.key)
    asked = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, asked.set)
    working, end = asyncio.create_task(sidecars.run()), asyncio.create_task(asked.wait())
    # The work never ends by itself: if it is done, it has failed.
    await asyncio.wait({working, end}, return_when=asyncio.FIRST_COMPLETED)
    working.cancel()
    (failure,) = await asyncio.gather(working, return_exceptions=True)
    await injector.stop()
    await control_plane.stop()
    await api.close()
    if isinstance(failure, Exception):
        raise failure


def main() -> None:
    """Run the command line."""
    options = arguments().parse_args()
    options.state.mkdir(mode=0o700, parents=True, exist_ok=True)
    options.socket.unlink(missing_ok=True)  # of a mesh that was killed
    asyncio.run(run(options))


if __name__ == "__main__":
    main()
