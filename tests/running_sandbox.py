"""A running sandbox as the tests see it: Airflow's REST API, kubectl, log files. See train_runs.py, too."""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import httpx
import pytest
from train_runs import TrainRuns

from interlock.trains.model import load_train
from sandbox.state import State
from sandbox.supervisor import Supervisor

INTERLOCK_USER = "system:serviceaccount:interlock:interlock"
POLL_SECONDS = 0.5
_WRITES = ("create", "update", "patch", "delete", "deletecollection")


def read_env(file: Path) -> dict[str, str]:
    """The environment of a shell that sourced `file`."""
    done = subprocess.run(
        ["bash", "-c", '. "$0" && env -0', str(file)], capture_output=True, check=True, timeout=30
    )
    pairs = (pair.partition("=") for pair in done.stdout.decode().split("\0") if pair)
    return {name: value for name, _, value in pairs}


class RunningSandbox:
    """What a test does with the sandbox. Its methods may be called from several threads."""

    def __init__(self, root: Path, env: Mapping[str, str]) -> None:
        self.root = root
        self.env = dict(env)
        self._http = httpx.Client(base_url=env["AIRFLOW_URL"], timeout=60)
        login = {"username": env["AIRFLOW_USER"], "password": env["AIRFLOW_PASSWORD"]}
        token = self.send("POST", "/auth/token", login)["access_token"]
        self._http.headers["Authorization"] = f"Bearer {token}"

    def close(self) -> None:
        self._http.close()

    def train(self, name: str) -> TrainRuns:
        """The runs of one train: `payments`, or one of tests/sandbox_include/trains."""
        train = load_train(self.root / "include" / "trains" / f"{name}.yaml")
        return TrainRuns(self, f"promotion_train__{name}", tuple(service.name for service in train.services))

    # Airflow

    def send(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        """Ask Airflow's REST API; fails unless it answers well. An empty answer becomes an empty object."""
        answer = self._http.request(method, path, json=body)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text[:500]}"
        value: dict[str, Any] = answer.json() if answer.content else {}
        return value

    def knows(self, dag_id: str) -> bool:
        # The DAG itself is listed before it can be run: its details are there once it can.
        return self._http.get(f"/api/v2/dags/{dag_id}/details").status_code == httpx.codes.OK

    def task_log(self, dag_id: str, run_id: str, task_id: str) -> Iterator[dict[str, Any]]:
        """The lines of a task's logs, of all tries, in the worker and in the triggerer."""
        folder = (
            self.root / "airflow" / "logs" / f"dag_id={dag_id}" / f"run_id={run_id}" / f"task_id={task_id}"
        )
        for file in sorted(folder.glob("attempt=*.log*")):
            for line in file.read_text().splitlines():
                yield json.loads(line)

    # The cluster

    def kubectl(self, namespace: str, *what: str) -> list[dict[str, Any]]:
        """The items that `kubectl get` finds."""
        items: list[dict[str, Any]] = json.loads(
            self.kubectl_run("-n", namespace, "get", *what, "-o", "json")
        )["items"]
        return items

    def kubectl_run(self, *arguments: str, given: str = "") -> str:
        """What a kubectl command, run as administrator, prints."""
        done = subprocess.run(
            ["kubectl", *arguments], env=self.env, input=given, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def holders(self) -> dict[str, str]:
        """The leases that somebody holds, and who."""
        return {
            item["metadata"]["name"]: item["spec"]["holderIdentity"]
            for item in self.kubectl("interlock", "leases")
            if item["spec"].get("holderIdentity")
        }

    # What the API server saw

    def audit_offset(self) -> int:
        return os.path.getsize(self.root / "log" / "audit.log")

    def audit_since(self, offset: int) -> tuple[list[str], list[str]]:
        """What Interlock's ServiceAccount asked for after `offset`: its reads and its writes."""
        with (self.root / "log" / "audit.log").open("rb") as stream:
            stream.seek(offset)
            lines = stream.read().split(b"\n")[:-1]  # what follows the last newline is still being written
        reads, writes = [], []
        for event in map(json.loads, lines):
            resource = event.get("objectRef", {}).get("resource", "")
            if event["user"]["username"] == INTERLOCK_USER and resource != "selfsubjectaccessreviews":
                seen = writes if event["verb"] in _WRITES else reads
                seen.append(f"{event['verb']} {event['requestURI']}")
        return reads, writes

    # What runs

    def stop_program(self, *names: str) -> None:
        """End programs of the sandbox, such as `seaweedfs` or `openbao`, until they are started again."""
        Supervisor(State(self.root)).end(names)

    def start_program(self, *names: str) -> None:
        Supervisor(State(self.root)).begin(names)

    def interlock(self, *arguments: str) -> str:
        """What the command `interlock` prints."""
        done = subprocess.run(
            ["interlock", *arguments], env=self.env, capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def until(
        self, met: Callable[[], bool], timeout: float, what: str, *, poll: float = POLL_SECONDS
    ) -> float:
        """Wait until a condition is met; returns the seconds that took."""
        began = time.monotonic()
        while not met():
            if time.monotonic() - began > timeout:
                pytest.fail(f"waited {timeout:.0f} s for {what}")
            time.sleep(poll)
        return time.monotonic() - began
