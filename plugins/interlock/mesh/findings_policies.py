"""Findings about policies: those that do nothing, or less than they seem to.

Istio's analyzers of the same codes: authz/authorizationpolicies.go, sidecar/selector.go and
k8sgateway/workloadselector.go of pkg/config/analysis/analyzers.
"""

from __future__ import annotations

from collections.abc import Iterator

from interlock.mesh.authorization_policy import AuthorizationPolicy
from interlock.mesh.injection import REDIRECTION, is_ambient
from interlock.mesh.mesh import Mesh
from interlock.mesh.messages import message
from interlock.mesh.reading import selects
from interlock.mesh.rules import compiled
from interlock.mesh.selection import Selection
from interlock.mesh.verdict import Finding
from interlock.mesh.workload import Workload

_TOKEN_KEYS = ("requestPrincipals", "request.auth.")


def policy_findings(mesh: Mesh) -> Iterator[Finding]:
    """What is wrong with policies beyond their own fields."""
    yield from _peer_authentications(mesh)
    yield from _sidecars(mesh)
    for group in mesh.authorization_policies.values():
        for policy in group:
            yield from _without_workloads(mesh, policy)
            yield from _unknown_namespaces(mesh, policy)
            yield from _dropped(mesh, policy)
            yield from _tokens(mesh, policy)
            yield from _of_gateways(mesh, policy.ref, policy.namespace, policy.selection)
    for authentications in mesh.request_authentications.values():
        for one in authentications:
            yield from _of_gateways(mesh, one.ref, one.namespace, one.selection)


def _peer_authentications(mesh: Mesh) -> Iterator[Finding]:
    root = mesh.settings.root_namespace
    for namespace, group in mesh.peer_authentications.items():
        first = next((policy for policy in group if not policy.selector), None)
        for policy in group:
            if policy.selector and namespace == root:
                said = "it has a selector in the root namespace, where Istio takes none"
                yield message("IST0167", policy.ref, said)
            elif first is not None and not policy.selector and policy is not first:
                yield message("ILM004", policy.ref, first.ref)
            elif policy.selector:
                older = next(
                    (
                        o
                        for o in group
                        if o is not policy
                        and o.selector == policy.selector
                        and o.age_order < policy.age_order
                    ),
                    None,
                )
                if older is not None:
                    yield message("ILM004", policy.ref, older.ref)


def _sidecars(mesh: Mesh) -> Iterator[Finding]:
    for namespace, group in sorted(mesh.sidecars.items()):
        defaults = [sidecar for sidecar in group if not sidecar.selector]
        if is_ambient(mesh.namespaces.get(namespace, {})):
            for sidecar in defaults:
                yield message(
                    "IST0167", sidecar.ref, "namespace is in ambient mode, the policy has no impact"
                )
        elif len(defaults) > 1:
            names = sorted(sidecar.name for sidecar in defaults)
            for sidecar in defaults:
                yield message("IST0111", sidecar.ref, names, namespace)
        pods = [workload for workload in mesh.workloads_of_namespace.get(namespace, ()) if workload.live]
        for sidecar in group:
            if sidecar.selector and not any(selects(sidecar.selector, pod.labels) for pod in pods):
                yield message("IST0101", sidecar.ref, "selector", _shown(sidecar.selector))
        for pod in pods:
            found = [s for s in group if s.selector and selects(s.selector, pod.labels)]
            if pod.annotations.get(REDIRECTION) == "enabled":
                said = "selected workload is in ambient mode, the policy has no impact"
                for sidecar in found:
                    yield message("IST0167", sidecar.ref, said)
            elif len(found) > 1:
                names = sorted(sidecar.name for sidecar in found)
                for sidecar in found:
                    yield message("IST0110", sidecar.ref, names, namespace, pod.name)


def _without_workloads(mesh: Mesh, policy: AuthorizationPolicy) -> Iterator[Finding]:
    selector = policy.selection.selector
    mesh_wide = policy.namespace == mesh.settings.root_namespace
    if mesh_wide and selector is None:
        return
    pods = mesh.workloads if mesh_wide else mesh.workloads_of_namespace.get(policy.namespace, ())
    if not any(pod.live and selects(selector or {}, pod.labels) for pod in pods):
        yield message("IST0127", policy.ref, _shown(selector or {}))


def _unknown_namespaces(mesh: Mesh, policy: AuthorizationPolicy) -> Iterator[Finding]:
    for rule in policy.rules:
        for source in rule.sources:
            for values in source:
                for name in (*values.values, *values.not_values) if values.key == "namespaces" else ():
                    if not any(_matches(namespace, name) for namespace in mesh.namespaces):
                        yield message("IST0101", policy.ref, "namespace", name)


def _dropped(mesh: Mesh, policy: AuthorizationPolicy) -> Iterator[Finding]:
    """What Istio drops also of HTTP; what only TCP ports drop is told with the decisions about them."""
    for index, rule in enumerate(policy.rules):
        found = compiled(policy, rule, tcp=False, settings=mesh.settings)
        for text in found.dropped:
            yield message("ILM007", policy.ref, "all" if found.condition is None else "a part", index, text)


def _of_gateways(mesh: Mesh, ref: str, namespace: str, selection: Selection) -> Iterator[Finding]:
    """Selectors that cover the pods of a Kubernetes Gateway, which only a targetRef reaches for certain."""
    if selection.selector is None or selection.single:
        return
    for pod in mesh.workloads_of_namespace.get(namespace, ()):
        if pod.live and pod.gateway_name is not None and selects(selection.selector, pod.labels):
            yield message("IST0166", ref, pod.gateway_name)


def _tokens(mesh: Mesh, policy: AuthorizationPolicy) -> Iterator[Finding]:
    for index, rule in enumerate(policy.rules):
        if not any(values.key.startswith(_TOKEN_KEYS) for values in rule.every()):
            continue
        held = [w for w in _workloads(mesh, policy) if not _validates(mesh, w)]
        if held:
            yield message("ILM008", policy.ref, index, ", ".join(sorted(w.ref for w in held)[:5]))


def _workloads(mesh: Mesh, policy: AuthorizationPolicy) -> Iterator[Workload]:
    mesh_wide = policy.namespace == mesh.settings.root_namespace
    found = mesh.workloads if mesh_wide else mesh.workloads_of_namespace.get(policy.namespace, ())
    return (w for w in found if policy.selection.holds_for(w, policy.namespace))


def _validates(mesh: Mesh, workload: Workload) -> bool:
    return any(
        authentication.issuers and authentication.selection.holds_for(workload, namespace)
        for namespace in (mesh.settings.root_namespace, workload.namespace)
        for authentication in mesh.request_authentications.get(namespace, ())
    )


def _matches(namespace: str, pattern: str) -> bool:
    """As `namespaceMatch` of the analyzer, which ignores case."""
    namespace, pattern = namespace.lower(), pattern.lower()
    if pattern.startswith("*"):
        return namespace.endswith(pattern[1:])
    return namespace.startswith(pattern[:-1]) if pattern.endswith("*") else namespace == pattern


def _shown(selector: object) -> str:
    found = selector if isinstance(selector, dict) else {}
    return ",".join(f"{key}={found[key]}" for key in sorted(found))
