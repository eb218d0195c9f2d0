"""The doctor as a task: the lines of `interlock doctor`, from a worker, through Airflow's connections."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from airflow.sdk import BaseHook, BaseOperator
from airflow.sdk.configuration import conf
from airflow.sdk.exceptions import AirflowFailException, AirflowNotFoundException

from interlock.connections import Connection, ConnectionAbsent, of_airflow
from interlock.doctor.line import Line
from interlock.hooks.settings import settings
from interlock.notifications.configured import NotifiersError, parse
from interlock.project import environments_file, include
from interlock.trains.model import TrainFileError, load_environments


class DoctorOperator(BaseOperator):
    """Tries what Interlock needs in an environment; returns the lines, fails where something is missing.

    :param environment: its name in include/environments.yaml.
    """

    def __init__(self, *, environment: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.environment = environment

    def execute(self, context: Any) -> list[dict[str, Any]]:
        """Try everything before saying what is missing."""
        from interlock.doctor import examine

        try:
            environment = load_environments(environments_file()).named(self.environment)
        except TrainFileError as error:
            raise AirflowFailException(str(error)) from None
        lines = list(
            examine(
                environment,
                include(),
                settings(),
                executor=conf.get("core", "executor"),
                read=_connection,
            )
        )
        lines += _notifier_lines()
        for line in lines:
            log = self.log.error if not line.ok else self.log.warning if line.warning else self.log.info
            log("%s", line)
        missing = [str(line) for line in lines if not line.ok]
        if missing:
            raise AirflowFailException("\n".join([f"{len(missing)} checks failed:", *missing]))
        return [asdict(line) for line in lines]


def _notifier_lines() -> list[Line]:
    """Whether people can be told; nothing is sent."""
    from interlock.notifications.waits import patience

    try:
        configured = parse(settings().notifiers)
        patience()
    except NotifiersError as error:
        return [Line("notifiers", False, str(error))]
    lines = []
    for config in configured:
        try:
            config.make()
        except NotifiersError as error:
            lines.append(Line(f"notifier {config.classpath}", False, str(error)))
        else:
            lines.append(Line(f"notifier {config.classpath}", True, "can be made; nothing was sent"))
    said = "nobody is told of failures, waiting approvals and stuck locks"
    return lines or [Line("notifiers", True, said, "setting [interlock] notifiers", warning=True)]


def _connection(name: str) -> Connection:
    try:
        return of_airflow(BaseHook.get_connection(name))
    except AirflowNotFoundException:
        raise ConnectionAbsent(f"connection {name}: Airflow has none of this name") from None
