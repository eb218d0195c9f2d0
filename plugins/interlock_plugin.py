"""The one file that Airflow's plugin manager executes; everything else is in the package beside it."""

from __future__ import annotations

from typing import ClassVar

from airflow.plugins_manager import AirflowPlugin

from interlock.listeners import preload
from interlock.operators.onboarding import ChecklistLink
from interlock.ui import PREFIX, serve


class InterlockPlugin(AirflowPlugin):
    """Registers Interlock with Airflow."""

    name = "interlock"
    listeners: ClassVar[list[object]] = [preload]
    fastapi_apps: ClassVar[list[object]] = [{"app": serve, "url_prefix": PREFIX, "name": "Interlock"}]
    external_views: ClassVar[list[object]] = [
        {
            "name": "Checklist",
            "href": f"{PREFIX}/run?dag_id={{DAG_ID}}&run_id={{RUN_ID}}",
            "destination": "dag_run",
            "url_route": "interlock-checklist",
        }
    ]
    operator_extra_links: ClassVar[list[object]] = [ChecklistLink()]
