"""Wait for evidence."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowFailException

from interlock.hooks.evidence_log import EvidenceLogHook
from interlock.hooks.vault import InterlockVaultHook
from interlock.triggers.evidence import EvidenceLoggedTrigger

if TYPE_CHECKING:
    from airflow.sdk import Context


class EvidenceLoggedSensor(BaseOperator):
    """Wait in the triggerer until a statement is in the evidence log, under a signed head.

    Pushes `logged`: its `year`, `index` and the head's `size`. While the store is away it goes on waiting.

    :param digest: the statement's SHA-256, as `EvidenceOperator` returns it.
    :param wait: for how long to wait.
    :param since: from when on the log is searched, RFC 3339; a day ago when empty.
    :param evidence_conn_id: id of the connection to the bucket.
    :param vault_conn_id: id of the connection to Vault, which gives the public keys.
    """

    template_fields: Sequence[str] = ("digest", "since", "evidence_conn_id", "vault_conn_id")

    def __init__(
        self,
        *,
        digest: str,
        wait: timedelta = timedelta(minutes=30),
        since: str = "",
        evidence_conn_id: str = EvidenceLogHook.default_conn_name,
        vault_conn_id: str = InterlockVaultHook.default_conn_name,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.digest = digest
        self.wait = wait
        self.since = since
        self.evidence_conn_id = evidence_conn_id
        self.vault_conn_id = vault_conn_id

    def execute(self, context: Context) -> None:
        """Begin to wait."""
        if len(self.digest) != 64 or not set(self.digest) <= set("0123456789abcdef"):
            raise AirflowFailException(f"{self.digest!r} is not a statement's SHA-256 in lower-case hex")
        now = datetime.now(UTC)
        self.defer(
            trigger=EvidenceLoggedTrigger(
                digest=self.digest,
                since=self.since or (now - timedelta(days=1)).isoformat(),
                deadline=(now + self.wait).isoformat(),
                evidence_conn_id=self.evidence_conn_id,
                vault_conn_id=self.vault_conn_id,
            ),
            method_name="execute_complete",
        )

    def execute_complete(self, context: Context, event: Any) -> None:
        """Never called: the trigger ends the task."""
