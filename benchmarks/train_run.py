"""One run of one train, Interlock's or by hand: deploy, trigger, follow, record."""

from __future__ import annotations

import json
import os
import time
from datetime import UTC, datetime, timedelta

from benchmarks import audit, processor, project
from benchmarks.breakdown import ServiceTimes
from benchmarks.cluster import Cluster, Sightings, Watcher
from benchmarks.graph import Graph
from benchmarks.metadata import Metadata, Task
from benchmarks.result import BY_HAND, OURS, Record
from benchmarks.sampler import Sampler
from sandbox.parts.airflow import USER
from sandbox.state import State
from sandbox.train_api import TrainApi

_REPORT_SECONDS = 15.0
_ENDED = ("success", "failed")
_DAG_SECONDS = 300.0
_ROLLED_OUT = "successfully rolled out"


class RunFailed(Exception):
    """A run did not end as it has to; the message names it and its tasks' reasons."""


class Bench:
    """Runs trains on a running sandbox.

    Args:
        state: the sandbox.
        ready: seconds that a pod takes to become ready.
        soak: seconds that a release has to hold.
    """

    def __init__(self, state: State, ready: float, soak: float) -> None:
        self._state, self._ready, self._soak = state, ready, soak
        self._cluster = Cluster(state)

    def prepare(self) -> None:
        """Make the namespace."""
        self._cluster.prepare()

    def run(self, way: str, graph: Graph, head: str) -> Record:
        """Run one train.

        Args:
            way: OURS or BY_HAND.
            graph: the train.
            head: what begins each line of progress.

        Raises:
            RunFailed: it did not end well.
            ClusterError: the cluster did not get ready for it.
        """
        print(f"{head}: {graph.size} Deployments …", flush=True)
        self._cluster.deploy(graph, self._ready)
        dag_id = project.train_dag(graph) if way == OURS else project.by_hand_dag(graph)
        password = self._state.known_secret("airflow-password") or ""
        with (
            TrainApi(self._state.url("airflow"), USER, password, dag_id) as api,
            Metadata(self._state) as metadata,
        ):
            _wait_for_dag(api, dag_id)
            run_id = f"bench-{datetime.now(UTC):%Y%m%dT%H%M%S}"
            load, used = os.getloadavg()[0], processor.seconds(self._state)
            programs = processor.processes(self._state)
            with Watcher(self._state) as watcher, Sampler(self._state, dag_id, run_id) as sampler:
                api.trigger(run_id, _conf(graph) if way == OURS else {})
                self._follow(metadata, dag_id, run_id, graph, head)
            used = processor.between(used, processor.seconds(self._state))
            if restarted := dict(programs.items() ^ processor.processes(self._state).items()):
                raise RunFailed(
                    f"{', '.join(sorted(restarted))} ended during {dag_id} {run_id}, so its figures say "
                    f"nothing; see {self._state.log}/supervisord.log"
                )
            state, asked, ended = metadata.run(dag_id, run_id)
            tasks = metadata.tasks(dag_id, run_id)
            if state != "success" or ended is None:
                raise RunFailed(_explain(api, dag_id, run_id, state, tasks))
            if wrong := [
                name
                for name, image in self._cluster.images().items()
                if image != project.image(name, project.AFTER)
            ]:
                raise RunFailed(f"{dag_id} {run_id} ended well, and yet was not moved: {', '.join(wrong)}")
            noticed = (
                _noticed(metadata, dag_id, run_id)
                if way == OURS
                else self._seen_by_kubectl(dag_id, run_id, graph)
            )
        span = (asked - timedelta(seconds=0.5), ended + timedelta(seconds=0.5))
        lines = audit.read(self._state.log)
        return Record(
            way=way,
            graph=graph,
            ready=self._ready,
            soak=self._soak,
            dag_id=dag_id,
            run_id=run_id,
            asked=asked,
            ended=ended,
            tasks=tasks,
            services=_services(graph, tasks, asked, watcher.sightings, noticed),
            samples=sampler.samples,
            requests=audit.requests(lines, *span, kubectl=way == BY_HAND),
            processor=used,
            load=(load, os.getloadavg()[0]),
        )

    def _follow(self, metadata: Metadata, dag_id: str, run_id: str, graph: Graph, head: str) -> None:
        began = reported = time.monotonic()
        limit = 300 + graph.size * (self._ready + self._soak)
        while metadata.run(dag_id, run_id)[0] not in _ENDED:
            now = time.monotonic()
            if now - began > limit:
                raise RunFailed(f"{dag_id} {run_id} has not ended after {limit:.0f} s")
            if now - reported > _REPORT_SECONDS:
                reported = now
                busy = list(metadata.busy(dag_id, run_id).values())
                ended = _ended_services(graph, metadata.tasks(dag_id, run_id))
                print(
                    f"{head}: {now - began:4.0f} s, {ended} of {graph.size} services done, "
                    f"{busy.count('running')} running, {busy.count('deferred')} deferred",
                    flush=True,
                )
            time.sleep(0.5)

    def _seen_by_kubectl(self, dag_id: str, run_id: str, graph: Graph) -> dict[str, datetime]:
        """When kubectl said that a rollout is complete, from the tasks' logs."""
        folder = self._state.root / "airflow" / "logs" / f"dag_id={dag_id}" / f"run_id={run_id}"
        found = {}
        for service in graph.after:
            for line in (folder / f"task_id={service}" / "attempt=1.log").read_text().splitlines():
                event = json.loads(line)
                if _ROLLED_OUT in str(event.get("event")):
                    found[service] = datetime.fromisoformat(event["timestamp"].replace("Z", "+00:00"))
        return found


def _conf(graph: Graph) -> dict[str, str]:
    releases = dict.fromkeys(graph.after, project.AFTER)
    return {**releases, "environment": project.ENVIRONMENT, "reason": "benchmark"}


def _wait_for_dag(api: TrainApi, dag_id: str) -> None:
    end = time.monotonic() + _DAG_SECONDS
    while api.dag() is None:
        if time.monotonic() > end:
            raise RunFailed(f"Airflow has not read {dag_id} after {_DAG_SECONDS:.0f} s")
        time.sleep(1)


def _explain(api: TrainApi, dag_id: str, run_id: str, state: str, tasks: dict[str, Task]) -> str:
    lines = [f"{dag_id} {run_id} ended {state}:"]
    for task in tasks.values():
        if task.state == "failed":
            said = api.reason(run_id, {"task_id": task.task_id, "try_number": task.try_number})
            lines.append(f"  {task.task_id}: {said or 'its log names no reason'}")
    return "\n".join(lines)


def _noticed(metadata: Metadata, dag_id: str, run_id: str) -> dict[str, datetime]:
    """When the train's waits took the rollouts for complete."""
    return {
        task.partition(".")[0]: datetime.fromisoformat(value["ready_at"])
        for task, value in metadata.xcoms(dag_id, run_id, "rollout").items()
    }


def _of_service(graph: Graph, tasks: dict[str, Task]) -> dict[str, list[Task]]:
    found: dict[str, list[Task]] = {name: [] for name in graph.after}
    for task in tasks.values():
        if (service := task.task_id.partition(".")[0]) in found:
            found[service].append(task)
    return found


def _writer(tasks: list[Task]) -> Task:
    """The task that writes: `promote`, or by hand the only one."""
    return next((task for task in tasks if task.task_id.endswith(".promote")), tasks[0])


def _ended_services(graph: Graph, tasks: dict[str, Task]) -> int:
    return sum(all(task.state == "success" for task in own) for own in _of_service(graph, tasks).values())


def _services(
    graph: Graph,
    tasks: dict[str, Task],
    asked: datetime,
    sightings: Sightings,
    noticed: dict[str, datetime],
) -> dict[str, ServiceTimes]:
    """Put together when what happened to each service.

    Raises:
        RunFailed: something of it was not seen.
    """
    own = _of_service(graph, tasks)
    started = {name: _writer(found).started or asked for name, found in own.items()}
    ended = {name: max(task.ended for task in found if task.ended) for name, found in own.items()}
    seen = (sightings.written, sightings.ready, sightings.complete, noticed)
    if missing := sorted(name for name in graph.after if any(name not in of for of in seen)):
        raise RunFailed(f"the benchmark did not see all of {', '.join(missing)}")
    before = [
        task.ended
        for task in tasks.values()
        if task.ended and task.task_id.partition(".")[0] not in graph.after
    ]
    times = {}
    for name, after in graph.after.items():
        first = max((end for end in before if end <= started[name]), default=asked)
        times[name] = ServiceTimes(
            began=max((ended[one] for one in after), default=first),
            started=started[name],
            written=sightings.written[name],
            ready=sightings.ready[name],
            complete=sightings.complete[name],
            noticed=noticed[name],
            ended=ended[name],
        )
    return times
