"""What one account asked of the API server, from its audit log."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime
from pathlib import Path

ACCOUNT = "system:serviceaccount:interlock:interlock"
KUBECTL = "kubectl"


def requests(lines: Iterable[str], start: datetime, end: datetime, *, kubectl: bool) -> Counter[str]:
    """Count the requests of Interlock's account in a span of time, by verb and resource.

    A watch counts once, however long it is open and however many lines it leaves.

    Args:
        lines: of the audit log.
        start: the span's beginning.
        end: the span's end.
        kubectl: count those that kubectl sent, else all others.
    """
    found: dict[str, str] = {}
    for line in lines:
        event = json.loads(line)
        if event["user"]["username"] != ACCOUNT or not start <= _at(event) <= end:
            continue
        if kubectl is not str(event.get("userAgent", "")).startswith(KUBECTL):
            continue
        reference = event.get("objectRef") or {}
        what = reference.get("resource") or event["requestURI"].partition("?")[0]
        if reference.get("subresource"):
            what = f"{what}/{reference['subresource']}"
        found[event["auditID"]] = f"{event['verb']} {what}"
    return Counter(found.values())


def read(folder: Path) -> Iterator[str]:
    """The lines of the audit log and of its rotated parts; a line still being written is left out."""
    for file in sorted(folder.glob("audit*.log")):
        with file.open() as stream:
            yield from (line for line in stream if line.endswith("\n"))


def _at(event: dict[str, str]) -> datetime:
    return datetime.fromisoformat(event["requestReceivedTimestamp"].replace("Z", "+00:00"))
