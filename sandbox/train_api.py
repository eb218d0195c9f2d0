"""What the demo asks of Airflow's REST API about one train's DAG."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any

import httpx


class TrainApi:
    """Airflow's REST API, as the sandbox's user; a context manager."""

    def __init__(self, url: str, user: str, password: str, dag_id: str) -> None:
        self._http = httpx.Client(base_url=url, timeout=30)
        self._dag = f"/api/v2/dags/{dag_id}"
        self._login = {"username": user, "password": password}

    def __enter__(self) -> TrainApi:
        token = self._send("POST", "/auth/token", self._login)["access_token"]
        self._http.headers["Authorization"] = f"Bearer {token}"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def dag(self) -> dict[str, Any] | None:
        """The train's DAG; None while Airflow has not read it."""
        try:
            return self._send("GET", self._dag)
        except httpx.HTTPStatusError as error:
            if error.response.status_code == httpx.codes.NOT_FOUND:
                return None
            raise

    def trigger(self, run_id: str, conf: Mapping[str, str]) -> None:
        """Start a run."""
        body = {"dag_run_id": run_id, "conf": conf, "logical_date": None}
        self._send("POST", f"{self._dag}/dagRuns", body)

    def run_state(self, run_id: str) -> str:
        """The state of a run."""
        return str(self._send("GET", f"{self._dag}/dagRuns/{run_id}")["state"])

    def live_runs(self) -> list[str]:
        """The ids of the runs that have not ended."""
        answer = self._send("GET", f"{self._dag}/dagRuns?state=running&state=queued")
        return [str(run["dag_run_id"]) for run in answer["dag_runs"]]

    def tasks(self, run_id: str) -> list[dict[str, Any]]:
        """The task instances of a run, in the order of their starts."""
        answer = self._send("GET", f"{self._dag}/dagRuns/{run_id}/taskInstances?limit=100")
        tasks: list[dict[str, Any]] = answer["task_instances"]
        return sorted(tasks, key=lambda task: task["start_date"] or "z")

    def reason(self, run_id: str, task: Mapping[str, Any]) -> str:
        """Why a task failed: the last exception in its log, or else the last error."""
        path = f"{self._dag}/dagRuns/{run_id}/taskInstances/{task['task_id']}/logs/{task['try_number']}"
        try:
            content = self._send("GET", path).get("content")
        except httpx.HTTPError as error:
            return f"(its log can't be read: {error})"
        if not isinstance(content, list):
            return ""
        errors = [event for event in content if isinstance(event, dict) and event.get("level") == "error"]
        for event in reversed(errors):
            if details := event.get("error_detail"):
                return str(details[0].get("exc_value") or details[0].get("exc_type"))
        return str(errors[-1].get("event")) if errors else ""

    def _send(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        answer = self._http.request(method, path, json=body, headers={"Accept": "application/json"})
        answer.raise_for_status()
        value: dict[str, Any] = answer.json()
        return value
