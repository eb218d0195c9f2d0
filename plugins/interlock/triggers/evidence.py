"""The wait for a statement to be in the evidence log; ends the task."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger, TaskFailedEvent, TaskSuccessEvent, TriggerEvent

if TYPE_CHECKING:
    from interlock.clients.log_search import StatementSearch

AGAIN_SECONDS = 10.0


class EvidenceLoggedTrigger(BaseTrigger):
    """Looks every ten seconds, off the event loop, at what was added to the log.

    :param digest: the statement's SHA-256.
    :param since: from when on the log is searched, RFC 3339.
    :param deadline: when to give up, RFC 3339.
    :param evidence_conn_id: id of the connection to the bucket.
    :param vault_conn_id: id of the connection to Vault.
    """

    def __init__(
        self, *, digest: str, since: str, deadline: str, evidence_conn_id: str, vault_conn_id: str
    ) -> None:
        super().__init__()
        self.digest = digest
        self.since = since
        self.deadline = deadline
        self.evidence_conn_id = evidence_conn_id
        self.vault_conn_id = vault_conn_id

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """The class and exactly the constructor's arguments."""
        names = ("digest", "since", "deadline", "evidence_conn_id", "vault_conn_id")
        return f"{type(self).__module__}.{type(self).__qualname__}", {
            name: getattr(self, name) for name in names
        }

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look until it is there or the deadline has passed."""
        from interlock.evidence.verification.source import SourceError

        deadline = datetime.fromisoformat(self.deadline)
        search = await asyncio.to_thread(self._search)
        try:
            while True:
                try:
                    found = await asyncio.to_thread(search.look)
                except SourceError as error:
                    self.log.info("still waiting: %s", error)
                    found = None
                if found is not None:
                    yield TaskSuccessEvent(xcoms={"logged": found})
                    return
                left = (deadline - datetime.now(UTC)).total_seconds()
                if left <= 0:
                    self.log.error("statement %s is not in the log under a signed head", self.digest)
                    yield TaskFailedEvent()
                    return
                await asyncio.sleep(min(AGAIN_SECONDS, left))
        finally:
            search.close()

    def _search(self) -> StatementSearch:
        from interlock.clients.log_search import StatementSearch
        from interlock.hooks.evidence_log import EvidenceLogHook

        hook = EvidenceLogHook(self.evidence_conn_id, vault_conn_id=self.vault_conn_id)
        source = hook.get_conn()
        return StatementSearch(
            source, hook.trust(source.bucket), self.digest, datetime.fromisoformat(self.since)
        )
