"""Prometheus: it scrapes the sidecars of the pods, under Istio's names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import httpx

from sandbox import binaries
from sandbox.mesh.scraping import configuration
from sandbox.parts.part import Part, Report
from sandbox.state import HOST, State
from sandbox.supervisor import Program


class Prometheus(Part):
    """`prometheus` with what the last hours brought."""

    name = "prometheus"
    time_limit = 60.0
    ports = ("prometheus",)

    def prepare(self, state: State, report: Report) -> None:
        """Build the binary at first use, and write what it is told."""
        binaries.prometheus(report)
        state.data(self.name).mkdir(mode=0o700, exist_ok=True)
        # Its configuration is YAML, of which JSON is a part.
        state.write_json(_file(state), configuration(targets_file(state)))

    def programs(self, state: State) -> tuple[Program, ...]:
        """One process, which needs little: some megabytes of samples, one core."""
        command = command_line(_file(state), state.data(self.name), state.port("prometheus"))
        return (Program(self.name, command, ENVIRONMENT, stop_seconds=10),)

    def ready(self, state: State) -> bool:
        """Whether it answers queries, by the configuration of now."""
        return httpx.get(f"{state.url('prometheus')}/-/ready", timeout=2).status_code == 200

    def configure(self, state: State) -> None:
        """Have one that runs already read its configuration."""
        httpx.post(f"{state.url('prometheus')}/-/reload", timeout=10).raise_for_status()

    def environment(self, state: State) -> Mapping[str, str]:
        """Where it is."""
        return {"PROMETHEUS_URL": state.url("prometheus")}


ENVIRONMENT: Mapping[str, str] = {"GOMAXPROCS": "1", "GOGC": "50"}
"""It leaves the cores to others, and trades a little time for memory."""


def command_line(file: Path, data: Path, port: int) -> tuple[str, ...]:
    """How Prometheus is started.

    Args:
        file: Its configuration.
        data: The folder that it keeps samples in.
        port: The port on loopback that it serves.
    """
    return (
        str(binaries.prometheus(lambda text: None)),
        f"--config.file={file}",
        f"--storage.tsdb.path={data}",
        "--storage.tsdb.retention.time=12h",
        "--storage.tsdb.retention.size=256MB",
        f"--web.listen-address={HOST}:{port}",
        "--web.enable-lifecycle",
        "--log.level=warn",
    )


def targets_file(state: State) -> Path:
    """The file with the sidecars to scrape, which the mesh writes."""
    return state.data("node") / "targets.json"


def connection(state: State) -> Mapping[str, object]:
    """The Airflow connection."""
    return {"conn_type": "http", "schema": "http", "host": HOST, "port": state.port("prometheus")}


def _file(state: State) -> Path:
    return state.run / "prometheus.json"
