"""`python -m sandbox.node --kubeconfig FILE --node sandbox-node --state DIR`: run the node agent."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
from pathlib import Path

from .addresses import Addresses, Endpoints
from .agent import Agent
from .api import Api
from .context import Context, Registry
from .events import Events
from .heartbeat import Heartbeat
from .logs_server import LogsServer, tls_context
from .processes import end_leftovers

RELEASES = Path(__file__).resolve().parent.parent / "releases.yaml"


def arguments() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    parser = argparse.ArgumentParser(prog="python -m sandbox.node", description=__doc__)
    parser.add_argument("--kubeconfig", type=Path, required=True, help="how to reach the API server")
    parser.add_argument("--node", default="sandbox-node", help="name of the Node")
    parser.add_argument("--state", type=Path, required=True, help="directory for logs, records and addresses")
    parser.add_argument(
        "--sockets", type=Path, help="directory with the mesh's socket `xds`; by default the state directory"
    )
    parser.add_argument("--releases", type=Path, default=RELEASES, help="the releases file")
    parser.add_argument(
        "--logs-port", type=int, default=0, help="port of the logs server; 0 takes a free one"
    )
    parser.add_argument(
        "--client-ca", type=Path, help="serve logs only to callers with a certificate of this authority"
    )
    return parser


async def run(options: argparse.Namespace) -> None:
    """Run the agent until TERM or INT."""
    state: Path = options.state.resolve()
    for directory in ("running", "pods"):
        (state / directory).mkdir(parents=True, exist_ok=True)
    if leftovers := end_leftovers(state / "running"):
        print(f"ended {leftovers} process groups of an earlier agent", flush=True)
    api = Api.from_kubeconfig(options.kubeconfig)
    context = Context(
        node=options.node,
        state=state,
        api=api,
        events=Events(api, options.node),
        registry=Registry(options.releases),
        addresses=Addresses(state / "addresses.json"),
        endpoints=Endpoints(state / "endpoints.json"),
        sockets=(options.sockets or state).resolve(),
    )
    tls = tls_context(state, options.node, options.client_ca)
    server = await LogsServer(state / "pods").start(tls, options.logs_port)
    port = server.sockets[0].getsockname()[1]
    print(f"node {options.node}: logs at https://127.0.0.1:{port}", flush=True)
    agent = Agent(context)
    parts = [
        asyncio.create_task(Heartbeat(api, options.node, port).run()),
        asyncio.create_task(agent.run()),
        asyncio.create_task(context.events.run()),
        asyncio.create_task(_save(context.addresses)),
    ]
    asked = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, asked.set)
    end = asyncio.create_task(asked.wait())
    # None of the parts ever returns: one that is done has failed, and the agent with it.
    await asyncio.wait({end, *parts}, return_when=asyncio.FIRST_COMPLETED)
    agent.kill()
    context.addresses.save()
    server.close()
    failed = [part for part in parts if part.done()]
    for part in parts:
        part.cancel()
    await asyncio.gather(*parts, return_exceptions=True)
    await api.close()
    for part in failed:
        part.result()


async def _save(addresses: Addresses) -> None:
    while True:
        await asyncio.sleep(0.5)
        addresses.save()


def main() -> None:
    """Run the command line."""
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(run(arguments().parse_args()))


if __name__ == "__main__":
    main()
