"""One train of the demo: triggered over Airflow's REST API, followed to its end, judged by the cluster."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sandbox.parts import kubernetes
from sandbox.state import State
from sandbox.train_api import TrainApi

NAMESPACE = "payments"
SERVICES = ("service-a", "service-b", "service-c")
GOOD = ("1.1.0", "1.0.0")
TRAIN_SECONDS = 300.0
POLL_SECONDS = 0.5
_ENDED = ("success", "failed")
_QUIET = (None, "scheduled", "queued", "skipped", "upstream_failed", "removed")


class DemoError(Exception):
    """The demo can't go on.

    Attributes:
        log: The log file, or its pattern, under the state folder's `log` to look into.
    """

    def __init__(self, text: str, log: str) -> None:
        super().__init__(text)
        self.log = log


@dataclass(frozen=True)
class Outcome:
    """How a train ended.

    Attributes:
        state: The run's state.
        seconds: How long it took.
        tasks: The tasks' states.
        reasons: Why its tasks failed, by task.
    """

    state: str
    seconds: float
    tasks: dict[str, str | None]
    reasons: dict[str, str]


def deployments(state: State) -> dict[str, Mapping[str, Any]]:
    """The Deployments of the services' namespace, by name."""
    result = kubernetes.kubectl(state, "get", "deployments", "-n", NAMESPACE, "-o", "json")
    if result.returncode:
        raise DemoError(f"kubectl can't read the services: {result.stderr.strip()}", "kube-apiserver.log")
    return {item["metadata"]["name"]: item for item in json.loads(result.stdout)["items"]}


def live_releases(state: State) -> dict[str, str]:
    """What the cluster runs of each service: its image's tag, and whether that rollout is complete."""
    releases = {}
    for name, item in deployments(state).items():
        if name in SERVICES:
            image = str(item["spec"]["template"]["spec"]["containers"][0]["image"])
            releases[name] = image.rpartition(":")[2] + ("" if _complete(item) else " (not ready)")
    if missing := set(SERVICES) - releases.keys():
        raise DemoError(f"the cluster has no {', '.join(sorted(missing))}", "kube-apiserver.log")
    return releases


def next_good(release: str) -> str:
    """The good release that a service doesn't run."""
    return GOOD[1] if release == GOOD[0] else GOOD[0]


def ride(api: TrainApi, name: str, conf: dict[str, str], runs: list[str]) -> Outcome:
    """Trigger a train and follow it to its end."""
    run_id = f"{name}-{datetime.now(UTC):%Y%m%dT%H%M%S}"
    print(f"  {', '.join(f'{service} → {release}' for service, release in conf.items())}", flush=True)
    api.trigger(run_id, {**conf, "environment": "sandbox", "reason": "the demo"})
    runs.append(run_id)
    began = time.monotonic()
    seen: dict[str, str | None] = {}
    while True:
        run = api.run_state(run_id)
        tasks = api.tasks(run_id)
        seconds = time.monotonic() - began
        for task in tasks:
            if seen.get(task["task_id"]) != task["state"] and task["state"] not in _QUIET:
                print(f"  {seconds:6.1f} s  {task['task_id']:<22}{task['state']}", flush=True)
            seen[task["task_id"]] = task["state"]
        if run in _ENDED:
            break
        if seconds > TRAIN_SECONDS:
            busy = [task["task_id"] for task in tasks if task["state"] in ("running", "deferred", "queued")]
            raise DemoError(
                f"{run_id} is still {run} after {TRAIN_SECONDS:.0f} s, at {', '.join(busy) or 'no task'}",
                "airflow-scheduler.log",
            )
        time.sleep(POLL_SECONDS)
    failed = [task for task in tasks if task["state"] == "failed"]
    states = {task["task_id"]: task["state"] for task in tasks}
    return Outcome(run, seconds, states, {task["task_id"]: api.reason(run_id, task) for task in failed})


def judge(
    outcome: Outcome,
    state: str,
    after: dict[str, str],
    expected: dict[str, str],
    tasks: dict[str, str],
) -> bool:
    """Say how a train ended; returns whether that was expected."""
    print(f"  The run ended {outcome.state} after {outcome.seconds:.0f} s.")
    for task, reason in outcome.reasons.items():
        first, *others = reason.strip().splitlines() or ["(its log names no reason)"]
        print(f"    {task}: {first}")
        for line in others:
            print(f"      {line}")
    wrong = [] if outcome.state == state else [f"the run had to end {state}"]
    wrong += [
        f"{name} runs {after[name]}, not {expected[name]}"
        for name in SERVICES
        if after[name] != expected[name]
    ]
    for task, wanted in tasks.items():
        if (found := outcome.tasks.get(task)) != wanted:
            wrong.append(f"the task {task} is {found}, not {wanted}")
    if wrong:
        print(f"  NOT as expected: {'; '.join(wrong)}.")
    sys.stdout.flush()
    return not wrong


def table(
    before: dict[str, str], wanted: dict[str, str], after: dict[str, str], word: str, expected: dict[str, str]
) -> None:
    """Show what the cluster ran before and runs now; `word` says of each service what is expected."""
    print(f"\n  {'service':<12}{'before':<14}{'on the train':<16}after")
    for name in SERVICES:
        verdict = word if after[name] == expected[name] else "NOT " + word
        print(f"  {name:<12}{before[name]:<14}{wanted[name]:<16}{after[name]:<14}{verdict}")


def _complete(deployment: Mapping[str, Any]) -> bool:
    status, wanted = deployment.get("status", {}), deployment["spec"].get("replicas", 1)
    return bool(
        status.get("observedGeneration", 0) >= deployment["metadata"]["generation"]
        and status.get("updatedReplicas", 0) == wanted
        and status.get("replicas", 0) == wanted
        and status.get("availableReplicas", 0) == wanted
    )
