"""Where the time of a run goes: from a service's beginning to its end, step by step, and along the path."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime

STEPS = (
    "start of the task that writes",
    "until the write",
    "until ready, beyond the delay",
    "until noticed",
    "end of the soak until the end of its last task",
)


@dataclass(frozen=True)
class ServiceTimes:
    """When what happened to one service.

    Attributes:
        began: when the last of its dependencies had ended; for the first ones when the run could begin.
        started: when the task that writes started in a worker; what only looks may have come long before.
        written: when the cluster showed the new image on its workload.
        ready: when its new pod was seen ready.
        complete: when the workload's status was seen complete.
        noticed: when the one who waits took it for complete.
        ended: when its last task had ended.
    """

    began: datetime
    started: datetime
    written: datetime
    ready: datetime
    complete: datetime
    noticed: datetime
    ended: datetime

    def steps(self, delay: float, soak: float) -> dict[str, float]:
        """Seconds beyond the delays, by step; together with the delays they make the service's whole time.

        Args:
            delay: seconds that a pod takes to become ready.
            soak: seconds that it has to hold from then on.
        """
        seconds = (
            _seconds(self.began, self.started),
            _seconds(self.started, self.written),
            _seconds(self.written, self.ready) - delay,
            _seconds(self.ready, self.noticed),
            _seconds(self.noticed, self.ended) - soak,
        )
        return dict(zip(STEPS, seconds, strict=True))


def critical_path(after: Mapping[str, Iterable[str]], ended: Mapping[str, datetime]) -> list[str]:
    """The services that the run waited for, first to last: from the last one back, always the latest."""
    path = [max(after, key=lambda name: ended[name])]
    while dependencies := list(after[path[-1]]):
        path.append(max(dependencies, key=lambda name: ended[name]))
    return path[::-1]


def mean_steps(steps: Iterable[Mapping[str, float]]) -> dict[str, float]:
    """The mean of each step."""
    rows = list(steps)
    return {step: sum(row[step] for row in rows) / len(rows) for step in STEPS} if rows else {}


def percentile(values: Iterable[float], share: float) -> float:
    """The smallest value that at least so large a share (0 to 1) of the values does not exceed."""
    ordered = sorted(values)
    if not ordered:
        raise ValueError("there are no values")
    return ordered[max(1, math.ceil(round(len(ordered) * share, 6))) - 1]


def over_time(samples: Iterable[tuple[float, float]], end: float, parts: int = 10) -> list[float]:
    """The mean of a sampled value in each of so many equal parts of a run.

    Args:
        samples: seconds since the run's beginning, and the value from then on.
        end: the run's length in seconds.
        parts: how many.
    """
    sums, counts = [0.0] * parts, [0] * parts
    for at, value in samples:
        if 0 <= at < end:
            part = int(at / end * parts)
            sums[part] += value
            counts[part] += 1
    return [total / count if count else 0.0 for total, count in zip(sums, counts, strict=True)]


def _seconds(start: datetime, end: datetime) -> float:
    return (end - start).total_seconds()
