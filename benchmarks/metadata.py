"""What Airflow's metadata database says of a run.

Read there and not over the REST API: the API server is on every task's way, and what watches a run should
not slow it down.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Any

import psycopg2  # type: ignore[import-untyped]

from sandbox.parts import postgres
from sandbox.state import State


@dataclass(frozen=True)
class Task:
    """A task instance of a run.

    Attributes:
        task_id: its id.
        state: its state now.
        try_number: of its last try.
        scheduled: when the scheduler took it up.
        queued: when it was given to the executor.
        started: when it started in a worker.
        ended: when it ended.
    """

    task_id: str
    state: str | None
    try_number: int
    scheduled: datetime | None
    queued: datetime | None
    started: datetime | None
    ended: datetime | None


class Metadata:
    """A connection to the database; a context manager. One for each thread."""

    def __init__(self, state: State) -> None:
        self._connection = psycopg2.connect(
            host=str(postgres.socket_folder(state)), user=postgres.USER, dbname=postgres.DATABASE
        )
        self._connection.autocommit = True

    def __enter__(self) -> Metadata:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()

    def version(self) -> str:
        """PostgreSQL's version."""
        return str(self._rows("SHOW server_version")[0][0])

    def run(self, dag_id: str, run_id: str) -> tuple[str, datetime, datetime | None]:
        """A run's state, when it was asked for, and when it ended."""
        [row] = self._rows(
            "SELECT state, queued_at, end_date FROM dag_run WHERE dag_id = %s AND run_id = %s", dag_id, run_id
        )
        return row

    def tasks(self, dag_id: str, run_id: str) -> dict[str, Task]:
        """The task instances of a run."""
        columns = "task_id, state, try_number, scheduled_dttm, queued_dttm, start_date, end_date"
        rows = self._rows(
            f"SELECT {columns} FROM task_instance WHERE dag_id = %s AND run_id = %s", dag_id, run_id
        )
        return {row[0]: Task(*row) for row in rows}

    def busy(self, dag_id: str, run_id: str) -> dict[str, str]:
        """The tasks of a run that are queued, running or deferred, with that state."""
        busy = "state IN ('queued', 'running', 'deferred')"
        rows = self._rows(
            f"SELECT task_id, state FROM task_instance WHERE dag_id = %s AND run_id = %s AND {busy}",
            dag_id,
            run_id,
        )
        return dict(rows)

    def xcoms(self, dag_id: str, run_id: str, key: str) -> dict[str, Any]:
        """What the tasks of a run pushed under a key, by task."""
        rows = self._rows(
            "SELECT task_id, value FROM xcom WHERE dag_id = %s AND run_id = %s AND key = %s",
            dag_id,
            run_id,
            key,
        )
        # A trigger's XCom arrives as JSON text within JSON.
        return {task: json.loads(value) if isinstance(value, str) else value for task, value in rows}

    def _rows(self, query: str, *arguments: object) -> list[tuple[Any, ...]]:
        with self._connection.cursor() as cursor:
            cursor.execute(query, arguments)
            rows: list[tuple[Any, ...]] = cursor.fetchall()
            return rows
