"""Who else writes an object: the owners of single fields, and the tools that would undo a train.

Field owners come from `metadata.managedFields`, which server-side apply keeps (format `fieldsV1` of
https://kubernetes.io/docs/reference/using-api/server-side-apply/). A GitOps tool is told by the marks it
leaves on what it manages.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass

from interlock.manifest import FIELD_MANAGER, Manifest
from interlock.trains.fields import FieldPath, ListKey, Step, same


@dataclass(frozen=True, slots=True)
class _Tool:
    """How to tell what a tool manages: the first mark found names the thing in the tool."""

    name: str
    annotations: tuple[str, ...]
    labels: tuple[str, ...]
    managers: tuple[str, ...]


_TOOLS = (
    _Tool(
        "Argo CD",
        ("argocd.argoproj.io/tracking-id",),
        ("argocd.argoproj.io/instance",),
        ("argocd-controller", "argocd-application-controller"),
    ),
    _Tool(
        "Flux",
        (),
        ("kustomize.toolkit.fluxcd.io/name", "helm.toolkit.fluxcd.io/name"),
        ("kustomize-controller", "helm-controller"),
    ),
    _Tool("Helm", ("meta.helm.sh/release-name",), (), ("helm",)),
)


def managed_by(live: Manifest) -> str | None:
    """The tool that would put the object back to what it has in store, and what it calls it there.

    Returns:
        For example `Argo CD (argocd.argoproj.io/tracking-id: payments:apps/Deployment:…)`; None if the object
        bears no mark of such a tool.
    """
    managers = {str(entry.get("manager")) for entry in _entries(live)}
    for tool in _TOOLS:
        for key in tool.annotations:
            if key in live.annotations:
                return f"{tool.name} (annotation {key}: {live.annotations[key]})"
        for key in tool.labels:
            if key in live.labels:
                return f"{tool.name} (label {key}: {live.labels[key]})"
        for manager in tool.managers:
            if manager in managers:
                return f"{tool.name} (field manager {manager})"
    if live.labels.get("app.kubernetes.io/managed-by") == "Helm":
        return "Helm (label app.kubernetes.io/managed-by: Helm)"
    return None


def owner(live: Manifest, path: FieldPath) -> str | None:
    """Who owns a field: the field managers but Interlock's, sorted; else Interlock's; None if nobody does.

    Several owners are separated by a comma and a space.
    """
    names = {
        str(entry.get("manager")) for entry in _entries(live) if _owns(entry.get("fieldsV1"), path.steps)
    }
    others = sorted(names - {FIELD_MANAGER})
    return ", ".join(others) or (FIELD_MANAGER if names else None)


def _entries(live: Manifest) -> list[Mapping[str, object]]:
    found = live.metadata.get("managedFields")
    return [entry for entry in found if isinstance(entry, Mapping)] if isinstance(found, list) else []


def _owns(fields: object, steps: tuple[Step, ...]) -> bool:
    """Whether a set of fields has the one at `steps`, or owns something around it as one value."""
    if not isinstance(fields, Mapping):
        return False
    if not steps:
        return True
    for key, inner in fields.items():
        if _is_step(str(key), steps[0]):
            return inner == {} or _owns(inner, steps[1:])
    return False


def _is_step(key: str, step: Step) -> bool:
    if isinstance(step, str):
        return key == f"f:{step}"
    if not key.startswith("k:"):
        return False
    try:
        keys = json.loads(key[2:])
    except json.JSONDecodeError:
        return False
    return isinstance(keys, Mapping) and isinstance(step, ListKey) and same(keys.get(step.name), step.value)
