"""Are the golden signals of a service in the mesh's metrics: rate, errors and duration of its requests.

Saturation, the fourth, is no matter of the mesh.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from interlock.mesh.traffic import Observation, traffic
from interlock.mesh.verdict import Answer


@dataclass(frozen=True, slots=True)
class GoldenSignals:
    """Whether the metrics of a service are there that alerts and baselines are made of.

    Attributes:
        rate: Requests were counted.
        errors: They were counted by their status, so that failures can be told.
        duration: Their durations were counted.
        reasons: Why something isn't there, or can't be told.
    """

    rate: Answer
    errors: Answer
    duration: Answer
    reasons: tuple[str, ...] = ()

    @property
    def present(self) -> Answer:
        """Whether all three are there."""
        found = (self.rate, self.errors, self.duration)
        return next((answer for answer in (Answer.NO, Answer.INDETERMINATE) if answer in found), Answer.YES)


def golden_signals(observation: Observation, pods: Collection[str]) -> GoldenSignals:
    """Whether rate, errors and duration of some pods are in the metrics.

    Args:
        observation: What was seen.
        pods: The names of the service's pods.
    """
    whole = traffic(observation, pods)
    if whole.seen is not Answer.YES:
        return GoldenSignals(whole.seen, whole.seen, whole.seen, whole.reasons)
    coded = any(one.code for one in observation.requests if one.pod in pods and one.count > 0)
    timed = not observation.timed.isdisjoint(pods)
    absent = Answer.INDETERMINATE if observation.problems else Answer.NO
    reasons = [
        *(() if coded else ("no request has a status in response_code",)),
        *(() if timed else ("there is no istio_request_duration_milliseconds_bucket",)),
    ]
    return GoldenSignals(
        Answer.YES,
        Answer.YES if coded else absent,
        Answer.YES if timed else absent,
        (*reasons, *(observation.problems if reasons else ())),
    )
