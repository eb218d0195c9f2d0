"""Items of the structure that stand beside the workload: its Services, its account, its budget."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from interlock.manifest import Manifest
from interlock.mesh.label_selector import LabelSelector
from interlock.mesh.reading import selects
from interlock.mesh.service import Protocol, protocol_of
from interlock.onboarding.facts import Facts
from interlock.onboarding.found import Done, Fix, Found, Missing, Rule
from interlock.onboarding.pods import free_name, new, partial, pod_labels, pod_spec, selector, serving


def services_of(facts: Facts, workload: Manifest) -> list[Manifest]:
    """The Services that lead to its pods."""
    return [
        one
        for one in facts.listed("Service")
        if one.spec.get("selector") and selects(one.spec["selector"], pod_labels(workload))
    ]


def new_service(facts: Facts, workload: Manifest) -> Manifest | None:
    """A Service for the ports of the container that serves.

    None if it declares none, or if a Service of its name leads elsewhere: what calls that would come here.
    """
    declared = serving(facts, workload).get("ports") or ()
    ports = [
        {
            "name": facts.file.protocol if len(declared) == 1 else f"{facts.file.protocol}-{number}",
            "port": 80 if len(declared) == 1 and facts.file.protocol == "http" else number,
            "protocol": port.get("protocol", "TCP"),
            "targetPort": port.get("name") or number,
        }
        for port in declared
        for number in [port["containerPort"]]
    ]
    if not ports or any(one.name == facts.service for one in facts.listed("Service")):
        return None
    spec = {"selector": dict(selector(workload)), "ports": ports}
    return new(
        "v1",
        "Service",
        facts.service,
        facts.namespace,
        {"labels": dict(selector(workload))},
        spec=spec,
    )


def ports(facts: Facts) -> Found:
    """Each port of its Services says which protocol it speaks, by its name or by `appProtocol`."""
    workload = facts.workload()
    found = services_of(facts, workload)
    if not found:
        made = new_service(facts, workload)
        if made is None:
            fix = Fix(
                f"Declare the ports of container {facts.container}, and have the Service {facts.service} "
                "lead to its pods"
            )
        else:
            fix = Fix("Give it a Service", (made,))
        return Missing("no Service leads to its pods", fix)
    unnamed: list[str] = []
    changes: list[Manifest] = []
    for service in found:
        given = service.spec.get("ports") or ()
        taken = {str(port.get("name", "")) for port in given}
        changed = []
        for port in given:
            if _protocol(port) is Protocol.AUTO:
                unnamed.append(f"port {port['port']} ({port.get('name') or 'without a name'})")
                changed.append(_named(facts, port, taken))
        if changed:
            changes.append(partial(service, spec={"ports": changed}))
    if changes:
        said = f"Istio can't tell the protocol of {', '.join(unnamed)} by its name"
        return Missing(said, Fix(f"Name them by what they speak: {facts.file.protocol}", tuple(changes)))
    names = [str(port.get("name") or port["port"]) for one in found for port in one.spec.get("ports") or ()]
    return Done(f"{', '.join(str(one) for one in found)}: {', '.join(names)}")


def service_account(facts: Facts) -> Found:
    """Its pods run under a service account that no other workload of the namespace uses."""
    workload = facts.workload()
    name = pod_spec(workload).get("serviceAccountName") or "default"
    accounts = {one.name for one in facts.listed("ServiceAccount")}
    users = [
        str(one)
        for kind in ("Deployment", "StatefulSet", "DaemonSet")
        for one in facts.listed(kind)
        if one.ref != workload.ref and pod_spec(one).get("serviceAccountName") == name
    ]
    if name == "default":
        said = "it runs under the account `default`"
    elif users:
        said = f"it shares the account {name} with {', '.join(users)}"
    elif name not in accounts:
        said = f"its account {name} does not exist"
        made = new("v1", "ServiceAccount", name, facts.namespace)
        return Missing(said, Fix("Create it", (made,)))
    else:
        return Done(f"it runs under {name}, and nothing else does")
    own = new("v1", "ServiceAccount", facts.workload_name, facts.namespace)
    change = partial(workload, spec={"template": {"spec": {"serviceAccountName": facts.workload_name}}})
    what = f"Give it one of its own; whatever names {name} for it, such as policies, has to name that too"
    return Missing(said, Fix(what, (own, change)))


def disruption_budget(facts: Facts) -> Found:
    """One budget, and one alone, holds for its pods, and lets a node be drained."""
    workload = facts.workload()
    if workload.kind == "DaemonSet":
        return Done("a drain leaves a DaemonSet's pods where they are")
    budgets = [
        one
        for one in facts.listed("PodDisruptionBudget")
        if one.spec.get("selector") is not None
        and LabelSelector.of(one.spec["selector"]).matches(pod_labels(workload))
    ]
    if len(budgets) > 1:
        names = ", ".join(one.name for one in budgets)
        return Missing(
            f"several budgets hold for its pods, and then none can be evicted: {names}",
            Fix("Delete all but one"),
        )
    spec = {"maxUnavailable": 1, "selector": {"matchLabels": dict(selector(workload))}}
    if not budgets:
        name = free_name(facts.service, facts.listed("PodDisruptionBudget"))
        made = new("policy/v1", "PodDisruptionBudget", name, facts.namespace, spec=spec)
        return Missing("no budget holds for its pods", Fix("Create one", (made,)))
    # Of a workload that is scaled to nothing, too, one pod may run tomorrow.
    budget, replicas = budgets[0], max(workload.spec.get("replicas", 1), 1)
    if _blocks(budget.spec, replicas):
        said = (
            f"{budget} lets none of its {replicas} pods be evicted, so no node that runs one can be drained"
        )
        # The two exclude each other, so the one that it has is changed.
        least = "minAvailable" in budget.spec
        change = partial(budget, spec={"minAvailable": replicas - 1} if least else {"maxUnavailable": 1})
        return Missing(said, Fix("Let one go at a time", (change,)))
    return Done(f"{budget} lets its pods be evicted one after another")


RULES: Final = (
    Rule("structure.ports", ports),
    Rule("structure.service-account", service_account),
    Rule("structure.disruption-budget", disruption_budget),
)


def _protocol(port: Mapping[str, Any]) -> Protocol:
    return protocol_of(
        port["port"], str(port.get("name") or ""), port.get("protocol", "TCP"), port.get("appProtocol")
    )


def _named(facts: Facts, port: Mapping[str, Any], taken: set[str]) -> dict[str, Any]:
    """The port with a name that says its protocol; a name has at most 15 characters."""
    old = str(port.get("name") or "")
    protocol = facts.file.protocol
    tries = (f"{protocol}-{old}" if old else protocol, protocol, f"{protocol}-{port['port']}")
    name = next(one for one in (*tries, tries[-1]) if len(one) <= 15 and one not in taken)
    taken.add(name)
    return {"name": name, "port": port["port"], "protocol": port.get("protocol", "TCP")}


def _blocks(spec: Mapping[str, Any], replicas: int) -> bool:
    """Whether nothing may ever be evicted; shares are rounded up, as the disruption controller does."""
    most, least = spec.get("maxUnavailable"), spec.get("minAvailable")
    if most is not None:
        return _count(most, replicas) < 1
    return least is not None and _count(least, replicas) >= replicas


def _count(given: Any, replicas: int) -> int:
    if isinstance(given, str) and given.endswith("%"):
        return -(-int(given[:-1]) * replicas // 100)
    return int(given)
