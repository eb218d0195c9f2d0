"""Interlock's settings by Airflow's configuration: files, variables and commands."""

from __future__ import annotations

from airflow.sdk.configuration import conf

from interlock.settings import SECTION, Settings, airflow_home


def settings() -> Settings:
    """The settings as they are now."""
    return Settings.read(lambda option: conf.get(SECTION, option, fallback="") or "", airflow_home())
