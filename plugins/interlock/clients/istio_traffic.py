"""Reads from Prometheus what traffic the sidecars of a namespace counted, for `interlock.mesh.traffic`.

The labels are those that Istio's sidecars and its default scrape jobs give: `namespace` and `pod` of whoever
was scraped, and port 15020 or 15090 in `instance`. Where they are others, sidecars look as if they weren't
scraped, and nothing passes.
"""

from __future__ import annotations

import json
from typing import Final

from interlock.clients.prometheus import Instant, PrometheusClient, Sample
from interlock.mesh.gate import LEAST_WINDOW
from interlock.mesh.traffic import UNKNOWN, Observation, Requests, Security, Source

_BEFORE: Final = "1h"
"""For how long before the window a counter is looked for that was gone when it began."""
_GROUPS: Final = (
    *("pod", "destination_workload", "destination_service", "source_workload", "source_workload_namespace"),
    *("source_principal", "response_code", "connection_security_policy"),
)


def observe(client: PrometheusClient, namespace: str, window: float, at: float) -> Observation:
    """What the sidecars of a namespace's pods counted of their inbound requests.

    An answer that Prometheus calls partial is kept, with its warnings as `problems`.

    Args:
        client: Where it is asked.
        namespace: The pods' namespace.
        window: Seconds to look at, a whole number of them, at least 10.
        at: The end of the window, in seconds since 1970.

    Raises:
        PrometheusError: It could not be asked; `Observation.unseen` says so to those who go on.
        ValueError: The window is too short.
    """
    if window < LEAST_WINDOW:
        raise ValueError(f"a window of {window:g} s: expected at least {LEAST_WINDOW:g}, for two scrapes")
    name, span = json.dumps(namespace), f"{window:.0f}s"
    of = f'reporter="destination",namespace={name}'
    counted = client.query(_increase(f"istio_requests_total{{{of}}}", span), at)
    durations = f'istio_request_duration_milliseconds_bucket{{{of},le="+Inf"}}'
    timed = client.query(f"count by (pod) (present_over_time({durations}[{span}]))", at)
    targets = f'up{{namespace={name},instance=~".+:(15020|15090)"}}'
    # A pod that is scraped by two jobs is seen if one of them reads it.
    scraped = client.query(f"max by (pod) (min_over_time({targets}[{span}]))", at)
    # As of now: of a target that was taken away nothing is seen any more.
    known = client.query(f"max by (pod) ({targets})", at)
    asked = (counted, timed, scraped, known)
    return Observation(
        namespace=namespace,
        window=window,
        requests=tuple(map(_requests, counted.samples)),
        scraped=dict.fromkeys(_pods(known, 1.0), True) | dict.fromkeys(_pods(scraped, 0.0), False),
        timed=frozenset(_pods(timed)),
        problems=tuple(dict.fromkeys(warning for answer in asked for warning in answer.warnings)),
    )


def _increase(series: str, span: str) -> str:
    """How much counters went up over a time, those that began within it included.

    Prometheus' `increase` starts from a counter's first sample. So of a counter that began with the first
    request it never sees that request, and one plaintext request alone would go unnoticed. A counter that was
    not there before began at zero.
    """
    born = f"(max_over_time({series}[{span}]) unless last_over_time({series}[{_BEFORE}] offset {span}))"
    return f"sum by ({', '.join(_GROUPS)}) ({born} or increase({series}[{span}]))"


def _requests(sample: Sample) -> Requests:
    label = {key: sample.labels.get(key) or UNKNOWN for key in _GROUPS}
    code = label["response_code"]
    return Requests(
        pod=label["pod"],
        workload=label["destination_workload"],
        service=label["destination_service"],
        source=Source(
            label["source_workload"], label["source_workload_namespace"], label["source_principal"]
        ),
        code=int(code) if code.isascii() and code.isdecimal() and len(code) < 4 else 0,
        security=Security.of(label["connection_security_policy"]),
        count=sample.value,
    )


def _pods(answer: Instant, value: float | None = None) -> list[str]:
    """The pods of an answer, those alone that have a value if one is given."""
    return [
        sample.labels.get("pod") or UNKNOWN
        for sample in answer.samples
        if value is None or sample.value == value
    ]
