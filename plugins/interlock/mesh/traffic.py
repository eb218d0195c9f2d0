"""What traffic a mesh's metrics showed, and where that differs from what its objects say.

It is a pure function of an `Observation`: the requests that the sidecars of a namespace counted over some
minutes, as their own side saw them (`reporter="destination"`). Sidecars count HTTP requests alone. Three
things are told apart: there was traffic; the sidecar was scraped all along and there was none; nobody can
tell. The last is never a pass.

A source's workload is what the caller's sidecar says of itself. Of a caller without one it is `unknown`, or
whatever the caller made up; the principal comes from its certificate.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from interlock.mesh.inbound import port_verdict, ports
from interlock.mesh.injection import injection
from interlock.mesh.mesh import Mesh
from interlock.mesh.messages import message
from interlock.mesh.service import Protocol
from interlock.mesh.verdict import Answer, Finding
from interlock.mesh.workload import Proxy, Workload

UNKNOWN = "unknown"


class Security(StrEnum):
    """How the connection of a request was secured, as Istio's metrics say."""

    MUTUAL_TLS = "mutual_tls"
    NONE = "none"
    UNKNOWN = "unknown"

    @classmethod
    def of(cls, told: str) -> Security:
        """The word of the label `connection_security_policy`."""
        return cls(told) if told in (cls.MUTUAL_TLS, cls.NONE) else cls.UNKNOWN


@dataclass(frozen=True, slots=True)
class Source:
    """Who sent requests; `unknown` where the metrics don't know it.

    Attributes:
        workload: The caller's workload, by its own word.
        namespace: Its namespace, by its own word.
        principal: The identity in its certificate.
    """

    workload: str = UNKNOWN
    namespace: str = UNKNOWN
    principal: str = UNKNOWN

    def __str__(self) -> str:
        if self.workload == UNKNOWN:
            return "a caller without a sidecar" if self.principal == UNKNOWN else self.principal
        return f"{self.namespace}/{self.workload}"


@dataclass(frozen=True, slots=True)
class Requests:
    """Requests of one kind that a pod's sidecar counted.

    Attributes:
        pod: The pod that they came to.
        workload: Its workload, as the metrics say.
        service: The Service that they were for; `unknown` if none.
        source: Who sent them.
        code: The HTTP status; 0 where there was none, or it can't be read.
        security: How the connection was secured.
        count: How many over the window; an estimate at its edges, so not a whole number.
    """

    pod: str
    workload: str
    service: str
    source: Source
    code: int
    security: Security
    count: float

    @property
    def failed(self) -> bool:
        """Whether it counts as an error, as Istio's dashboards have it: the server's fault, or no answer."""
        return self.code >= 500 or self.code == 0


@dataclass(frozen=True, slots=True)
class Observation:
    """What was seen of a namespace's traffic.

    Attributes:
        namespace: The namespace.
        window: Seconds that were looked at, up to the moment of looking.
        requests: What the sidecars counted, in groups.
        scraped: By pod that is scraped now, whether its sidecar's metrics were read in all of the window
            since it was first seen.
        timed: The pods that have a histogram of durations.
        problems: Why something could not be seen; with one, nothing can be said to be absent.
    """

    namespace: str
    window: float
    requests: tuple[Requests, ...] = ()
    scraped: Mapping[str, bool] = field(default_factory=dict)
    timed: frozenset[str] = frozenset()
    problems: tuple[str, ...] = ()

    @classmethod
    def unseen(cls, namespace: str, window: float, why: str) -> Observation:
        """Nothing could be seen."""
        return cls(namespace, window, problems=(why,))

    def pods_of(self, workload: str) -> frozenset[str]:
        """The pods whose metrics name this workload."""
        return frozenset(one.pod for one in self.requests if one.workload == workload)


@dataclass(frozen=True, slots=True)
class Traffic:
    """What was seen of some pods, together: one pod, or all of a workload.

    Attributes:
        seen: Whether there were requests.
        requests: How many.
        plaintext: How many came in the clear.
        unknown: Of how many the security can't be told.
        errors: How many failed.
        plaintext_sources: Who sent in the clear.
        reasons: Why `seen` is what it is.
    """

    seen: Answer
    requests: float
    plaintext: float
    unknown: float
    errors: float
    plaintext_sources: tuple[Source, ...]
    reasons: tuple[str, ...]

    @property
    def share_plaintext(self) -> float | None:
        """The ratio of requests in the clear; None without traffic, or where not all can be told."""
        return self.plaintext / self.requests if self.requests and not self.unknown else None

    @property
    def share_errors(self) -> float | None:
        """The ratio of requests that failed; None without traffic."""
        return self.errors / self.requests if self.requests else None


def traffic(observation: Observation, pods: Collection[str]) -> Traffic:
    """What was seen of some pods of the observation's namespace.

    Args:
        observation: What was seen.
        pods: The names of the pods that are to be looked at; none can't be judged.
    """
    found = [one for one in observation.requests if one.pod in pods and one.count > 0]
    seen, reasons = Answer.YES, [f"{_sum(found):.0f} requests in {_minutes(observation)}"]
    if not found:
        blind = _blind(observation, pods)
        seen = Answer.INDETERMINATE if blind else Answer.NO
        reasons = list(blind) or [f"scraped, and no request in {_minutes(observation)}"]
    plain = [one for one in found if one.security is Security.NONE]
    return Traffic(
        seen=seen,
        requests=_sum(found),
        plaintext=_sum(plain),
        unknown=_sum(one for one in found if one.security is Security.UNKNOWN),
        errors=_sum(one for one in found if one.failed),
        plaintext_sources=tuple(
            dict.fromkeys(one.source for one in sorted(plain, key=lambda one: -one.count))
        ),
        reasons=tuple(reasons),
    )


def workload_traffic(observation: Observation) -> dict[str, Traffic]:
    """What was seen of each workload that the metrics name, by its name."""
    names = sorted({one.workload for one in observation.requests})
    return {name: traffic(observation, observation.pods_of(name)) for name in names}


def traffic_findings(mesh: Mesh, observation: Observation) -> tuple[Finding, ...]:
    """Where the traffic of a namespace's pods differs from what its objects say, or can't be told.

    Args:
        mesh: The objects, with the namespace's pods.
        observation: What was seen of the same namespace at about the same time.
    """
    found: list[Finding] = []
    if observation.problems:
        why = "; ".join(observation.problems)
        found.append(message("ILM014", f"Namespace {observation.namespace}", why))
    for workload in mesh.workloads:
        judged = workload.live and workload.namespace == observation.namespace
        if judged and workload.proxy is Proxy.SIDECAR and injection(mesh, workload).sidecar is Answer.YES:
            found += _of_pod(mesh, workload, observation)
    return tuple(found)


def _of_pod(mesh: Mesh, workload: Workload, observation: Observation) -> Iterator[Finding]:
    whole, minutes = traffic(observation, [workload.name]), _minutes(observation)
    if whole.plaintext and (why := _refuses_plaintext(mesh, workload)):
        sources = ", ".join(map(str, whole.plaintext_sources))
        yield message("ILM012", workload.ref, f"{whole.plaintext:.0f}", minutes, sources, why)
    if whole.seen is Answer.NO:
        yield message("ILM013", workload.ref, minutes)
    elif whole.unknown:
        yield message("ILM014", workload.ref, f"how {whole.unknown:.0f} requests were secured")
    # What is wrong with all of them is said once, of the namespace.
    elif not observation.problems and (blind := _blind(observation, [workload.name])):
        yield message("ILM014", workload.ref, "; ".join(blind))


def _refuses_plaintext(mesh: Mesh, workload: Workload) -> str:
    """By which rule a sidecar lets no HTTP request in the clear in; empty if one may come in somewhere.

    The metrics don't tell the port. Ports that bypass the sidecar are not in them.
    """
    declared = [verdict for verdict in ports(mesh, workload) if not verdict.bypassed]
    taken = {verdict.port for verdict in ports(mesh, workload)}
    other = port_verdict(mesh, workload, next(port for port in range(1, 65536) if port not in taken))
    counted = [one for one in declared if one.protocol is not Protocol.TCP]
    counted += [] if other.bypassed else [other]
    if not counted or any(verdict.plaintext is not Answer.NO for verdict in counted):
        return ""
    return "; ".join(map(str, counted[0].reasons[-2:]))


def _blind(observation: Observation, pods: Collection[str]) -> tuple[str, ...]:
    """Why traffic that wasn't seen may have been there all the same."""
    if observation.problems:
        return observation.problems
    if not pods:
        return ("there is no pod",)
    return tuple(
        f"Prometheus does not scrape the sidecar of {pod}"
        if pod not in observation.scraped
        else f"Prometheus could not scrape the sidecar of {pod} all the time"
        for pod in sorted(pods)
        if not observation.scraped.get(pod)
    )


def _sum(found: Iterable[Requests]) -> float:
    return sum(one.count for one in found)


def _minutes(observation: Observation) -> str:
    return f"the last {observation.window / 60:g} minutes"
