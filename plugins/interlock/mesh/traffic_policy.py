"""The TLS part of a DestinationRule's traffic policies, and which of them counts for a port and a subset.

Follows `MergeSubsetTrafficPolicy` of pilot/pkg/networking/util/util.go for what a client's cluster is told,
and `tlsModeForDestinationRule` of pilot/pkg/xds/endpoints/mtls_checker.go for what its endpoints are told.
The two differ where a port has settings but no TLS of its own: the cluster then forgets the TLS of the wider
scope, the endpoints keep it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from interlock.mesh.reading import Problem, items, labels, mapping, number, path, text


class TlsMode(StrEnum):
    """How a client connects; INVALID is a mode that Istio can't read."""

    DISABLE = "DISABLE"
    SIMPLE = "SIMPLE"
    MUTUAL = "MUTUAL"
    ISTIO_MUTUAL = "ISTIO_MUTUAL"
    INVALID = "INVALID"


_MODES: dict[object, TlsMode] = {
    None: TlsMode.DISABLE,
    0: TlsMode.DISABLE,
    1: TlsMode.SIMPLE,
    2: TlsMode.MUTUAL,
    3: TlsMode.ISTIO_MUTUAL,
    **{mode.value: mode for mode in (TlsMode.DISABLE, TlsMode.SIMPLE, TlsMode.MUTUAL, TlsMode.ISTIO_MUTUAL)},
}


@dataclass(frozen=True, slots=True)
class ClientTls:
    """TLS settings of a client."""

    mode: TlsMode
    certificates: bool
    ca_certificates: str
    credential: str
    insecure: bool


@dataclass(frozen=True, slots=True)
class PortPolicy:
    """The settings of one port; `tls` and `passthrough` are None if it has none of its own."""

    number: int
    tls: ClientTls | None
    passthrough: bool | None


@dataclass(frozen=True, slots=True)
class TrafficPolicy:
    """What of a traffic policy matters: TLS, also of single ports, and whether balancing is PASSTHROUGH."""

    tls: ClientTls | None
    ports: tuple[PortPolicy, ...]
    passthrough: bool | None

    @classmethod
    def of(cls, raw: object, field: str, problems: list[Problem]) -> TrafficPolicy | None:
        """The policy of its JSON; None if there is none."""
        if not isinstance(raw, Mapping):
            return None
        ports = []
        for index, entry in enumerate(map(mapping, items(raw.get("portLevelSettings")))):
            at = f"{field}.portLevelSettings.{index}"
            port = number(path(entry, "port", "number"))
            if port is None or not 1 <= port <= 65535:
                problems.append(Problem(f"{at}.port", "port must be in range 1..65535"))
                continue
            ports.append(PortPolicy(port, _tls(entry.get("tls"), f"{at}.tls", problems), _passthrough(entry)))
        return cls(_tls(raw.get("tls"), f"{field}.tls", problems), tuple(ports), _passthrough(raw))

    def port(self, number_: int) -> PortPolicy | None:
        """The settings of a port; None if it has none."""
        return next((policy for policy in self.ports if policy.number == number_), None)

    def of_cluster(self, number_: int) -> tuple[ClientTls | None, bool]:
        """The TLS of a port, and whether it has settings of its own, which replace all wider ones."""
        found = self.port(number_)
        return (self.tls, False) if found is None else (found.tls, True)

    def direct(self, number_: int) -> tuple[bool | None, bool]:
        """As `of_cluster`, of PASSTHROUGH."""
        found = self.port(number_)
        return (self.passthrough, False) if found is None else (found.passthrough, True)

    def of_endpoints(self, number_: int) -> ClientTls | None:
        """The TLS of a port, else that of the policy."""
        for policy in self.ports:
            if policy.number == number_ and policy.tls is not None:
                return policy.tls
        return self.tls


@dataclass(frozen=True, slots=True)
class Subset:
    """A subset of a service's pods, and its policy."""

    name: str
    labels: Mapping[str, str]
    policy: TrafficPolicy | None


def subsets(raw: object, problems: list[Problem]) -> tuple[Subset, ...]:
    """The subsets of a rule's JSON."""
    return tuple(
        Subset(
            text(entry.get("name")),
            labels(entry.get("labels")),
            TrafficPolicy.of(entry.get("trafficPolicy"), f"spec.subsets.{index}.trafficPolicy", problems),
        )
        for index, entry in enumerate(map(mapping, items(raw)))
    )


def cluster_tls(policy: TrafficPolicy | None, subset: Subset | None, port: int) -> ClientTls | None:
    """What the cluster of a port and subset is told: the subset's over the rule's, a port's over the rest."""
    base = policy.of_cluster(port)[0] if policy is not None else None
    if subset is None or subset.policy is None:
        return base
    found, replaces = subset.policy.of_cluster(port)
    return found if found is not None or replaces else base


def cluster_direct(policy: TrafficPolicy | None, subset: Subset | None, port: int) -> bool:
    """Whether the cluster of a port and subset sends to the address that was called, and balances nothing.

    A subset's cluster does so too if that of the whole service does.
    """
    if policy is not None and policy.direct(port)[0] is True:
        return True
    if subset is None or subset.policy is None:
        return False
    return subset.policy.passthrough is True or subset.policy.direct(port)[0] is True


def endpoint_tls(policy: TrafficPolicy | None, subset: Subset | None, port: int) -> ClientTls | None:
    """What the endpoints of a port and subset are told."""
    if subset is not None and subset.policy is not None:
        found = subset.policy.of_endpoints(port)
        if found is not None:
            return found
    return policy.of_endpoints(port) if policy is not None else None


def _tls(raw: object, field: str, problems: list[Problem]) -> ClientTls | None:
    if raw is None:
        return None
    found = mapping(raw)
    given = found.get("mode")
    mode = _MODES.get(given) if isinstance(given, str | int | None) and not isinstance(given, bool) else None
    if mode is None or not isinstance(raw, Mapping):
        known = ", ".join(str(key) for key in _MODES if isinstance(key, str))
        problems.append(
            Problem(f"{field}.mode", f"found {given!r}, expected one of {known}", undecodable=True)
        )
        mode = TlsMode.INVALID
    return ClientTls(
        mode=mode,
        certificates=bool(text(found.get("clientCertificate")) and text(found.get("privateKey"))),
        ca_certificates=text(found.get("caCertificates")),
        credential=text(found.get("credentialName")),
        insecure=found.get("insecureSkipVerify") is True,
    )


def _passthrough(raw: Mapping[str, object]) -> bool | None:
    given = raw.get("loadBalancer")
    return given.get("simple") in ("PASSTHROUGH", 3) if isinstance(given, Mapping) else None
