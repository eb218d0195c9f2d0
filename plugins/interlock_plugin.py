"""The one file that Airflow's plugin manager executes; everything else is in the package beside it."""

from __future__ import annotations

from airflow.plugins_manager import AirflowPlugin


class InterlockPlugin(AirflowPlugin):
    """Registers Interlock with Airflow."""

    name = "interlock"
