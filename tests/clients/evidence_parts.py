"""A statement, and the parts of a writer, any of which a test may take away."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path

from interlock.clients.evidence import BucketWriter
from interlock.clients.log import EvidenceLog
from interlock.clients.object_store import ObjectStore, StoreSettings
from interlock.clients.signing import CheckpointSigner, StatementSigner
from interlock.clients.spool import Spool
from interlock.clients.vault import VaultClient, VaultSettings
from interlock.evidence.statement import Run, Statement, make_statement
from tests.clients.real_parts import KEY, LOG_KEY

AT = datetime(2026, 11, 24, 6, 0, tzinfo=UTC)
LATER = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)
NAME = "interlock/evidence"


def statement(run: Run, service: str = "service-a", *, blob: bool = True, **fields: object) -> Statement:
    check = {"name": "ready", "passed": True}
    return make_statement(
        "verify",
        run=run,
        fields={"service": service, "outcome": "promoted", **fields},
        at=AT,
        evidence={"checks": [check | {"reason": f"of {run.run_id}/{service}"}]} if blob else None,
    )


def now() -> datetime:
    return datetime.now(UTC)


@dataclass
class Parts:
    """The parts of a writer, any of which a test may take away."""

    folder: Path
    vault: VaultSettings | None
    store: StoreSettings | None
    log_vault: VaultSettings | None
    now: Callable[[], datetime] = now
    open: list[BucketWriter] = field(default_factory=list)

    def elsewhere(self, folder: Path) -> Parts:
        """The same bucket and keys with another spool, as on another host."""
        return replace(self, folder=folder, open=[])

    def writer(
        self, *, store: bool = True, step: Callable[[str], None] = lambda _: None, wait: float = 30.0
    ) -> BucketWriter:
        log = None
        missing = "there is no store for evidence"
        signer = None if self.vault is None else StatementSigner(VaultClient(self.vault), KEY)
        if store and self.store is not None and self.vault is not None and self.log_vault is not None:
            log = EvidenceLog(
                store=ObjectStore(self.store),
                statements=StatementSigner(VaultClient(self.vault), KEY),
                checkpoints=CheckpointSigner(VaultClient(self.log_vault), LOG_KEY, NAME, now=self.now),
                now=self.now,
                step=step,
            )
        writer = BucketWriter(
            spool=Spool(self.folder, step=step), signer=signer, log=log, missing=missing, wait_seconds=wait
        )
        self.open.append(writer)
        return writer

    def close(self) -> None:
        for writer in self.open:
            writer.close()
        self.open.clear()
