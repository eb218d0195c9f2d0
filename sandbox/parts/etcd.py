"""etcd, where Kubernetes keeps its objects; reached with client certificates only."""

from __future__ import annotations

import ssl

import httpx

from sandbox import binaries, certificates
from sandbox.parts.part import Part, Report
from sandbox.state import HOST, State
from sandbox.supervisor import Program


class Etcd(Part):
    """etcd, a subcommand of the binary that holds all of Kubernetes."""

    name = "etcd"
    time_limit = 30.0
    ports = ("etcd", "etcd-peer")

    def prepare(self, state: State, report: Report) -> None:
        """Build the binary; make the keys and certificates."""
        binaries.kube(report)
        certificates.make(state)

    def programs(self, state: State) -> tuple[Program, ...]:
        """The server."""
        keys = certificates.folder(state)
        clients, peers = (f"https://{HOST}:{state.port(name)}" for name in self.ports)
        flags = {
            "name": "sandbox",
            "data-dir": state.data(self.name),
            "listen-client-urls": clients,
            "advertise-client-urls": clients,
            "cert-file": keys / "etcd.crt",
            "key-file": keys / "etcd.key",
            "trusted-ca-file": keys / "ca.crt",
            "client-cert-auth": "true",
            "listen-peer-urls": peers,
            "initial-advertise-peer-urls": peers,
            "initial-cluster": f"sandbox={peers}",
            "peer-cert-file": keys / "etcd.crt",
            "peer-key-file": keys / "etcd.key",
            "peer-trusted-ca-file": keys / "ca.crt",
            "peer-client-cert-auth": "true",
            # A sandbox may lose its last second in a power cut.
            "unsafe-no-fsync": "true",
        }
        binary = str(binaries.kube(lambda _: None))
        return (
            Program(self.name, (binary, "etcd", *(f"--{flag}={value}" for flag, value in flags.items()))),
        )

    def ready(self, state: State) -> bool:
        """Whether it has a leader and serves."""
        keys = certificates.folder(state)
        context = ssl.create_default_context(cafile=str(keys / "ca.crt"))
        context.load_cert_chain(keys / "etcd.crt", keys / "etcd.key")
        health = httpx.get(f"https://{HOST}:{state.port('etcd')}/health", verify=context, timeout=2)
        return health.status_code == 200
