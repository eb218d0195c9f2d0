"""Does a workload have a sidecar, or will its pods get one, and why.

A pod shows it by its containers. For a template it follows from the injector's webhooks (their selectors,
given as objects or those of Istio's chart: manifests/charts/istio-control/istio-
discovery/templates/mutatingwebhook.yaml) and from `injectRequired` of pkg/kube/inject/inject.go.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from interlock.mesh.label_selector import LabelSelector, Requirement
from interlock.mesh.mesh import Mesh
from interlock.mesh.reading import items, mapping, path, text
from interlock.mesh.settings import MeshSettings
from interlock.mesh.verdict import Answer, Reason
from interlock.mesh.workload import Proxy, Workload

INJECT = "sidecar.istio.io/inject"
REVISION = "istio.io/rev"
NAMESPACE_INJECTION = "istio-injection"
DATAPLANE_MODE = "istio.io/dataplane-mode"
REDIRECTION = "ambient.istio.io/redirection"
IGNORED_NAMESPACES = ("kube-system", "kube-public", "kube-node-lease", "local-path-storage")
_NAMESPACE_NAME = "kubernetes.io/metadata.name"


@dataclass(frozen=True, slots=True)
class Injection:
    """Whether a workload has a sidecar.

    Attributes:
        sidecar: Whether there is one, or will be one in the pods of a template.
        proxy: What the workload's proxy is; NONE also for a template before injection.
        reasons: Why.
        webhook: The webhook that injects; empty if none, or if not known.
    """

    sidecar: Answer
    proxy: Proxy
    reasons: tuple[Reason, ...]
    webhook: str = ""


@dataclass(frozen=True, slots=True)
class Webhook:
    """An injector's webhook: the namespaces and pods that it is called for."""

    name: str
    namespace_selector: LabelSelector
    object_selector: LabelSelector

    def matches(self, namespace_labels: Mapping[str, str], pod_labels: Mapping[str, str]) -> bool:
        """Whether the API server calls it for a pod."""
        return self.namespace_selector.matches(namespace_labels) and self.object_selector.matches(pod_labels)


def injection(mesh: Mesh, workload: Workload) -> Injection:
    """Whether a workload has a sidecar, or will have one."""
    known = mesh.memo["injection"].get(id(workload))
    if isinstance(known, tuple) and known[0] is workload and isinstance(known[1], Injection):
        return known[1]
    found = _injection(mesh, workload)
    mesh.memo["injection"][id(workload)] = (workload, found)
    return found


def _injection(mesh: Mesh, workload: Workload) -> Injection:
    proxy, ref = workload.proxy, workload.ref
    if proxy is Proxy.WAYPOINT:
        said = Reason("is a waypoint; what waypoints enforce is not judged here", ref)
        return Injection(Answer.INDETERMINATE, proxy, (said,))
    if proxy is Proxy.GATEWAY:
        said = Reason("is a gateway; its ports follow Gateway objects, which are not judged here", ref)
        return Injection(Answer.INDETERMINATE, proxy, (said,))
    container = workload.proxy_container
    if container is not None and container.image == "auto" and workload.live:
        said = Reason("has the container istio-proxy with `image: auto`, which was never replaced", ref)
        return Injection(Answer.INDETERMINATE, Proxy.NONE, (said,))
    if proxy is Proxy.SIDECAR and container is not None and container.image != "auto":
        return Injection(Answer.YES, proxy, (Reason("has the container istio-proxy", ref),))
    ambient = _ambient(mesh, workload)
    if workload.live:
        if ambient is not None:
            return Injection(Answer.INDETERMINATE, Proxy.NONE, (ambient,))
        return Injection(Answer.NO, Proxy.NONE, (Reason("has no container istio-proxy", ref),))
    expected = predicted(mesh, workload)
    if expected.sidecar is Answer.NO and ambient is not None:
        return Injection(Answer.INDETERMINATE, Proxy.NONE, (ambient,))
    return expected


def predicted(mesh: Mesh, workload: Workload) -> Injection:
    """Whether the injector would give a pod of this workload a sidecar if it were created now."""
    ref, settings = workload.ref, mesh.settings
    required, why = required_by_injector(workload, settings)
    if not required:
        return Injection(Answer.NO, Proxy.NONE, (Reason(why, ref),))
    hooks = tuple(_webhooks(mesh))
    known = mesh.namespaces.get(workload.namespace)
    if known is None:
        tried = {
            hook.matches(given, workload.labels)
            for hook in hooks
            for given in ({}, {NAMESPACE_INJECTION: "enabled"})
        }
        if tried == {False}:
            return Injection(Answer.NO, Proxy.NONE, (Reason("no injection webhook is for its labels", ref),))
        said = Reason(f"the labels of the namespace {workload.namespace} are not known", ref)
        return Injection(Answer.INDETERMINATE, Proxy.NONE, (said,))
    found = {_NAMESPACE_NAME: workload.namespace, **known}
    for hook in hooks:
        if hook.matches(found, workload.labels):
            return Injection(
                Answer.YES,
                Proxy.SIDECAR,
                (Reason(why, ref), Reason(f"the webhook {hook.name} injects it", ref)),
                hook.name,
            )
    shown = _shown(known, (NAMESPACE_INJECTION, REVISION)) or "no label for injection"
    pod = _shown(workload.labels, (INJECT, REVISION)) or "none"
    said = Reason(f"no injection webhook is for it: the namespace has {shown}, the pod {pod}", ref)
    return Injection(Answer.NO, Proxy.NONE, (said,))


def is_matched(mesh: Mesh, workload: Workload) -> bool:
    """Whether a webhook is for it; a namespace that was not given counts as one without labels."""
    found = {_NAMESPACE_NAME: workload.namespace, **mesh.namespaces.get(workload.namespace, {})}
    return any(hook.matches(found, workload.labels) for hook in _webhooks(mesh))


def is_ambient(namespace_labels: Mapping[str, str]) -> bool:
    """Whether a namespace's labels put its pods into ambient mode rather than give them sidecars."""
    sidecars = namespace_labels.get(NAMESPACE_INJECTION) == "enabled" or bool(namespace_labels.get(REVISION))
    return not sidecars and namespace_labels.get(DATAPLANE_MODE) == "ambient"


def required_by_injector(workload: Workload, settings: MeshSettings) -> tuple[bool, str]:
    """Whether the injector, once it is called, injects; and why."""
    if workload.host_network:
        return False, "has hostNetwork, which the injector leaves out"
    if workload.namespace in IGNORED_NAMESPACES:
        return False, f"is in the namespace {workload.namespace}, which the injector leaves out"
    label, note = workload.labels.get(INJECT), workload.annotations.get(INJECT, "")
    chosen = note if label is None else label
    source = "annotation" if label is None else "label"
    if chosen == "true":
        return True, f"the pod's {source} {INJECT} is true"
    if chosen == "false":
        return False, f"the pod's {source} {INJECT} is false"
    odd = f"the pod's {source} {INJECT} is {chosen!r}, which counts as not set; " if chosen else ""
    for name, selectors in (("never", settings.never_inject), ("always", settings.always_inject)):
        # An empty selector is passed over, so that it does not stand for all pods.
        if any(entry.requirements and entry.matches(workload.labels) for entry in selectors):
            return name == "always", f"{odd}the pod's labels match the injector's {name}InjectSelector"
    if settings.inject_policy_enabled:
        return True, f"{odd}the injector's policy is enabled"
    return False, f"{odd}the injector's policy is disabled"


def _webhooks(mesh: Mesh) -> Iterator[Webhook]:
    """The injectors' webhooks: those that were given, else those of the chart."""
    if not mesh.webhooks:
        yield from chart_webhooks(mesh.settings)
        return
    for configuration in mesh.webhooks:
        for raw in map(mapping, items(configuration.get("webhooks"))):
            name = text(raw.get("name"))
            if name.endswith("istio.io"):
                full = f"{text(path(configuration, 'metadata', 'name'))}/{name}"
                yield Webhook(
                    full,
                    LabelSelector.of(raw.get("namespaceSelector")),
                    LabelSelector.of(raw.get("objectSelector")),
                )


def chart_webhooks(settings: MeshSettings) -> Iterator[Webhook]:
    """The webhooks that Istio's chart installs for the mesh's revisions and tags."""
    not_false = _expression(INJECT, "NotIn", "false")
    no_revision, no_injection = (
        _expression(REVISION, "DoesNotExist"),
        _expression(NAMESPACE_INJECTION, "DoesNotExist"),
    )
    for revision in settings.revisions:
        this = _expression(REVISION, "In", revision)
        yield Webhook(f"{revision}/rev.namespace", _all(this, no_injection), _all(not_false))
        yield Webhook(f"{revision}/rev.object", _all(no_revision, no_injection), _all(not_false, this))
    if "default" not in settings.revisions:
        return
    enabled = _expression(NAMESPACE_INJECTION, "In", "enabled")
    yield Webhook("default/namespace", _all(enabled), _all(not_false))
    asks = _expression(INJECT, "In", "true")
    yield Webhook("default/object", _all(no_injection, no_revision), _all(asks, no_revision))
    if settings.inject_by_default:
        others = _expression(_NAMESPACE_NAME, "NotIn", *IGNORED_NAMESPACES)
        silent = _expression(INJECT, "DoesNotExist")
        yield Webhook("default/auto", _all(no_injection, no_revision, others), _all(silent, no_revision))


def _expression(key: str, operator: str, *values: str) -> Requirement:
    return Requirement(key, operator, values)


def _all(*requirements: Requirement) -> LabelSelector:
    return LabelSelector(requirements)


def _ambient(mesh: Mesh, workload: Workload) -> Reason | None:
    """Why ztunnel may stand in front of a workload without a sidecar; None if it doesn't."""
    said = "is in ambient mode; what ztunnel and waypoints enforce is not judged here"
    if workload.annotations.get(REDIRECTION) in ("enabled", "pending"):
        return Reason(f"{said} (annotation {REDIRECTION})", workload.ref)
    own = workload.labels.get(DATAPLANE_MODE)
    wide = mesh.namespaces.get(workload.namespace, {}).get(DATAPLANE_MODE)
    if workload.host_network or own == "none" or "ambient" not in (own, wide):
        return None
    return Reason(f"{said} (label {DATAPLANE_MODE})", workload.ref)


def _shown(found: Mapping[str, str], keys: tuple[str, ...]) -> str:
    return ", ".join(f"{key}={found[key]}" for key in keys if key in found)
