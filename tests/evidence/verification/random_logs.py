"""Clean logs of random size and writer mix."""

from __future__ import annotations

import base64
import json
import random

from made_logs import Log

from interlock.evidence.statement import Run, canonical, sha256


def random_log(seed: int, most: int = 700) -> Log:
    """A clean log of random size and writer mix: batches, blobs, late and shipped ones, seals, years."""
    dice = random.Random(seed)
    log = Log()
    runs = [Run("train", f"run-{dice.randrange(10**9)}") for _ in range(dice.randint(1, 4))]
    listed: dict[str, list[str]] = {run.run_id: [] for run in runs}
    target = int(dice.triangular(1, most, 20))
    while len(log.leaves) < target:
        batch: list[bytes] = []
        for _ in range(min(target - len(log.leaves), int(dice.triangular(1, 300, 3)))):
            run = dice.choice(runs)
            leaf = (
                log.late(run)
                if dice.random() < 0.1
                else log.leaf(dice.choice(["promote", "verify", "preflight"]), run, blob=dice.random() < 0.3)
            )
            listed[run.run_id].append(_digest(leaf))
            batch.append(leaf)
        if dice.random() < 0.1:
            batch.append(
                log.system(
                    "shipped", first=1, last=len(batch), count=len(batch), shipped_at=log.clock.isoformat()
                )
            )
        log.commit(*batch, publish=dice.random() < 0.7)
        if dice.random() < 0.02:
            log.publish()
            log = log.next_year()
    for run in runs:
        if listed[run.run_id] and dice.random() < 0.7:
            log.commit(
                log.leaf(
                    "seal", run, statements=sorted(listed[run.run_id]), complete=True, outcome="all-new"
                ),
                publish=False,
            )
    log.publish()
    return log


def _digest(leaf: bytes) -> str:
    payload = base64.b64decode(json.loads(leaf)["payload"])
    if b'/late/v1"' in payload:
        payload = canonical(json.loads(payload)["predicate"]["statement"])
    return sha256(payload)
