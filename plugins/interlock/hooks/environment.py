"""Ask the environment check with Airflow's connections and settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from interlock.hooks.evidence import connection
from interlock.hooks.settings import settings
from interlock.project import environments_file, expectations_file, include
from interlock.trains.model import load_environments

if TYPE_CHECKING:
    from interlock.environment.check import Area, Check


class EnvironmentHook:
    """Look at one area of an environment; it needs no connection of its own.

    :param environment: its name in include/environments.yaml.
    :param pull_requests: such as `owner/name#12`, separated by commas, instead of those that the file names.
    """

    def __init__(self, environment: str, *, pull_requests: str = "") -> None:
        self.environment = environment
        self.pull_requests = pull_requests

    def check(self, area: Area) -> list[Check]:
        """What was found, without texts that look like a secret.

        Raises:
            TrainFileError: a file under include/ can't be used.
        """
        from interlock.doctor.environment import Question, check_area
        from interlock.environment.expectations import load_expectations

        named = tuple(one.strip() for one in self.pull_requests.split(",") if one.strip())
        question = Question(
            load_environments(environments_file()).named(self.environment),
            load_expectations(expectations_file()),
            include(),
            settings(),
            connection,
            named or None,
        )
        return check_area(area, question)
