"""Which workloads a policy is for: its selector, or its targetRefs.

Follows `ShouldAttachPolicy` of pilot/pkg/model/policyattachment.go, with istiod's default features. It holds
for AuthorizationPolicy and RequestAuthentication; PeerAuthentication knows selectors alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from interlock.mesh.reading import Problem, items, labels, mapping, path, selects, text
from interlock.mesh.workload import Workload

_ALLOWED = {
    ("", "Service"),
    ("core", "Service"),
    ("gateway.networking.k8s.io", "Gateway"),
    ("gateway.networking.k8s.io", "GatewayClass"),
    ("networking.istio.io", "ServiceEntry"),
}


@dataclass(frozen=True, slots=True)
class TargetRef:
    """An object that a policy names instead of selecting workloads."""

    group: str
    kind: str
    name: str
    namespace: str


@dataclass(frozen=True, slots=True)
class Selection:
    """Whom a policy is for. Build it with `of`.

    Attributes:
        selector: The labels it asks for; None if it has no selector, empty selects all.
        target_refs: The objects it names; with any, it does not hold for sidecars.
        problems: What is wrong with them.
        single: Whether the object it names is in the field `targetRef`.
    """

    selector: Mapping[str, str] | None
    target_refs: tuple[TargetRef, ...]
    problems: tuple[Problem, ...] = ()
    single: bool = False

    @classmethod
    def of(cls, spec: Mapping[str, object]) -> Selection:
        """The selection of a policy's spec."""
        problems: list[Problem] = []
        given = spec.get("selector")
        selector = labels(path(given, "matchLabels")) if isinstance(given, Mapping) else None
        listed = items(spec.get("targetRefs"))
        single = (spec["targetRef"],) if isinstance(spec.get("targetRef"), Mapping) else ()
        if sum((selector is not None, bool(listed), bool(single))) > 1:
            problems.append(
                Problem(
                    "spec",
                    "only one of selector and targetRefs can be set; with both, sidecars ignore the policy",
                )
            )
        if selector is not None and not selector:
            said = "workload selector specified without labels: it selects every workload in scope"
            problems.append(Problem("spec.selector", said, warning=True))
        for key, value in (selector or {}).items():
            if "*" in key or "*" in value:
                problems.append(Problem("spec.selector", f"wildcards are not supported: {key}={value}"))
        refs = tuple(_target_ref(mapping(ref)) for ref in listed or single)
        for ref in refs:
            if (ref.group, ref.kind) not in _ALLOWED:
                problems.append(
                    Problem(
                        "spec.targetRefs", f"found {ref.group}/{ref.kind}, expected Gateway, Service or such"
                    )
                )
            if ref.namespace:
                problems.append(Problem("spec.targetRefs", "a targetRef must not name a namespace"))
            if not ref.name:
                problems.append(Problem("spec.targetRefs", "a targetRef must have a name"))
        return cls(selector, refs, tuple(problems), bool(single))

    def holds_for(self, workload: Workload, policy_namespace: str) -> bool:
        """Whether the policy is for this workload of its scope; waypoints aren't judged."""
        gateway = workload.gateway_name
        if gateway is None or not self.target_refs:
            return not self.target_refs and selects(self.selector or {}, workload.labels)
        return any(
            (ref.group, ref.kind, ref.name) == ("gateway.networking.k8s.io", "Gateway", gateway)
            and workload.namespace == policy_namespace
            and ref.namespace in ("", workload.namespace)
            for ref in self.target_refs
        )


def _target_ref(raw: Mapping[str, object]) -> TargetRef:
    return TargetRef(
        text(raw.get("group")), text(raw.get("kind")), text(raw.get("name")), text(raw.get("namespace"))
    )
