"""PeerAuthentication: its fields, and the mode that several of them together give a port.

Follows pilot/pkg/model/authentication.go and `ComposePeerAuthentication` of
pilot/pkg/security/authn/policy_applier.go:

- without a selector (or with an empty one) a policy holds for its namespace; in the root namespace for the
  mesh;
- a policy with a selector holds for workloads of its own namespace; *in the root namespace it holds for
  none*;
- the oldest of each scope wins, ties go by name, then namespace; absent or UNSET inherits from the wider
  scope;
- the ports of the winning workload policy count, and of no other; they are the container's ports.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from interlock.mesh.reading import Problem, labels, mapping, number, path, selects, text, timestamp
from interlock.mesh.verdict import Mode, Reason

Setting = Mode | Literal["UNSET", "INVALID"]
"""A mode, UNSET (inherits), or INVALID: Istio can't read the object, so what holds can't be told."""

_MODES: dict[object, Setting] = {
    "UNSET": "UNSET",
    "DISABLE": Mode.DISABLE,
    "PERMISSIVE": Mode.PERMISSIVE,
    "STRICT": Mode.STRICT,
    0: "UNSET",
    1: Mode.DISABLE,
    2: Mode.PERMISSIVE,
    3: Mode.STRICT,
}


@dataclass(frozen=True, slots=True)
class PeerAuthentication:
    """One PeerAuthentication. Build it with `of`.

    Attributes:
        namespace: Its namespace.
        name: Its name.
        created: When it was created, UTC.
        selector: The labels it asks for; empty holds for all.
        setting: Its mode.
        ports: Its modes for single ports.
        problems: What is wrong with it.
    """

    namespace: str
    name: str
    created: datetime
    selector: Mapping[str, str]
    setting: Setting
    ports: Mapping[int, Setting]
    problems: tuple[Problem, ...] = ()

    @classmethod
    def of(cls, raw: Mapping[str, object]) -> PeerAuthentication:
        """The policy of its JSON; what can't be read is among its problems."""
        metadata, spec = mapping(raw.get("metadata")), mapping(raw.get("spec"))
        problems: list[Problem] = []
        ports: dict[int, Setting] = {}
        given = spec.get("portLevelMtls")
        for key, value in mapping(given).items():
            port = number(key)
            if port is None or not 0 <= port <= 0xFFFFFFFF:
                problems.append(
                    Problem(f"spec.portLevelMtls.{key}", "expected a port from 1 to 65535", undecodable=True)
                )
                continue
            if not 1 <= port <= 65535:
                problems.append(Problem(f"spec.portLevelMtls.{key}", "port must be in range 1..65535"))
            ports[port] = _setting(value, f"spec.portLevelMtls.{key}", problems)
        selector = labels(path(spec, "selector", "matchLabels"))
        if isinstance(given, Mapping) and not given:
            problems.append(Problem("spec.portLevelMtls", "must have at least one element, if defined"))
        if ports and not selector:
            problems.append(
                Problem("spec.portLevelMtls", "a policy without selector can't have modes for ports; ignored")
            )
        setting = _setting(spec.get("mtls"), "spec.mtls", problems)
        if isinstance(path(spec, "selector"), Mapping) and not selector:
            said = "workload selector specified without labels: the policy is its namespace's"
            problems.append(Problem("spec.selector", said, warning=True))
        for key, value in selector.items():
            if "*" in key or "*" in value:
                problems.append(Problem("spec.selector", f"wildcards are not supported: {key}={value}"))
        if any(problem.undecodable for problem in problems):
            setting, ports = "INVALID", dict.fromkeys(ports, "INVALID")
        return cls(
            namespace=text(metadata.get("namespace")) or "default",
            name=text(metadata.get("name")),
            created=timestamp(metadata.get("creationTimestamp")),
            selector=selector,
            setting=setting,
            ports=ports,
            problems=tuple(problems),
        )

    @property
    def ref(self) -> str:
        """`PeerAuthentication payments/default`."""
        return f"PeerAuthentication {self.namespace}/{self.name}"

    @property
    def age_order(self) -> tuple[datetime, str, str]:
        """Sorts the oldest first; ties by name, then namespace (`sortConfigByCreationTime`)."""
        return (self.created, self.name, self.namespace)


@dataclass(frozen=True, slots=True)
class EffectiveMtls:
    """The mode of each port of a workload.

    Attributes:
        mode: The mode of ports without one of their own; None if it can't be told.
        ports: The modes of single ports; None as in `mode`.
        reasons: How `mode` came about, from the widest scope to the narrowest.
        port_reasons: How the mode of a single port came about.
    """

    mode: Mode | None
    ports: Mapping[int, Mode | None]
    reasons: tuple[Reason, ...]
    port_reasons: Mapping[int, Reason]

    def of_port(self, port: int) -> Mode | None:
        """The mode of a container's port; None if it can't be told."""
        return self.ports.get(port, self.mode)

    def why(self, port: int) -> tuple[Reason, ...]:
        """The chain that led to the mode of a port."""
        return (*self.reasons, self.port_reasons[port]) if port in self.port_reasons else self.reasons


def compose(
    policies: Sequence[PeerAuthentication], root_namespace: str, pod_labels: Mapping[str, str]
) -> EffectiveMtls:
    """What the policies of a workload's namespace and of the root namespace make of its ports.

    Args:
        policies: The policies of the two namespaces, oldest first in each.
        root_namespace: Where mesh-wide policies are.
        pod_labels: The labels of the workload's pod.
    """
    mesh = namespace = workload = None
    losers: list[Reason] = []
    for policy in policies:
        if not policy.selector:
            if policy.namespace == root_namespace:
                mesh, lost = _older(mesh, policy)
            else:
                namespace, lost = _older(namespace, policy)
        elif not selects(policy.selector, pod_labels):
            continue
        elif policy.namespace == root_namespace:
            losers.append(
                Reason("has a selector in the root namespace, so it holds for no workload", policy.ref)
            )
            continue
        else:
            workload, lost = _older(workload, policy)
        if lost:
            losers.append(Reason("is not the oldest of its scope, so it is ignored", lost.ref))
    mode: Mode | None = Mode.PERMISSIVE
    reasons = [Reason("without any policy the mode is PERMISSIVE")]
    for scope, policy_of_scope in (("mesh", mesh), ("namespace", namespace), ("workload", workload)):
        if policy_of_scope is None:
            continue
        setting = policy_of_scope.setting
        if setting == "UNSET":
            reasons.append(Reason(f"{scope}: no mode set, inherits", policy_of_scope.ref))
        elif setting == "INVALID":
            mode = None
            reasons.append(
                Reason(f"{scope}: Istio can't read it, so what holds is open", policy_of_scope.ref)
            )
        else:
            mode = Mode(setting)
            reasons.append(Reason(f"{scope}: {mode}", policy_of_scope.ref))
    ports: dict[int, Mode | None] = {}
    port_reasons: dict[int, Reason] = {}
    for port, setting in (workload.ports if workload else {}).items():
        ports[port] = mode if setting == "UNSET" else None if setting == "INVALID" else Mode(setting)
        said = f"{setting}, inherits" if setting == "UNSET" else setting
        port_reasons[port] = Reason(f"port {port}: {said}", workload.ref if workload else "")
    return EffectiveMtls(mode, ports, (*reasons, *losers), port_reasons)


def _older(
    holder: PeerAuthentication | None, other: PeerAuthentication
) -> tuple[PeerAuthentication, PeerAuthentication | None]:
    """The policy that wins, and the one that loses; `other` comes later in age order."""
    if holder is None:
        return other, None
    return (other, holder) if other.created < holder.created else (holder, other)


def _setting(value: object, field: str, problems: list[Problem]) -> Setting:
    if value is None:
        return "UNSET"
    if not isinstance(value, Mapping):
        problems.append(Problem(field, f"found {value!r}, expected an object with a mode", undecodable=True))
        return "INVALID"
    mode = value.get("mode")
    if mode is None:
        return "UNSET"
    if isinstance(mode, bool) or not isinstance(mode, str | int) or mode not in _MODES:
        known = ", ".join(str(key) for key in _MODES if isinstance(key, str))
        problems.append(
            Problem(f"{field}.mode", f"found {mode!r}, expected one of {known}", undecodable=True)
        )
        return "INVALID"
    return _MODES[mode]
