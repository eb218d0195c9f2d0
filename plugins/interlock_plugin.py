"""The one file that Airflow's plugin manager executes; everything else is in the package beside it."""

from __future__ import annotations

from typing import ClassVar

from airflow.plugins_manager import AirflowPlugin

from interlock.listeners import preload


class InterlockPlugin(AirflowPlugin):
    """Registers Interlock with Airflow."""

    name = "interlock"
    listeners: ClassVar[list[object]] = [preload]
