"""A train's run as the tests of faults handle it: its tasks, the clicks on them, what it wrote."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from running_sandbox import INTERLOCK_USER
from train_runs import NAMESPACE, TrainRuns

VERY_SLOW = "1.2.0-very-slow"  # takes longer than any test waits
SLOW = "1.2.0-slow"


class FaultRun:
    """One run.

    Args:
        train: the train whose run it is.
        conf: its releases and settings.
    """

    def __init__(self, train: TrainRuns, conf: Mapping[str, Any]) -> None:
        self.train = train
        self.sandbox = train.sandbox
        self.before = train.images()
        self._offset = self.sandbox.audit_offset()
        self._dag = f"/api/v2/dags/{train.dag_id}"
        self.run_id = train.trigger(conf)
        self._run = f"{self._dag}/dagRuns/{self.run_id}"

    # What it does

    @property
    def state(self) -> str:
        return self.train.run_state(self.run_id)

    def task(self, name: str) -> dict[str, Any]:
        return self.train.tasks(self.run_id)[name]

    def states(self) -> dict[str, str | None]:
        return self.train.task_states(self.run_id)

    def until(self, task: str, *states: str, timeout: float = 120) -> float:
        """Wait until a task is in one of the states; returns the seconds that took."""
        what = f"{task} of {self.run_id} to be {' or '.join(states)}"
        return self.sandbox.until(lambda: self.states().get(task) in states, timeout, what)

    def ended(self, timeout: float = 240) -> tuple[str, dict[str, str | None]]:
        """Wait until the run has ended; its state and those of its tasks."""
        return self.train.wait(self.run_id, timeout)

    # What people click

    def mark(self, state: str) -> None:
        self.sandbox.send("PATCH", self._run, {"state": state})

    def mark_task(self, task: str, state: str) -> None:
        self.sandbox.send("PATCH", f"{self._run}/taskInstances/{task}", {"new_state": state})

    def clear(self, *tasks: str, downstream: bool = False) -> None:
        body = {
            "dry_run": False,
            "dag_run_id": self.run_id,
            "task_ids": list(tasks),
            "only_failed": False,
            "include_downstream": downstream,
        }
        self.sandbox.send("POST", f"{self._dag}/clearTaskInstances", body)

    # What it left

    def writes(self, service: str) -> int:
        """How often the API server took a write of the service's Deployment from Interlock since then."""
        with (self.sandbox.root / "log" / "audit.log").open("rb") as stream:
            stream.seek(self._offset)
            events = [json.loads(line) for line in stream.read().split(b"\n")[:-1]]
        return sum(
            event["user"]["username"] == INTERLOCK_USER
            and event["verb"] in ("patch", "update")
            and event["objectRef"].get("resource") == "deployments"
            and event["objectRef"].get("name") == service
            and event["responseStatus"]["code"] < 300
            for event in events
        )

    def assert_closed(self) -> None:
        """Nothing of the run is left behind: its journal is closed, it holds no lock."""
        assert self.train.head_states(self.run_id) == ["closed"]
        holder = f"{self.train.dag_id}/{self.run_id}"
        assert holder not in self.train.holders().values()

    def assert_back(self, service: str, *, moved: bool = True) -> None:
        """The service is as before the run, which moved it once and took it back once.

        Args:
            service: the service.
            moved: whether it moved for certain; else the rollback may have had to write its fence alone.
        """
        image = self.train.images()[service]
        assert image == self.before[service], f"{service}: {image}, {self.states()}"
        writes = self.writes(service)
        assert writes == 2 if moved else writes <= 2, writes
        self.assert_closed()

    def assert_arrived(self, service: str, tag: str) -> None:
        """The service runs its new release, which was written once."""
        assert self.train.images()[service].endswith(f":{tag}"), self.states()
        assert self.writes(service) == 1
        self.assert_closed()


def bring(train: TrainRuns, tag: str = "1.0.0", **tags: str) -> None:
    """Set the train's services to a release by hand, once no run of it is under way.

    Args:
        train: whose services.
        tag: the release of all that `tags` doesn't name.
        tags: by the last letter of a service's name.
    """
    train.settle()
    for service, image in train.images().items():
        wanted = f"{image.rpartition(':')[0]}:{tags.get(service[-1], tag)}"
        if wanted != image:
            train.sandbox.kubectl_run(
                "-n", NAMESPACE, "set", "image", f"deployment/{service}", f"app={wanted}"
            )
    train.sandbox.until(train.whole, 90, f"the services of {train.dag_id} to be whole")
