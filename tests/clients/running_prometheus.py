"""A real Prometheus on loopback, which scrapes what a file says, with the sandbox's configuration."""

from __future__ import annotations

import contextlib
import copy
import json
import os
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

from interlock.clients.prometheus_settings import PrometheusSettings
from sandbox.mesh.scraping import configuration
from sandbox.mesh.targets import Targets
from sandbox.parts.prometheus import ENVIRONMENT, command_line
from tests.clients.real_parts import end_group, free_ports, until

EVERY = "200ms"
"""Between two scrapes: tests don't wait for the sandbox's five seconds."""


@dataclass(frozen=True)
class RunningPrometheus:
    """One that answers.

    Attributes:
        settings: How it is asked.
        targets: Says what it scrapes.
        process: Its process.
    """

    settings: PrometheusSettings
    targets: Targets
    process: subprocess.Popen[bytes]


@contextlib.contextmanager
def running_prometheus(folder: Path) -> Iterator[RunningPrometheus]:
    """Start it in an empty folder, and end it."""
    (port,) = free_ports(1)
    file, log = folder / "prometheus.json", folder / "log"
    file.write_text(json.dumps(_often(configuration(folder / "targets.json"))))
    with log.open("wb") as out:
        process = subprocess.Popen(
            command_line(file, folder / "data", port),
            env={**os.environ, **ENVIRONMENT},
            stdout=out,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    address = f"http://127.0.0.1:{port}"
    try:
        until("prometheus", _ready(f"{address}/-/ready"), process, log)
        yield RunningPrometheus(PrometheusSettings(address), Targets(folder / "targets.json"), process)
    finally:
        end_group(process)


def _often(found: dict[str, object]) -> dict[str, object]:
    changed: dict[str, Any] = copy.deepcopy(found)
    changed["global"] |= {"scrape_interval": EVERY, "scrape_timeout": EVERY}
    changed["scrape_configs"][0]["file_sd_configs"][0]["refresh_interval"] = "1s"
    return changed


def _ready(url: str) -> Callable[[], bool]:
    def ready() -> bool:
        with contextlib.suppress(httpx2.HTTPError):
            return httpx2.get(url, timeout=2).status_code == 200
        return False

    return ready
