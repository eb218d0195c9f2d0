"""How services stand once they have come to rest.

A run is judged at one moment, and at that moment an autoscaler may be adding a pod, a node may be drained, or
a restored release be starting. Fields that are wrong stay wrong; a rollout that goes on is given some time.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence

from interlock.clients.journal import Written
from interlock.clients.kubernetes import KubernetesClient
from interlock.trains.change import Change
from interlock.trains.outcome import ServiceOutcome, judge

PATIENCE_SECONDS = 20.0
AGAIN_SECONDS = 1.0


async def judged(
    client: KubernetesClient,
    changes: Sequence[Change],
    journals: Mapping[str, Written],
    *,
    patience: float = PATIENCE_SECONDS,
) -> list[ServiceOutcome]:
    """Judge services by what is live.

    Args:
        client: an opened client.
        changes: what the run was to change of each.
        journals: what it did to each, by service.
        patience: for how many seconds a rollout that goes on is waited for, all of them together.
    """
    refs = {ref for change in changes for ref in change.refs}
    refs |= {m.ref for written in journals.values() for m in written.journal.mutations}
    until = time.monotonic() + patience
    while True:
        live = await client.get_all(refs)
        found = [judge(change, journals[change.service].journal, live) for change in changes]
        if time.monotonic() >= until or not any(outcome.settling for outcome in found):
            return found
        await asyncio.sleep(AGAIN_SECONDS)
