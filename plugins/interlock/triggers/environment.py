"""The wait for an area of an environment to be in order; ends the task."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger, TaskFailedEvent, TaskSuccessEvent, TriggerEvent

from interlock.hooks.environment import EnvironmentHook

if TYPE_CHECKING:
    from interlock.environment.check import Area


class AreaInOrderTrigger(BaseTrigger):
    """Looks again and again, off the event loop.

    :param area: `github`, `vault`, `tools` or `store`.
    :param environment: its name.
    :param pull_requests: instead of those that the file names.
    :param again_seconds: seconds between two looks.
    :param deadline: when to give up, RFC 3339.
    """

    def __init__(
        self, *, area: Area, environment: str, pull_requests: str, again_seconds: float, deadline: str
    ) -> None:
        super().__init__()
        self.area = area
        self.environment = environment
        self.pull_requests = pull_requests
        self.again_seconds = again_seconds
        self.deadline = deadline

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """The class and exactly the constructor's arguments."""
        names = ("area", "environment", "pull_requests", "again_seconds", "deadline")
        arguments = {name: getattr(self, name) for name in names}
        return f"{type(self).__module__}.{type(self).__qualname__}", arguments

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look until it is in order or the deadline has passed."""
        from interlock.environment.check import blocking
        from interlock.trains.model import TrainFileError

        deadline = datetime.fromisoformat(self.deadline)
        hook = EnvironmentHook(self.environment, pull_requests=self.pull_requests)
        while True:
            try:
                checks = await asyncio.to_thread(hook.check, self.area)
            except TrainFileError as error:
                self.log.error("%s", error)
                yield TaskFailedEvent()
                return
            wrong = blocking(checks)
            if not wrong:
                yield TaskSuccessEvent(xcoms={"checks": [check.as_json() for check in checks]})
                return
            left = (deadline - datetime.now(UTC)).total_seconds()
            for check in wrong:
                self.log.info("still waiting: %s", check)
            if left <= 0:
                self.log.error("%s of %s is not in order in time", self.area, self.environment)
                yield TaskFailedEvent()
                return
            await asyncio.sleep(min(self.again_seconds, left))
