"""The demo: trains on the running sandbox that arrive, go back and are refused, and their evidence.

Everything is done as a user would do it: the trains are triggered over Airflow's REST API, and what runs is
read from the cluster, not from what Interlock says of itself. The evidence is verified by an auditor's means.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

import httpx

from sandbox.evidence_demo import Auditor, AuditorError
from sandbox.mesh_demo import is_refused, take_back
from sandbox.parts.airflow import USER
from sandbox.rides import (
    POLL_SECONDS,
    SERVICES,
    TRAIN_SECONDS,
    DemoError,
    judge,
    live_releases,
    next_good,
    ride,
    table,
)
from sandbox.state import State
from sandbox.train_api import TrainApi

DAG = "promotion_train__payments"
CRASHES = "1.2.0-crash"
_DAG_SECONDS = 120.0
# What shows that the second train moved, failed at service-c and went back, not that it failed before.
_WENT_BACK = {"service-a.promote": "success", "service-c.promote": "failed", "rollback.service-a": "success"}


def demo(state: State) -> int:
    """Run trains that arrive, go back and are refused, and verify their evidence; leave all running."""
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
            take_back(state)
            moved = _arrives(api, state, runs) and _goes_back(api, state, runs)
            evidence = [(DAG, run_id) for run_id in runs]
            ok = moved and is_refused(api, state, runs)
        if ok and not Auditor.of(state).show(evidence):
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


def _arrives(api: TrainApi, state: State, runs: list[str]) -> bool:
    before = live_releases(state)
    wanted = {service: next_good(before[service]) for service in SERVICES}
    print("\nTrain 1: a good release of each service. It has to arrive.", flush=True)
    outcome = ride(api, "demo-arrives", wanted, runs)
    after = live_releases(state)
    table(before, wanted, after, "arrived", wanted)
    return judge(outcome, "success", after, wanted, {})


def _goes_back(api: TrainApi, state: State, runs: list[str]) -> bool:
    before = live_releases(state)
    wanted = {service: next_good(before[service]) for service in SERVICES} | {"service-c": CRASHES}
    print("\nTrain 2: service-c crashes at its start. All three services have to go back.", flush=True)
    outcome = ride(api, "demo-goes-back", wanted, runs)
    after = live_releases(state)
    table(before, wanted, after, "as before", before)
    return judge(outcome, "failed", after, before, _WENT_BACK)


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
    if _until(lambda: None if api.live_runs() else {}, TRAIN_SECONDS) is None:
        raise DemoError(
            f"{', '.join(api.live_runs())} did not end within {TRAIN_SECONDS:.0f} s", "airflow-scheduler.log"
        )


def _until(look: Callable[[], dict[str, Any] | None], seconds: float) -> dict[str, Any] | None:
    end = time.monotonic() + seconds
    while (found := look()) is None and time.monotonic() < end:
        time.sleep(POLL_SECONDS)
    return found


def _addresses(url: str, password: str, runs: list[str]) -> None:
    print(f"\nAll of it goes on running: {url}  (user {USER}, password {password})")
    for run_id in runs:
        print(f"  {url}/dags/{DAG}/runs/{run_id}")
    sys.stdout.flush()


def _failed(state: State, text: str, log: str) -> int:
    print(f"demo: {text}\nLook into {state.log}/{log}.", file=sys.stderr)
    return 1
