"""What one run came to: plain figures, made of what was recorded of it."""

from __future__ import annotations

import itertools
import statistics
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any

from benchmarks.breakdown import ServiceTimes, critical_path, mean_steps, over_time, percentile
from benchmarks.graph import Graph
from benchmarks.metadata import Task
from benchmarks.sampler import Samples

OURS, BY_HAND = "interlock", "by hand"


@dataclass(frozen=True)
class Record:
    """What was recorded of a run.

    Attributes:
        way: OURS or BY_HAND.
        graph: the train.
        ready: seconds that a pod takes to become ready.
        soak: seconds that a release has to hold.
        dag_id: the DAG.
        run_id: the run.
        asked: when the run was asked for.
        ended: when it had ended.
        tasks: its task instances.
        services: when what happened to each service.
        samples: what was sampled meanwhile.
        requests: what Interlock's account asked of the API server, by verb and resource.
        processor: seconds of processor time that each of the sandbox's programs used meanwhile.
        load: the machine's load average over a minute, at the beginning and at the end.
    """

    way: str
    graph: Graph
    ready: float
    soak: float
    dag_id: str
    run_id: str
    asked: datetime
    ended: datetime
    tasks: Mapping[str, Task]
    services: Mapping[str, ServiceTimes]
    samples: Samples
    requests: Mapping[str, int]
    processor: Mapping[str, float]
    load: tuple[float, float]


def figures(record: Record) -> dict[str, Any]:
    """A run's figures as JSON; seconds, bytes and counts."""
    graph, services = record.graph, record.services
    makespan = (record.ended - record.asked).total_seconds()
    path = critical_path(graph.after, {name: times.ended for name, times in services.items()})
    steps = {name: services[name].steps(record.ready, record.soak) for name in services}
    first, last = services[path[0]], services[path[-1]]
    noticing = [(times.noticed - times.ready).total_seconds() for times in services.values()]
    after_status = [(times.noticed - times.complete).total_seconds() for times in services.values()]
    slots = [
        ((at - record.asked).total_seconds(), float(counts["running"]))
        for at, counts in record.samples.states
    ]
    used = [value for at, value in slots if 0 <= at < makespan]
    queued = [counts["queued"] for _, counts in record.samples.states]
    return {
        "way": record.way,
        "train": graph.name,
        "services": graph.size,
        "depth": graph.depth,
        "dag_id": record.dag_id,
        "run_id": record.run_id,
        "asked": record.asked.isoformat(),
        "bound": graph.bound(record.ready + record.soak),
        "makespan": makespan,
        "before_the_first_service": (first.began - record.asked).total_seconds(),
        "after_the_last_service": (record.ended - last.ended).total_seconds(),
        "path": [{"service": name, **steps[name]} for name in path],
        "mean_steps_on_path": mean_steps(steps[name] for name in path),
        "mean_steps": mean_steps(steps.values()),
        "tasks": sum(task.state == "success" for task in record.tasks.values()),
        "task_kinds": _kinds(record),
        "slots": {
            "mean": statistics.fmean(used),
            "most": max(used),
            "tenths": over_time(slots, makespan),
            "most_queued": max(queued),
            "seconds": statistics.fmean(used) * makespan,
        },
        "memory": {
            "triggerer_first": record.samples.triggerer[0][1],
            "triggerer_most": max(value for _, value in record.samples.triggerer),
            "workers_first": record.samples.workers[0][1],
            "workers_most": max(value for _, value in record.samples.workers),
        },
        "requests": dict(sorted(record.requests.items(), key=lambda item: -item[1])),
        "requests_per_service": sum(record.requests.values()) / graph.size,
        "noticing": _shares(noticing),
        "noticing_after_status": _shares(after_status),
        "processor": {name: round(used, 2) for name, used in record.processor.items()},
        "load": list(record.load),
        "problems": record.samples.problems,
    }


def raw(record: Record) -> dict[str, Any]:
    """All that was recorded of a run, as JSON values."""
    return {
        "run_id": record.run_id,
        "after": {name: list(after) for name, after in record.graph.after.items()},
        "services": {name: asdict(times) for name, times in record.services.items()},
        "tasks": [asdict(task) for task in record.tasks.values()],
        "deferred": record.samples.deferred,
        "states": record.samples.states,
        "triggerer": record.samples.triggerer,
        "workers": record.samples.workers,
    }


def _kinds(record: Record) -> dict[str, dict[str, float]]:
    """Median seconds of the tasks of one kind: until queued, until started, in the worker, deferred."""
    kinds: dict[str, list[tuple[float, float, float, float]]] = {}
    for task in record.tasks.values():
        # What is left out was ended by the scheduler itself.
        somewhere = task.queued or task.task_id in record.samples.deferred
        if not (somewhere and task.started and task.ended):
            continue
        service, _, rest = task.task_id.partition(".")
        kind = (rest or "service") if service in record.graph.after else task.task_id
        before = (task.scheduled or task.started, task.queued or task.started)
        moments = [*before, task.started, _left(record, task, task.started), task.ended]
        spans = [(b - a).total_seconds() for a, b in itertools.pairwise(moments)]
        kinds.setdefault(kind, []).append((spans[0], spans[1], spans[2], spans[3]))
    names = ("until_queued", "until_started", "in_worker", "deferred")
    return {
        kind: {
            "tasks": len(rows),
            **{name: statistics.median(row[place] for row in rows) for place, name in enumerate(names)},
        }
        for kind, rows in kinds.items()
    }


def _left(record: Record, task: Task, started: datetime) -> datetime:
    """When a task left its worker: when it was seen deferred or had ended; at once if it never was in one."""
    if task.queued is None:
        return started
    assert task.ended is not None
    return min(record.samples.deferred.get(task.task_id, task.ended), task.ended)


def _shares(values: list[float]) -> dict[str, float]:
    return {"p50": percentile(values, 0.5), "p99": percentile(values, 0.99), "most": max(values)}
