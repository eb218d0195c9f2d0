"""The metrics that Interlock sends, through Airflow's own exporter (`[metrics]`: StatsD or OpenTelemetry).

They are what an operator would alert on. All are sent from workers: a triggerer has no exporter for tasks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal


@dataclass(frozen=True)
class Metric:
    """One metric.

    Attributes:
        name: its name, after Airflow's prefix.
        kind: what it is for the exporter.
        unit: what is counted or measured.
        tags: the names of its tags.
        meaning: when it is sent, and what it says.
    """

    name: str
    kind: Literal["counter", "gauge", "timer"]
    unit: str
    tags: tuple[str, ...]
    meaning: str


TRAIN_ENDED: Final = Metric(
    "interlock.train.ended",
    "counter",
    "runs",
    ("train", "environment", "verdict"),
    "a run of a train was closed, with its verdict",
)
ROLLBACK: Final = Metric(
    "interlock.rollback",
    "counter",
    "services",
    ("train", "environment", "service"),
    "a service was taken back to what it was before the run",
)
LOCK_WAITED: Final = Metric(
    "interlock.lock.waited",
    "timer",
    "milliseconds",
    ("train", "environment"),
    "for how long a run waited for its locks; sent when the run is closed",
)
SPOOL_WAITING: Final = Metric(
    "interlock.spool.waiting",
    "gauge",
    "statements",
    (),
    "statements that still wait in the spool after a shipping",
)
EVIDENCE_FINDINGS: Final = Metric(
    "interlock.evidence.findings",
    "gauge",
    "findings",
    ("weight",),
    "what the last verification of the evidence log found: `bad` or `notice`",
)
EVIDENCE_PROVEN: Final = Metric(
    "interlock.evidence.proven",
    "gauge",
    "entries",
    (),
    "entries of the newest log that are under a signed head, by the last verification",
)
EVIDENCE_VERIFICATION: Final = Metric(
    "interlock.evidence.verification",
    "timer",
    "milliseconds",
    (),
    "how long a verification of the evidence log took",
)


def count(metric: Metric, **tags: str) -> None:
    """Count one more."""
    from airflow.sdk.observability import stats

    stats.incr(metric.name, tags=_checked(metric, tags))


def measure(metric: Metric, value: float, **tags: str) -> None:
    """Send a gauge's value, or a timer's in its unit."""
    from airflow.sdk.observability import stats

    if metric.kind == "timer":
        stats.timing(metric.name, value, tags=_checked(metric, tags))
    else:
        stats.gauge(metric.name, value, tags=_checked(metric, tags))


def _checked(metric: Metric, tags: dict[str, str]) -> dict[str, str]:
    if set(tags) != set(metric.tags):
        raise ValueError(
            f"{metric.name} has the tags {', '.join(metric.tags) or 'none'}, not {', '.join(tags)}"
        )
    return tags
