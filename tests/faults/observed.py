"""A run that has ended, with all that can be read of it: Airflow, the cluster, the journal, the bucket."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from evidence_bucket import EvidenceBucket
from journals import service_journals
from train_runs import TrainRuns


@dataclass(frozen=True)
class Observed:
    """What a run did and left.

    Attributes:
        run_id: the run.
        state: its state.
        tasks: its tasks' states.
        started: when tasks started.
        ended: when tasks ended.
        specs: the spec of each Deployment before the run, and after it.
        whole: whether all rollouts were complete after it.
        holders: who then held locks of the train's services.
        heads: the state of the run's journal head.
        journals: the journal of each service.
        seal: the predicate of the run's seal.
    """

    train: TrainRuns
    run_id: str
    state: str
    tasks: Mapping[str, str | None]
    started: Mapping[str, datetime]
    ended: Mapping[str, datetime]
    specs: tuple[Mapping[str, Any], Mapping[str, Any]]
    whole: bool
    holders: Mapping[str, str]
    heads: list[str]
    journals: Mapping[str, Mapping[str, Any]]
    seal: Mapping[str, Any]

    def log(self, task: str) -> str:
        return self.train.log(self.run_id, task)

    def lines(self, task: str) -> list[dict[str, Any]]:
        return list(self.train.sandbox.task_log(self.train.dag_id, self.run_id, task))

    def seconds(self, task: str) -> float:
        return (self.ended[task] - self.started[task]).total_seconds()


def specs(train: TrainRuns) -> dict[str, Any]:
    """The spec of each of the train's Deployments."""
    return {name: item["spec"] for name, item in train.deployments().items()}


def observe(train: TrainRuns, run_id: str, before: Mapping[str, Any], timeout: float = 300) -> Observed:
    """Wait until a run has ended and read all there is; `before` are the specs at its start."""
    state, tasks = train.wait(run_id, timeout)
    started, ended = train.times(run_id)
    return Observed(
        train=train,
        run_id=run_id,
        state=state,
        tasks=tasks,
        started=started,
        ended=ended,
        specs=(before, specs(train)),
        whole=train.whole(),
        holders=train.holders(),
        heads=train.head_states(run_id),
        journals=service_journals(train, run_id),
        seal=EvidenceBucket(train.sandbox.env).seal(train.run_hash(run_id))[0],
    )
