"""Findings about injection (pkg/config/analysis/analyzers/injection)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping

from interlock.mesh.injection import DATAPLANE_MODE, INJECT, NAMESPACE_INJECTION, REVISION, is_matched
from interlock.mesh.mesh import Mesh
from interlock.mesh.messages import message
from interlock.mesh.pod_annotations import annotation_problems
from interlock.mesh.verdict import Finding
from interlock.mesh.workload import Workload

_PROXY_IMAGE = "sidecar.istio.io/proxyImage"
_UID = 1337


def injection_findings(mesh: Mesh) -> Iterator[Finding]:
    """What is wrong with the labels of namespaces and with pods' sidecars."""
    for name, given in sorted(mesh.namespaces.items()):
        yield from _namespace(mesh, name, given)
    mismatched: dict[str, list[str]] = defaultdict(list)
    for workload in mesh.workloads:
        yield from _workload(mesh, workload)
        if _wrong_image(mesh, workload):
            mismatched[workload.namespace].append(workload.name)
    for namespace, pods in sorted(mismatched.items()):
        yield message("IST0158", f"Namespace {namespace}", sorted(pods))


def _namespace(mesh: Mesh, name: str, given: Mapping[str, str]) -> Iterator[Finding]:
    if name == mesh.settings.root_namespace:
        return
    ref, legacy = f"Namespace {name}", given.get(NAMESPACE_INJECTION)
    found = [] if legacy is None else [f"{NAMESPACE_INJECTION}={legacy}"]
    if legacy in (None, "enabled"):
        found += [f"{key}={given[key]}" for key in (REVISION, DATAPLANE_MODE) if key in given]
    if len(found) > 1:
        yield message("IST0123", ref, found)
    if given.get(DATAPLANE_MODE) == "ambient" or legacy or REVISION in given:
        return
    if mesh.settings.inject_by_default:
        yield message("IST0148", ref)
    else:
        yield message("IST0102", ref, name)


def _workload(mesh: Mesh, workload: Workload) -> Iterator[Finding]:
    ref, container = workload.ref, workload.proxy_container
    if container is not None and container.image == "auto":
        if workload.live:
            yield message("IST0147", ref, workload.kind, workload.name)
        elif not is_matched(mesh, workload):
            yield message("IST0146", ref, workload.kind, workload.name)
    enabled = mesh.namespaces.get(workload.namespace, {}).get(NAMESPACE_INJECTION) == "enabled"
    chosen = workload.labels.get(INJECT, workload.annotations.get(INJECT, ""))
    wanted = enabled and chosen.lower() != "false" and not workload.host_network
    if workload.live and wanted and workload.namespace != mesh.settings.root_namespace and container is None:
        yield message("IST0103", ref, f"{workload.namespace}/{workload.name}")
    for problem in annotation_problems(workload.annotations):
        yield message("IST0125", ref, problem.field, problem.text)
    ours = "istio" in workload.labels or workload.labels.get("release") == "istio"
    if workload.kind in ("Pod", "Deployment") and _UID in workload.application_users and not ours:
        yield message("IST0144", ref)


def _wrong_image(mesh: Mesh, workload: Workload) -> bool:
    expected, container = mesh.settings.proxy_image, workload.proxy_container
    given = mesh.namespaces.get(workload.namespace, {})
    injected = given.get(NAMESPACE_INJECTION) == "enabled" or REVISION in given
    if not (workload.live and expected and container and injected) or _PROXY_IMAGE in workload.annotations:
        return False
    variants = (expected, f"{expected}-distroless", f"{expected}-debug", f"{expected}-default")
    return container.image not in variants
