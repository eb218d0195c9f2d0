"""Items of the structure that the workload's own pod template has."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from interlock.mesh.label_selector import LabelSelector
from interlock.onboarding.facts import Facts
from interlock.onboarding.found import Done, Fix, Found, Missing, Rule
from interlock.onboarding.pods import (
    containers,
    partial,
    pod_labels,
    pod_spec,
    selected_by,
    selector,
    serving,
    with_containers,
)

_REQUESTS: Final = ("cpu", "memory")


def labels(facts: Facts) -> Found:
    """The labels that all other services' objects have in common, on the workload and on its pods."""
    workload, others = facts.workload(), facts.others()
    pods = _in_common(facts, [(name, pod_labels(one)) for name, one in others]) | facts.file.labels
    own = _in_common(facts, [(name, one.labels) for name, one in others])
    changed = {key: value for key, value in pods.items() if pod_labels(workload).get(key) != value}
    changed_own = {key: value for key, value in own.items() if workload.labels.get(key) != value}
    if not changed and not changed_own:
        names = ", ".join(f"{key}={value}" for key, value in pods.items())
        return Done(f"the pods have {names}" if names else "the other services have no label in common")
    said = "; ".join(
        f"{what} {', '.join(f'{key}={value}' for key, value in missing.items())}"
        for what, missing in (("its pods lack", changed), ("it lacks", changed_own))
        if missing
    )
    if fixed := [key for key in changed if key in selected_by(workload)]:
        return Missing(
            said,
            Fix(
                f"{', '.join(fixed)} is in the selector of {workload}, which can't be changed: delete the "
                f"{workload.kind} and create it with these labels and this selector"
            ),
        )
    fields: dict[str, Any] = {"metadata": {"labels": changed_own}} if changed_own else {}
    if changed:
        fields["spec"] = {"template": {"metadata": {"labels": changed}}}
    return Missing(said, Fix(f"Give {workload} these labels", (partial(workload, **fields),)))


def probes(facts: Facts) -> Found:
    """The container that serves has a readiness and a liveness probe."""
    workload = facts.workload()
    container = serving(facts, workload)
    kinds = {"readinessProbe": facts.file.probes.readiness, "livenessProbe": facts.file.probes.liveness}
    missing = {kind: path for kind, path in kinds.items() if not container.get(kind)}
    if not missing:
        return Done(f"container {container['name']} has both")
    said = f"container {container['name']} has no {' and no '.join(missing)}"
    port = next(iter(container.get("ports") or ()), None)
    if port is None:
        return Missing(said, Fix(f"Declare the port of container {container['name']}, and probe it"))
    change = {kind: _probe(facts, port, path) for kind, path in missing.items()}
    return Missing(
        said,
        Fix(
            "Probe it; the paths are those of the service's file (probes)",
            (with_containers(workload, [{"name": container["name"], **change}]),),
        ),
    )


def resources(facts: Facts) -> Found:
    """Each container requests CPU and memory, and has a limit of memory.

    A limit of CPU is left to the owner: it slows a service down where nothing else needs the CPU.
    """
    workload = facts.workload()
    changes, lacking = [], []
    for container in containers(workload):
        given = container.get("resources") or {}
        change = _resources(facts, given)
        if change:
            changes.append({"name": container["name"], "resources": change})
            lacks = ", ".join(f"{part}.{name}" for part, of in change.items() for name in of)
            lacking.append(f"container {container['name']} has no {lacks}")
    if not changes:
        return Done("each container requests CPU and memory, and has a limit of memory")
    return Missing(
        "; ".join(lacking),
        Fix(
            "Say them; the quantities are those of the service's file (resources)",
            (with_containers(workload, changes),),
        ),
    )


def topology(facts: Facts) -> Found:
    """Its pods are spread, by a constraint or by anti-affinity."""
    workload = facts.workload()
    if workload.kind == "DaemonSet":
        return Done("a DaemonSet has one pod on each node")
    spec = pod_spec(workload)
    for constraint in spec.get("topologySpreadConstraints") or ():
        if _selects(constraint.get("labelSelector"), pod_labels(workload)):
            return Done(f"its pods are spread over {constraint.get('topologyKey')}")
    anti = (spec.get("affinity") or {}).get("podAntiAffinity") or {}
    terms = list(anti.get("requiredDuringSchedulingIgnoredDuringExecution") or ())
    preferred = anti.get("preferredDuringSchedulingIgnoredDuringExecution") or ()
    terms += [one.get("podAffinityTerm") or {} for one in preferred]
    for term in terms:
        if _selects(term.get("labelSelector"), pod_labels(workload)):
            return Done(f"its pods keep apart by {term.get('topologyKey')}")
    constraint = {
        "maxSkew": 1,
        "topologyKey": "kubernetes.io/hostname",
        "whenUnsatisfiable": "ScheduleAnyway",
        "labelSelector": {"matchLabels": dict(selector(workload))},
    }
    return Missing(
        "nothing keeps its pods from running all on one node",
        Fix(
            "Spread them",
            (partial(workload, spec={"template": {"spec": {"topologySpreadConstraints": [constraint]}}}),),
        ),
    )


RULES: Final = (
    Rule("structure.labels", labels),
    Rule("structure.probes", probes),
    Rule("structure.resources", resources),
    Rule("structure.topology", topology),
)


def _in_common(facts: Facts, others: list[tuple[str, Mapping[str, str]]]) -> dict[str, str]:
    """Labels that each other service has, where it is clear what their value is here."""
    if not others:
        return {"app": facts.service}
    found: dict[str, str] = {}
    for key in others[0][1]:
        if key.partition("/")[0].endswith("istio.io"):
            continue  # Whether a pod is in the mesh is for the mesh's items to say.
        values = [(name, given[key]) for name, given in others if key in given]
        if len(values) < len(others):
            continue
        if all(name == value for name, value in values):
            found[key] = facts.service
        elif len({value for _, value in values}) == 1 and len(others) > 1:
            found[key] = values[0][1]
    return found


def _probe(facts: Facts, port: Mapping[str, Any], path: str) -> dict[str, Any]:
    name = port.get("name") or port["containerPort"]
    if facts.file.protocol == "tcp":
        return {"tcpSocket": {"port": name}}
    if facts.file.protocol == "grpc":
        return {"grpc": {"port": port["containerPort"]}}
    return {"httpGet": {"path": path, "port": name}}


def _resources(facts: Facts, given: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    """What is lacking. A limit that stands alone is also the request: more than it, the API refuses."""
    wanted, requests, limits = facts.file.resources, given.get("requests") or {}, given.get("limits") or {}
    defaults = {"cpu": wanted.cpu, "memory": wanted.memory}
    change: dict[str, dict[str, str]] = {}
    if lacking := [name for name in _REQUESTS if name not in requests]:
        change["requests"] = {name: str(limits.get(name, defaults[name])) for name in lacking}
    if "memory" not in limits:
        asked = requests.get("memory")
        change["limits"] = {"memory": wanted.memory_limit if asked is None else str(asked)}
    return change


def _selects(given: Any, found: Mapping[str, str]) -> bool:
    return given is not None and LabelSelector.of(given).matches(found)
