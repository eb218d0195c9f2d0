"""Ask the onboarding check with Airflow's connections."""

from __future__ import annotations

from typing import TYPE_CHECKING

from interlock.hooks.evidence import connection
from interlock.hooks.kubernetes import InterlockKubernetesHook
from interlock.project import environments_file
from interlock.trains.model import load_environments

if TYPE_CHECKING:
    from interlock.onboarding.checklist import Checklist


class OnboardingHook:
    """Make the checklist of a service; it needs no connection of its own.

    :param service: the service's name.
    :param environment: its name in include/environments.yaml; empty: as the service's file says, else the
        first.
    """

    def __init__(self, service: str, *, environment: str = "") -> None:
        self.service = service
        self.environment = environment

    def checklist(self) -> Checklist:
        """What was found.

        Raises:
            TrainFileError: a file under include/ can't be used.
        """
        from interlock.doctor.onboarding import Question, check_service, where

        environments = load_environments(environments_file())
        chosen = where(environments, self.service, self.environment)
        return check_service(
            Question(
                self.service,
                chosen,
                environments.names,
                connection,
                lambda: InterlockKubernetesHook(chosen.kubernetes).get_conn(),
            )
        )
