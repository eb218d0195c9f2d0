"""Why Airflow took a wait away: a person marked its task, or cleared it to run again."""

from __future__ import annotations

import asyncio
from typing import Any

MARKED = ("failed", "success", "skipped")


async def marked(ti: Any) -> bool:
    """Whether a task whose trigger was just ended was marked by a person, not cleared.

    A task that was cleared begins anew; what its former wait does then would meet the new one.
    """

    def state() -> str:
        states = ti.get_task_states(dag_id=ti.dag_id, run_ids=[ti.run_id], task_ids=[ti.task_id])
        return str(states.get(ti.run_id, {}).get(ti.task_id))

    return ti is not None and await asyncio.to_thread(state) in MARKED
