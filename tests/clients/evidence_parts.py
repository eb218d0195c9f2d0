"""A statement, and the parts of a writer, any of which a test may take away."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from interlock.clients.evidence import BucketWriter
from interlock.clients.object_store import ObjectStore, StoreSettings
from interlock.clients.spool import Spool
from interlock.clients.vault import VaultClient, VaultSettings
from interlock.evidence.statement import Run, Statement, make_statement
from tests.clients.real_parts import KEY

AT = datetime(2026, 11, 24, 6, 0, tzinfo=UTC)


LATER = datetime(2026, 11, 24, 9, 0, tzinfo=UTC)


def statement(run: Run, service: str = "service-a", **fields: object) -> Statement:
    check = {"name": "ready", "passed": True}
    return make_statement(
        "verify",
        run=run,
        fields={"service": service, "outcome": "promoted", **fields},
        at=AT,
        evidence={"checks": [check | {"reason": f"of {run.run_id}/{service}"}]},
    )


@dataclass
class Parts:
    """The parts of a writer, any of which a test may take away."""

    folder: Path
    vault: VaultSettings | None
    store: StoreSettings | None
    open: list[BucketWriter] = field(default_factory=list)

    def writer(self, *, store: bool = True, step: Callable[[str], None] = lambda _: None) -> BucketWriter:
        writer = BucketWriter(
            spool=Spool(self.folder),
            vault=None if self.vault is None else VaultClient(self.vault),
            store=ObjectStore(self.store) if store and self.store is not None else None,
            key=KEY,
            now=lambda: LATER,
            step=step,
        )
        self.open.append(writer)
        return writer


def versions(s3: Any, run: Run) -> list[str]:
    found = s3.list_object_versions(Bucket="evidence", Prefix=f"statements/{run.hash}/")
    return [v["Key"] for v in found.get("Versions", [])]
