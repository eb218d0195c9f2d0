"""A running sandbox as the tests see it: Airflow through its REST API, the cluster through kubectl."""

from __future__ import annotations

import json
import os
import subprocess
import time
import uuid
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from interlock.trains.entries import run_hash

DAG = "promotion_train__payments"
SERVICES = ("service-a", "service-b", "service-c")
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


def other(image: str) -> str:
    """The good tag that an image doesn't have."""
    return "1.1.0" if image.endswith(":1.0.0") else "1.0.0"


class RunningSandbox:
    """What a test does with the sandbox."""

    def __init__(self, root: Path, env: Mapping[str, str]) -> None:
        self.root = root
        self.env = dict(env)
        self._http = httpx.Client(base_url=env["AIRFLOW_URL"], timeout=30)
        login = {"username": env["AIRFLOW_USER"], "password": env["AIRFLOW_PASSWORD"]}
        token = self._send("POST", "/auth/token", login)["access_token"]
        self._http.headers["Authorization"] = f"Bearer {token}"

    def close(self) -> None:
        self._http.close()

    # Airflow

    def trigger(self, conf: Mapping[str, Any], run_id: str = "") -> str:
        """Start a run; returns its id."""
        run_id = run_id or f"test-{uuid.uuid4().hex[:12]}"
        body = {"dag_run_id": run_id, "conf": dict(conf), "logical_date": None}
        self._send("POST", f"/api/v2/dags/{DAG}/dagRuns", body)
        return run_id

    def wait(self, run_id: str, timeout: float = 300) -> tuple[str, dict[str, str | None]]:
        """Wait until a run has ended; returns its state and those of its tasks."""
        self.until(lambda: self.run_state(run_id) in ("success", "failed"), timeout, f"the end of {run_id}")
        return self.run_state(run_id), self.task_states(run_id)

    def run_state(self, run_id: str) -> str:
        return str(self._send("GET", f"/api/v2/dags/{DAG}/dagRuns/{run_id}")["state"])

    def mark_failed(self, run_id: str) -> None:
        self._send("PATCH", f"/api/v2/dags/{DAG}/dagRuns/{run_id}", {"state": "failed"})

    def task_states(self, run_id: str) -> dict[str, str | None]:
        return {task: found["state"] for task, found in self.tasks(run_id).items()}

    def tasks(self, run_id: str) -> dict[str, dict[str, Any]]:
        answer = self._send("GET", f"/api/v2/dags/{DAG}/dagRuns/{run_id}/taskInstances?limit=100")
        return {task["task_id"]: task for task in answer["task_instances"]}

    def times(self, run_id: str) -> tuple[dict[str, datetime], dict[str, datetime]]:
        """When the tasks of a run started, and when they ended."""
        tasks = self.tasks(run_id)
        started, ended = (
            {name: datetime.fromisoformat(task[key]) for name, task in tasks.items() if task[key]}
            for key in ("start_date", "end_date")
        )
        return started, ended

    def settle(self, timeout: float = 300) -> None:
        """Wait until Airflow knows the train, no run of it is under way, and all services are whole."""
        runs = f"/api/v2/dags/{DAG}/dagRuns?state=running&state=queued"
        self.until(self._knows_dag, timeout, f"Airflow to know {DAG}")
        self.until(lambda: not self._send("GET", runs)["dag_runs"], timeout, f"the end of {DAG}'s other runs")
        self.until(self.whole, timeout, "the services' rollouts to be complete")

    def _knows_dag(self) -> bool:
        return self._http.get(f"/api/v2/dags/{DAG}").status_code == httpx.codes.OK

    # The cluster

    def images(self) -> dict[str, str]:
        """The image that each service's Deployment asks for."""
        return {
            name: item["spec"]["template"]["spec"]["containers"][0]["image"]
            for name, item in self.deployments().items()
        }

    def generations(self) -> dict[str, int]:
        return {name: item["metadata"]["generation"] for name, item in self.deployments().items()}

    def whole(self) -> bool:
        """Whether each Deployment's rollout is complete."""
        return all(
            item["status"].get("observedGeneration", 0) >= item["metadata"]["generation"]
            and item["status"].get("updatedReplicas", 0) == item["spec"]["replicas"]
            and item["status"].get("replicas", 0) == item["spec"]["replicas"]
            and item["status"].get("availableReplicas", 0) == item["spec"]["replicas"]
            for item in self.deployments().values()
        )

    def deployments(self) -> dict[str, dict[str, Any]]:
        items = self.kubectl("payments", "deploy")
        return {item["metadata"]["name"]: item for item in items if item["metadata"]["name"] in SERVICES}

    def holders(self) -> dict[str, str]:
        """The leases that somebody holds, and who."""
        return {
            item["metadata"]["name"]: item["spec"]["holderIdentity"]
            for item in self.kubectl("interlock", "leases")
            if item["spec"].get("holderIdentity")
        }

    def head_states(self, run_id: str) -> list[str]:
        """The states on the labels of a run's journal heads: one, or none if it opened no journal."""
        selector = f"interlock.internal/journal=run,interlock.internal/run={run_hash(DAG, run_id)}"
        found = self.kubectl("interlock", "secrets", "-l", selector)
        return [item["metadata"]["labels"]["interlock.internal/state"] for item in found]

    def kubectl(self, namespace: str, *what: str) -> list[dict[str, Any]]:
        done = subprocess.run(
            ["kubectl", "-n", namespace, "get", *what, "-o", "json"],
            env=self.env,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        items: list[dict[str, Any]] = json.loads(done.stdout)["items"]
        return items

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

    def until(self, met: Callable[[], bool], timeout: float, what: str) -> float:
        """Wait until a condition is met; returns the seconds that took."""
        began = time.monotonic()
        while not met():
            if time.monotonic() - began > timeout:
                pytest.fail(f"waited {timeout:.0f} s for {what}")
            time.sleep(POLL_SECONDS)
        return time.monotonic() - began

    def _send(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        answer = self._http.request(method, path, json=body)
        assert answer.is_success, f"{method} {path}: {answer.status_code} {answer.text[:500]}"
        value: dict[str, Any] = answer.json()
        return value
