"""Tells of a train that waits for its lock for too long."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Any, Final

from interlock.hooks.settings import settings
from interlock.notifications.configured import NotifiersError
from interlock.notifications.notice import Notice
from interlock.notifications.notifier import tell

TELL_SECONDS: Final = 15.0
"""For all notifiers together: the train goes on waiting meanwhile, and may get its lock."""


class LongWait:
    """One wait of a run for its lock, in the triggerer.

    A triggerer that is started again tells again: it doesn't know what the one before it did.
    """

    def __init__(self, dag_id: str, run_id: str, since: datetime) -> None:
        self._run = (dag_id, run_id)
        self._since = since
        self._told = False

    def seconds(self, now: datetime) -> float:
        """For how long it has waited, in seconds."""
        return (now - self._since).total_seconds()

    async def look(self, held: str, now: datetime, log: Any) -> None:
        """Tell once, when it takes longer than the setting allows; raises nothing.

        Args:
            held: who holds the lock, for people.
            now: the time.
            log: where it is said who was told.
        """
        if self._told:
            return
        try:
            allowed = patience()
        except NotifiersError as error:
            self._told = True
            log.error("nobody is told how long this takes: %s", error)
            return
        if allowed is None or now - self._since < allowed:
            return
        self._told = True
        dag_id, run_id = self._run
        text = f"{dag_id} has waited for {self.seconds(now) / 60:.0f} minutes: {held}"
        notice = Notice.of("lock", dag_id, run_id, text, page="tasks/lock")
        # In a thread: not every notifier can be awaited, and none may hold up the triggerer.
        sending = asyncio.to_thread(tell, notice, {"run_id": run_id}, log)
        try:
            await asyncio.wait_for(sending, TELL_SECONDS)
        except TimeoutError:
            log.error("the notifiers have not ended after %.0f s: %s", TELL_SECONDS, text)


def patience() -> timedelta | None:
    """For how long a train may wait before people are told; None: for ever.

    Raises:
        NotifiersError: the setting is no number.
    """
    text = settings().lock_notice_minutes
    try:
        minutes = float(text)
    except ValueError:
        raise NotifiersError(
            f"[interlock] lock_notice_minutes: expected a number of minutes, found {text!r}"
        ) from None
    return timedelta(minutes=minutes) if minutes > 0 else None
