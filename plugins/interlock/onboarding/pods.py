"""A workload's pod template: views of it, and partial manifests that change it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from interlock.manifest import Manifest
from interlock.mesh.workload import PROXY
from interlock.onboarding.facts import Facts
from interlock.onboarding.found import Absent


def template(workload: Manifest) -> Mapping[str, Any]:
    """Its pod template."""
    found = workload.spec.get("template")
    return found if isinstance(found, Mapping) else {}


def pod_spec(workload: Manifest) -> Mapping[str, Any]:
    """The spec of its pods."""
    found = template(workload).get("spec")
    return found if isinstance(found, Mapping) else {}


def pod_labels(workload: Manifest) -> Mapping[str, str]:
    """The labels of its pods."""
    return (template(workload).get("metadata") or {}).get("labels") or {}


def selector(workload: Manifest) -> Mapping[str, str]:
    """The labels that a policy, a Service or a budget for its pods alone chooses them by.

    Where it finds its pods by expressions too, these are all of their labels: the exact ones among its
    selector's would choose others as well, and none at all the whole namespace.
    """
    given = workload.spec.get("selector") or {}
    return pod_labels(workload) if given.get("matchExpressions") else given.get("matchLabels") or {}


def selected_by(workload: Manifest) -> frozenset[str]:
    """The keys of the labels in its own selector, which can't be changed."""
    given = workload.spec.get("selector") or {}
    return frozenset(
        (*(given.get("matchLabels") or ()), *(one["key"] for one in given.get("matchExpressions") or ()))
    )


def containers(workload: Manifest) -> list[Mapping[str, Any]]:
    """Its containers but the sidecar."""
    return [one for one in pod_spec(workload).get("containers") or () if one.get("name") != PROXY]


def serving(facts: Facts, workload: Manifest) -> Mapping[str, Any]:
    """The container that serves.

    Raises:
        Absent: It has none of this name.
    """
    found = containers(workload)
    for one in found:
        if one.get("name") == facts.container:
            return one
    names = ", ".join(str(one.get("name")) for one in found)
    raise Absent(f"{workload} has no container {facts.container}; it has {names or 'none'}")


def partial(live: Manifest, **fields: Any) -> Manifest:
    """A manifest of the same object with some fields alone; `metadata` is added to its name."""
    return new(live.api_version, live.kind, live.name, live.namespace, fields.pop("metadata", {}), **fields)


def new(
    api_version: str,
    kind: str,
    name: str,
    namespace: str,
    metadata: Mapping[str, Any] | None = None,
    **fields: Any,
) -> Manifest:
    """A manifest."""
    where = {"name": name, **({"namespace": namespace} if namespace else {})}
    head = {"apiVersion": api_version, "kind": kind, "metadata": {**where, **(metadata or {})}}
    return Manifest.of({**head, **fields})


def free_name(name: str, taken: Iterable[Manifest]) -> str:
    """A name for an object that is new, beside those of its kind that have to stay as they are."""
    return name if name not in {one.name for one in taken} else f"{name}-onboarding"


def with_containers(workload: Manifest, changed: Iterable[Mapping[str, Any]]) -> Manifest:
    """A manifest that changes fields of some containers, each given with its name."""
    return partial(workload, spec={"template": {"spec": {"containers": list(changed)}}})
