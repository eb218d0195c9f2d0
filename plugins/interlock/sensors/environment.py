"""Wait until an area of an environment is in order."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.sdk import BaseSensorOperator
from airflow.sdk.exceptions import AirflowFailException

from interlock.hooks.environment import EnvironmentHook
from interlock.trains.model import TrainFileError

if TYPE_CHECKING:
    from airflow.sdk import Context

    from interlock.environment.check import Area


class AreaSensor(BaseSensorOperator):
    """Wait until nothing in an area keeps the environment from passing.

    With `deferrable` it waits in the triggerer and ends there; `timeout` counts from each start then, and
    `soft_fail` has no effect.

    :param environment: its name in include/environments.yaml.
    :param pull_requests: such as `owner/name#12`, separated by commas, instead of those that the file names.
    :param deferrable: wait in the triggerer instead of a worker.
    """

    area: ClassVar[Area]
    template_fields: Sequence[str] = ("environment", "pull_requests")

    def __init__(
        self, *, environment: str, pull_requests: str = "", deferrable: bool = False, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.environment = environment
        self.pull_requests = pull_requests
        self.deferrable = deferrable

    def execute(self, context: Context) -> Any:
        """Poke in this worker, or defer; then the wait ends the task."""
        if not self.deferrable:
            return super().execute(context)
        from interlock.triggers.environment import AreaInOrderTrigger

        self.defer(
            trigger=AreaInOrderTrigger(
                area=self.area,
                environment=self.environment,
                pull_requests=self.pull_requests,
                again_seconds=float(self.poke_interval),
                deadline=(datetime.now(UTC) + timedelta(seconds=float(self.timeout))).isoformat(),
            ),
            method_name="execute_complete",
        )
        return None

    def execute_complete(self, context: Context, event: Any) -> None:
        """Never called: the trigger ends the task."""

    def poke(self, context: Context) -> bool:
        """Return whether it is in order; log what isn't."""
        from interlock.environment.check import blocking

        try:
            wrong = blocking(
                EnvironmentHook(self.environment, pull_requests=self.pull_requests).check(self.area)
            )
        except TrainFileError as error:
            raise AirflowFailException(str(error)) from None
        for check in wrong:
            self.log.info("still waiting: %s", check)
        return not wrong


class GithubSensor(AreaSensor):
    """Wait for GitHub: such as until a sprint's pull requests are approved and their checks have passed."""

    area = "github"


class VaultSensor(AreaSensor):
    """Wait for Vault: such as until it is unsealed, and the role has each right."""

    area = "vault"


class ToolsSensor(AreaSensor):
    """Wait for the tools: such as until a worker's image has the versions that are required."""

    area = "tools"


class StoreSensor(AreaSensor):
    """Wait for the evidence store: such as until its credentials, which were pending, are valid."""

    area = "store"
