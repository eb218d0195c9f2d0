"""The journals of a run as they are in the cluster, read without Interlock's own code."""

from __future__ import annotations

import base64
import json
from typing import Any

from train_runs import TrainRuns


def service_journals(train: TrainRuns, run_id: str) -> dict[str, dict[str, Any]]:
    """The journal of each service of a run; small ones, that fit into one Secret."""
    selector = f"interlock.internal/journal=service,interlock.internal/run={train.run_hash(run_id)}"
    found = {}
    for secret in train.sandbox.kubectl("interlock", "secrets", "-l", selector):
        journal = json.loads(base64.b64decode(secret["data"]["chunk"]))
        found[journal["service"]] = journal
    return found
