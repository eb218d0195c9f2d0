"""The runs of one train in a running sandbox: what Airflow shows of them, and the cluster of its services."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from interlock.trains.entries import run_hash

if TYPE_CHECKING:
    from running_sandbox import RunningSandbox

NAMESPACE = "payments"
ENDED = ("success", "failed")


def other(image: str) -> str:
    """The good tag that an image doesn't have."""
    return "1.1.0" if image.endswith(":1.0.0") else "1.0.0"


class TrainRuns:
    """What a test does with one train. The runs of several trains can be under way at the same time."""

    def __init__(self, sandbox: RunningSandbox, dag_id: str, services: tuple[str, ...]) -> None:
        self.sandbox = sandbox
        self.dag_id = dag_id
        self.services = services
        self._path = f"/api/v2/dags/{dag_id}/dagRuns"

    @property
    def name(self) -> str:
        """The train's name."""
        return self.dag_id.partition("__")[2]

    # Airflow

    def trigger(self, conf: Mapping[str, Any], run_id: str = "") -> str:
        """Start a run; returns its id."""
        run_id = run_id or f"test-{uuid.uuid4().hex[:12]}"
        body = {"dag_run_id": run_id, "conf": dict(conf), "logical_date": None}
        self.sandbox.send("POST", self._path, body)
        return run_id

    def wait(self, run_id: str, timeout: float = 300) -> tuple[str, dict[str, str | None]]:
        """Wait until a run has ended; returns its state and those of its tasks."""
        self.sandbox.until(lambda: self.run_state(run_id) in ENDED, timeout, f"the end of {run_id}")
        return self.run_state(run_id), self.task_states(run_id)

    def run_state(self, run_id: str) -> str:
        return str(self.sandbox.send("GET", f"{self._path}/{run_id}")["state"])

    def mark_failed(self, run_id: str) -> None:
        self.sandbox.send("PATCH", f"{self._path}/{run_id}", {"state": "failed"})

    def task_states(self, run_id: str) -> dict[str, str | None]:
        return {task: found["state"] for task, found in self.tasks(run_id).items()}

    def tasks(self, run_id: str) -> dict[str, dict[str, Any]]:
        answer = self.sandbox.send("GET", f"{self._path}/{run_id}/taskInstances?limit=100")
        return {task["task_id"]: task for task in answer["task_instances"]}

    def times(self, run_id: str) -> tuple[dict[str, datetime], dict[str, datetime]]:
        """When the tasks of a run started, and when they ended."""
        tasks = self.tasks(run_id)
        started, ended = (
            {name: datetime.fromisoformat(task[key]) for name, task in tasks.items() if task[key]}
            for key in ("start_date", "end_date")
        )
        return started, ended

    def log(self, run_id: str, task_id: str) -> str:
        """A task's log as lines of text, of all its tries."""
        lines = self.sandbox.task_log(self.dag_id, run_id, task_id)
        return "\n".join(
            " ".join(
                [str(line.get("event", "")), *(error["exc_value"] for error in line.get("error_detail", ()))]
            )
            for line in lines
        )

    def settle(self, timeout: float = 300) -> None:
        """Wait until Airflow knows the train, no run of it is under way, and all services are whole."""
        until, runs = self.sandbox.until, f"{self._path}?state=running&state=queued"
        until(lambda: self.sandbox.knows(self.dag_id), timeout, f"Airflow to know {self.dag_id}")
        until(lambda: not self.sandbox.send("GET", runs)["dag_runs"], timeout, f"{self.dag_id}'s runs to end")
        until(self.whole, timeout, "the services' rollouts to be complete")

    # The cluster

    def images(self) -> dict[str, str]:
        """The image that each service's Deployment asks for."""
        return {
            name: item["spec"]["template"]["spec"]["containers"][0]["image"]
            for name, item in self.deployments().items()
        }

    def new_releases(self) -> dict[str, str]:
        """A run config that takes each service to the good release that it doesn't run."""
        return {name: other(image) for name, image in self.images().items()}

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
        """The train's Deployments by service."""
        items = self.sandbox.kubectl(NAMESPACE, "deploy")
        return {item["metadata"]["name"]: item for item in items if item["metadata"]["name"] in self.services}

    def holders(self) -> dict[str, str]:
        """The locks of this train's services that somebody holds, and who."""
        locks = {f"{NAMESPACE}.{service}" for service in self.services}
        return {lock: holder for lock, holder in self.sandbox.holders().items() if lock in locks}

    def run_hash(self, run_id: str) -> str:
        """What names the journals of a run."""
        return run_hash(self.dag_id, run_id)

    def head_states(self, run_id: str) -> list[str]:
        """The states on the labels of a run's journal heads: one, or none if it opened no journal."""
        selector = f"interlock.internal/journal=run,interlock.internal/run={self.run_hash(run_id)}"
        found = self.sandbox.kubectl("interlock", "secrets", "-l", selector)
        return [item["metadata"]["labels"]["interlock.internal/state"] for item in found]
