"""The demo: two trains on the running sandbox, one that arrives and one that goes back, and their evidence.

Everything is done as a user would do it: the trains are triggered over Airflow's REST API, and what runs is
read from the cluster, not from what Interlock says of itself. The evidence is verified by an auditor's means.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import httpx

from sandbox.evidence_demo import Auditor, AuditorError
from sandbox.parts import kubernetes
from sandbox.parts.airflow import USER
from sandbox.state import State
from sandbox.train_api import TrainApi

DAG = "promotion_train__payments"
NAMESPACE = "payments"
SERVICES = ("service-a", "service-b", "service-c")
GOOD = ("1.1.0", "1.0.0")
CRASHES = "1.2.0-crash"
_TRAIN_SECONDS = 300.0
_DAG_SECONDS = 120.0
_POLL_SECONDS = 0.5
# What shows that the second train moved, failed at service-c and went back, not that it failed before.
_WENT_BACK = {"service-a.promote": "success", "service-c.promote": "failed", "rollback.service-a": "success"}
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


def demo(state: State) -> int:
    """Run two trains, one that arrives and one that goes back, verify their evidence; leave all running."""
    password = state.known_secret("airflow-password")
    if password is None:
        print(f"There is no sandbox in {state.root}; `python -m sandbox up` starts one.", file=sys.stderr)
        return 1
    url = state.url("airflow")
    runs: list[str] = []
    try:
        with TrainApi(url, USER, password, DAG) as api:
            _wait_for_dag(api)
            _wait_for_others(api)
            ok = _arrives(api, state, runs) and _goes_back(api, state, runs)
        if ok and not Auditor.of(state).show([(DAG, run_id) for run_id in runs]):
            return _failed(state, "the evidence is not as expected, see above", "seaweedfs.log")
    except AuditorError as error:
        return _failed(state, str(error), "seaweedfs.log")
    except DemoError as error:
        return _failed(state, str(error), error.log)
    except httpx.HTTPStatusError as error:
        text = f"Airflow's API answered {error.response.status_code}: {error.response.text[:500]}"
        return _failed(state, text, "airflow-api-server.log")
    except (httpx.HTTPError, KeyError, ValueError) as error:
        text = f"Airflow's API at {url} does not answer as expected: {type(error).__name__}: {error}"
        return _failed(state, text, "airflow-api-server.log")
    finally:
        _addresses(url, password, runs)
    return 0 if ok else _failed(state, "a train did not end as expected, see above", "airflow-*.log")


def live_releases(state: State) -> dict[str, str]:
    """What the cluster runs of each service: its image's tag, and whether that rollout is complete."""
    result = kubernetes.kubectl(state, "get", "deployments", "-n", NAMESPACE, "-o", "json")
    if result.returncode:
        raise DemoError(f"kubectl can't read the services: {result.stderr.strip()}", "kube-apiserver.log")
    releases = {}
    for item in json.loads(result.stdout)["items"]:
        if (name := item["metadata"]["name"]) in SERVICES:
            image = str(item["spec"]["template"]["spec"]["containers"][0]["image"])
            releases[name] = image.rpartition(":")[2] + ("" if _complete(item) else " (not ready)")
    if missing := set(SERVICES) - releases.keys():
        raise DemoError(f"the cluster has no {', '.join(sorted(missing))}", "kube-apiserver.log")
    return releases


def next_good(release: str) -> str:
    """The good release that a service doesn't run."""
    return GOOD[1] if release == GOOD[0] else GOOD[0]


def _complete(deployment: Mapping[str, Any]) -> bool:
    status, wanted = deployment.get("status", {}), deployment["spec"].get("replicas", 1)
    return bool(
        status.get("observedGeneration", 0) >= deployment["metadata"]["generation"]
        and status.get("updatedReplicas", 0) == wanted
        and status.get("replicas", 0) == wanted
        and status.get("availableReplicas", 0) == wanted
    )


def _arrives(api: TrainApi, state: State, runs: list[str]) -> bool:
    before = live_releases(state)
    wanted = {service: next_good(before[service]) for service in SERVICES}
    print("\nTrain 1: a good release of each service. It has to arrive.", flush=True)
    outcome = _ride(api, "demo-arrives", wanted, runs)
    after = live_releases(state)
    _table(before, wanted, after, "arrived", wanted)
    return _judge(outcome, "success", after, wanted, {})


def _goes_back(api: TrainApi, state: State, runs: list[str]) -> bool:
    before = live_releases(state)
    wanted = {service: next_good(before[service]) for service in SERVICES} | {"service-c": CRASHES}
    print("\nTrain 2: service-c crashes at its start. All three services have to go back.", flush=True)
    outcome = _ride(api, "demo-goes-back", wanted, runs)
    after = live_releases(state)
    _table(before, wanted, after, "as before", before)
    return _judge(outcome, "failed", after, before, _WENT_BACK)


def _ride(api: TrainApi, name: str, conf: dict[str, str], runs: list[str]) -> Outcome:
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
        if seconds > _TRAIN_SECONDS:
            busy = [task["task_id"] for task in tasks if task["state"] in ("running", "deferred", "queued")]
            raise DemoError(
                f"{run_id} is still {run} after {_TRAIN_SECONDS:.0f} s, at {', '.join(busy) or 'no task'}",
                "airflow-scheduler.log",
            )
        time.sleep(_POLL_SECONDS)
    failed = [task for task in tasks if task["state"] == "failed"]
    states = {task["task_id"]: task["state"] for task in tasks}
    return Outcome(run, seconds, states, {task["task_id"]: api.reason(run_id, task) for task in failed})


def _judge(
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


def _table(
    before: dict[str, str], wanted: dict[str, str], after: dict[str, str], word: str, expected: dict[str, str]
) -> None:
    print(f"\n  {'service':<12}{'before':<14}{'on the train':<16}after")
    for name in SERVICES:
        verdict = word if after[name] == expected[name] else "NOT " + word
        print(f"  {name:<12}{before[name]:<14}{wanted[name]:<16}{after[name]:<14}{verdict}")


def _wait_for_dag(api: TrainApi) -> None:
    """Wait until Airflow has read the train's file."""
    found = _until(api.dag, _DAG_SECONDS)
    if found is None:
        raise DemoError(
            f"Airflow has not read {DAG} within {_DAG_SECONDS:.0f} s", "airflow-dag-processor.log"
        )
    if found.get("is_paused"):
        raise DemoError(f"{DAG} is paused; unpause it in the UI", "airflow-scheduler.log")


def _wait_for_others(api: TrainApi) -> None:
    """Wait until no other run of the train is under way: what it moves would void the demo's plan."""
    if not (others := api.live_runs()):
        return
    print(f"Waiting until {', '.join(others)} ended …", flush=True)
    if _until(lambda: None if api.live_runs() else {}, _TRAIN_SECONDS) is None:
        raise DemoError(
            f"{', '.join(api.live_runs())} did not end within {_TRAIN_SECONDS:.0f} s", "airflow-scheduler.log"
        )


def _until(look: Callable[[], dict[str, Any] | None], seconds: float) -> dict[str, Any] | None:
    end = time.monotonic() + seconds
    while (found := look()) is None and time.monotonic() < end:
        time.sleep(_POLL_SECONDS)
    return found


def _addresses(url: str, password: str, runs: list[str]) -> None:
    print(f"\nAll of it goes on running: {url}  (user {USER}, password {password})")
    for run_id in runs:
        print(f"  {url}/dags/{DAG}/runs/{run_id}")
    sys.stdout.flush()


def _failed(state: State, text: str, log: str) -> int:
    print(f"demo: {text}\nLook into {state.log}/{log}.", file=sys.stderr)
    return 1
