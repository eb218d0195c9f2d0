"""Airflow as an installation has it: four programs on PostgreSQL, with Interlock's connections.

The programs get the rights of Interlock's own accounts and no administrator's.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from urllib.parse import quote

import httpx

from sandbox.parts import kubernetes, openbao, postgres, prometheus, seaweedfs
from sandbox.parts.part import Part, PartError, Report
from sandbox.state import CHECKOUT, HOST, State, random_base64
from sandbox.supervisor import Program, inherited_environment

USER = "admin"
QUIET = "ignore:Could not import graphviz,ignore:GitWildMatchPattern:DeprecationWarning"
"""Airflow's command warns of these whatever it is asked; nobody who uses it can do anything about them."""
_COMPONENTS = ("metadatabase", "scheduler", "triggerer", "dag_processor")


class Airflow(Part):
    """Airflow's API server, scheduler, DAG processor and triggerer."""

    name = "airflow"
    time_limit = 300.0
    ports = ("airflow",)

    def prepare(self, state: State, report: Report) -> None:
        """Bring the database's schema up to date and set the password."""
        home = _home(state)
        home.mkdir(mode=0o700, exist_ok=True)
        state.write_json(home / "passwords.json", {USER: state.secret("airflow-password")})
        migrated = home / f"migrated-to-{version('apache-airflow')}"
        if migrated.exists():
            return
        report("migrating its database")
        log = state.log / "airflow-db-migrate.log"
        with log.open("wb") as output:
            environment = {**inherited_environment(), **settings(state)}
            command = [_airflow(), "db", "migrate"]
            result = subprocess.run(command, env=environment, stdout=output, stderr=output, check=False)
        if result.returncode:
            tail = "\n".join(log.read_text().splitlines()[-20:])
            raise PartError(f"airflow db migrate failed:\n{tail}", f"All of it: {log}")
        migrated.touch()

    def programs(self, state: State) -> tuple[Program, ...]:
        """The four programs. Their logs are files that all of them see, so none has to serve its own."""
        environment = settings(state)
        commands = {
            "airflow-api-server": ("api-server",),
            "airflow-scheduler": ("scheduler", "--skip-serve-logs"),
            "airflow-dag-processor": ("dag-processor",),
            "airflow-triggerer": ("triggerer", "--skip-serve-logs"),
        }
        return tuple(
            Program(name, (_airflow(), *arguments), environment, stop_seconds=20)
            for name, arguments in commands.items()
        )

    def ready(self, state: State) -> bool:
        """Whether the API server answers and calls the others healthy."""
        answer = httpx.get(f"{state.url('airflow')}/api/v2/monitor/health", timeout=5)
        if answer.status_code != 200:
            return False
        health = answer.json()
        return all(health.get(name, {}).get("status") == "healthy" for name in _COMPONENTS)

    def environment(self, state: State) -> Mapping[str, str]:
        """What the airflow command needs, and how to log in."""
        return {
            **settings(state),
            "PYTHONWARNINGS": QUIET,
            "AIRFLOW_URL": state.url("airflow"),
            "AIRFLOW_USER": USER,
            "AIRFLOW_PASSWORD": state.secret("airflow-password"),
        }


def settings(state: State) -> dict[str, str]:
    """Airflow's settings and connections as environment variables."""
    database = f"{postgres.USER}@/{postgres.DATABASE}?host={quote(str(postgres.socket_folder(state)))}"
    url = state.url("airflow")
    sections: Mapping[str, Mapping[str, object]] = {
        "core": {
            "executor": "LocalExecutor",
            "parallelism": 16,
            "max_active_tasks_per_dag": 16,
            "dags_folder": CHECKOUT / "dags",
            "plugins_folder": CHECKOUT / "plugins",
            "load_examples": False,
            "dags_are_paused_at_creation": False,
            "fernet_key": state.secret("airflow-fernet-key", random_base64(32)),
            "execution_api_server_url": f"{url}/execution/",
            "simple_auth_manager_users": f"{USER}:admin",
            "simple_auth_manager_passwords_file": _home(state) / "passwords.json",
        },
        "database": {
            "sql_alchemy_conn": f"postgresql+psycopg2://{database}",
            "sql_alchemy_conn_async": f"postgresql+asyncpg://{database}",
        },
        "api": {
            "host": HOST,
            "port": state.port("airflow"),
            "base_url": url,
            "workers": 1,
            "secret_key": state.secret("airflow-api-secret-key"),
        },
        # Shared by all programs; one made at each start would part them from those that still run.
        "api_auth": {"jwt_secret": state.secret("airflow-jwt-secret", random_base64(64))},
        # A chain of tasks takes half the time with the first of these. With the others what a killed worker
        # or scheduler leaves behind is found within 40 s instead of five minutes.
        "scheduler": {
            "scheduler_idle_sleep_time": 0.1,
            "task_instance_heartbeat_timeout": 30,
            "task_instance_heartbeat_timeout_detection_interval": 5,
            "orphaned_tasks_check_interval": 10,
        },
        # A task that a person ends is dead five times as soon.
        "workers": {"min_heartbeat_interval": 1},
        # On a machine with more to do, DAGs must not vanish because their file took its time.
        "dag_processor": {
            "refresh_interval": 15,
            "dag_file_processor_timeout": 180,
            "stale_dag_threshold": 300,
            "dag_bundle_config_list": _bundles(),
        },
        "interlock": {"notifiers": _notifiers(state), "lock_notice_minutes": 1},
        "usage_data_collection": {"enabled": False},
    }
    variables = {
        f"AIRFLOW__{section.upper()}__{name.upper()}": str(value)
        for section, values in sections.items()
        for name, value in values.items()
    }
    connections = {
        "INTERLOCK_KUBERNETES": kubernetes.connection(state),
        "INTERLOCK_VAULT": openbao.connection(state),
        "INTERLOCK_LOG_VAULT": openbao.connection(state, openbao.LOG_ROLE),
        "INTERLOCK_AUDIT_VAULT": openbao.connection(state, openbao.AUDIT_ROLE),
        "INTERLOCK_ONBOARDING_VAULT": openbao.connection(state, openbao.ONBOARDING_ROLE),
        "INTERLOCK_EVIDENCE": seaweedfs.connection(state),
        "INTERLOCK_PROMETHEUS": prometheus.connection(state),
    }
    for name, connection in connections.items():
        variables[f"AIRFLOW_CONN_{name}"] = json.dumps(connection, separators=(",", ":"))
    variables["AIRFLOW_HOME"] = str(_home(state))
    variables["PYTHONPATH"] = str(CHECKOUT / "plugins")
    if include := os.environ.get("INTERLOCK_INCLUDE"):
        variables["INTERLOCK_INCLUDE"] = str(Path(include).absolute())
    return variables


def _notifiers(state: State) -> str:
    """Who is told: a file, one line of JSON for each notice."""
    classpath = "interlock.notifications.file.FileNotifier"
    return json.dumps([{"classpath": classpath, "kwargs": {"path": str(state.log / "notices.jsonl")}}])


def _bundles() -> str:
    """The folders with DAGs, as Airflow's list of bundles: the project's, and INTERLOCK_SANDBOX_DAGS."""
    folders = {"dags-folder": str(CHECKOUT / "dags")}
    if more := os.environ.get("INTERLOCK_SANDBOX_DAGS"):
        folders["more-dags"] = str(Path(more).absolute())
    classpath = "airflow.dag_processing.bundles.local.LocalDagBundle"
    return json.dumps(
        [{"name": name, "classpath": classpath, "kwargs": {"path": path}} for name, path in folders.items()]
    )


def _home(state: State) -> Path:
    return state.root / "airflow"


def _airflow() -> str:
    return str(Path(sys.executable).parent / "airflow")
