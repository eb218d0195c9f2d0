"""What a run will change: the plan, what stands in its way, and whether it still holds."""

from __future__ import annotations

from typing import Any

import pytest
from planned_services import IMAGE, config, owned_by, plan_of, planned, service, workload

from interlock.manifest import Manifest, ObjectRef
from interlock.trains.change import Change, FieldConflict, FieldWrite, differs, still_holds
from interlock.trains.config import Release
from interlock.trains.fields import ABSENT, put
from interlock.trains.outcome import judge
from interlock.trains.plan import PlanError
from interlock.trains.release import desired


def test_a_plan_changes_the_image_of_each_service_on_board_in_dependency_order() -> None:
    live = {name: Manifest.of(workload(name)) for name in ("service-a", "service-b")}
    plan = plan_of(config(service_b="2.0", service_a="1.1.0"), live)
    assert (plan.train, plan.environment) == ("payments", "sandbox")
    assert plan.changes == tuple(
        Change(
            name,
            ObjectRef("apps/v1", "Deployment", "payments", name),
            (FieldWrite(IMAGE, f"registry.internal/{name}:1.0.0", f"registry.internal/{name}:{tag}", None),),
            after=after,
        )
        for name, tag, after in (("service-a", "1.1.0", ()), ("service-b", "2.0", ("service-a",)))
    )
    assert plan.change("service-b") is plan.changes[1]
    assert plan.change("data") is None


def test_a_release_that_is_live_already_is_a_change_without_writes() -> None:
    assert planned(workload(), tag="1.0.0").writes == ()


def test_a_release_that_is_live_already_has_to_stay_so() -> None:
    change = planned(workload(), tag="1.0.0")
    assert Change.from_json(change.to_json()) == change
    live = Manifest.of(workload())
    assert differs(change, {change.ref: live}) == []
    assert judge(change, None, {change.ref: live}).state == "unchanged"
    # Another train takes its own release of it back meanwhile.
    moved = {change.ref: Manifest.of(put(live.raw, IMAGE, "registry.internal/service-a:0.9.0"))}
    (said,) = differs(change, moved)
    assert "found registry.internal/service-a:0.9.0, expected registry.internal/service-a:1.0.0" in said
    assert judge(change, None, moved).state == "not-whole"


def test_what_interlock_wants_of_a_workload_is_the_image_alone() -> None:
    assert desired(service("service-a"), Release("r/a:1"), "payments") == (
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {"name": "service-a", "namespace": "payments"},
            "spec": {"template": {"spec": {"containers": [{"name": "app", "image": "r/a:1"}]}}},
        },
    )


@pytest.mark.parametrize(
    ("managers", "owner", "takes_over"),
    [
        ([], None, False),
        (["interlock"], "interlock", False),
        (["kubectl-client-side-apply"], "kubectl-client-side-apply", True),
        (["interlock", "kubectl"], "kubectl", True),
        (["z", "a", "z"], "a, z", True),
    ],
)
def test_a_write_of_a_field_that_somebody_else_owns_is_a_take_over(
    managers: list[str], owner: str | None, takes_over: bool
) -> None:
    raw = workload()
    raw["metadata"]["managedFields"] = owned_by(*managers)
    (write,) = planned(raw).writes
    assert (write.owner, write.takes_over) == (owner, takes_over)


def test_the_plan_lists_its_take_overs() -> None:
    raw = workload()
    raw["metadata"]["managedFields"] = owned_by("kubectl")
    plan = plan_of(config(service_a="1.1.0"), {"service-a": Manifest.of(raw)})
    (change,) = plan.changes
    assert plan.take_overs == ((change, change.writes[0]),)


@pytest.mark.parametrize(
    "fields",
    [
        owned_by("kubectl", key='k:{"name":"proxy"}'),
        owned_by("kubectl", key="k:no json"),
        [{"manager": "kubectl", "fieldsV1": {"f:status": {}, "f:spec": {"f:replicas": {}}}}],
        [{"manager": "kubectl"}, "text"],
        None,
    ],
)
def test_who_owns_other_fields_is_no_owner(fields: object) -> None:
    raw = workload()
    raw["metadata"]["managedFields"] = fields
    assert planned(raw).writes[0].owner is None


def test_who_owns_the_whole_list_as_one_value_owns_its_items() -> None:
    raw = workload()
    fields = {"f:spec": {"f:template": {"f:spec": {"f:containers": {}}}}}
    raw["metadata"]["managedFields"] = [{"manager": "old", "fieldsV1": fields}]
    assert planned(raw).writes[0].owner == "old"


OBSTACLES: list[tuple[str, dict[str, Any], str]] = [
    ("metadata", {"deletionTimestamp": "2026-01-01T00:00:00Z"}, "is being deleted"),
    ("spec", {"paused": True}, "is paused, so its rollout would never end; resume it"),
    (
        "spec",
        {"updateStrategy": {"type": "OnDelete"}},
        "has the update strategy OnDelete, so nothing rolls out; expected RollingUpdate",
    ),
    (
        "spec",
        {"updateStrategy": {"type": "RollingUpdate", "rollingUpdate": {"partition": 2}}},
        "has the partition 2, so part of it would stay at the old release; set it to 0",
    ),
    ("spec", {"template": {"spec": {"containers": [{"name": "x"}]}}}, "has no container 'app', only x"),
    ("spec", {"template": {}}, "has no container 'app', only none"),
]


UNDONE = ", which would undo the promotion; promote it there"


TOOLS: list[tuple[dict[str, Any], str]] = [
    (
        {"annotations": {"argocd.argoproj.io/tracking-id": "pay:apps/Deployment:payments/a"}},
        "Argo CD (annotation argocd.argoproj.io/tracking-id: pay:apps/Deployment:payments/a)",
    ),
    ({"labels": {"argocd.argoproj.io/instance": "pay"}}, "Argo CD (label argocd.argoproj.io/instance: pay)"),
    ({"managedFields": owned_by("argocd-controller")}, "Argo CD (field manager argocd-controller)"),
    (
        {"labels": {"kustomize.toolkit.fluxcd.io/name": "apps"}},
        "Flux (label kustomize.toolkit.fluxcd.io/name: apps)",
    ),
    (
        {"labels": {"helm.toolkit.fluxcd.io/name": "a", "app.kubernetes.io/managed-by": "Helm"}},
        "Flux (label helm.toolkit.fluxcd.io/name: a)",
    ),
    ({"managedFields": owned_by("kustomize-controller")}, "Flux (field manager kustomize-controller)"),
    ({"annotations": {"meta.helm.sh/release-name": "a"}}, "Helm (annotation meta.helm.sh/release-name: a)"),
    ({"managedFields": owned_by("helm")}, "Helm (field manager helm)"),
    ({"labels": {"app.kubernetes.io/managed-by": "Helm"}}, "Helm (label app.kubernetes.io/managed-by: Helm)"),
]


@pytest.mark.parametrize(
    ("part", "change", "problem"),
    OBSTACLES + [("metadata", change, f"is managed by {tool}{UNDONE}") for change, tool in TOOLS],
)
def test_a_workload_that_can_not_be_promoted_is_refused_by_name(
    part: str, change: dict[str, Any], problem: str
) -> None:
    raw = workload()
    raw[part].update(change)
    with pytest.raises(PlanError) as error:
        planned(raw)
    assert str(error.value) == f"service-a: Deployment/service-a {problem}"


def test_a_plan_tells_all_that_stands_in_its_way_at_once() -> None:
    paused = workload("service-b")
    paused["spec"].update(paused=True, template={})
    live = {"service-a": None, "service-b": Manifest.of(paused), "data": Manifest.of(workload("data"))}
    with pytest.raises(PlanError) as error:
        plan_of(config(service_a="1", service_b="1", data="1"), live)
    assert error.value.problems == (
        "service-a: no Deployment/service-a in namespace payments",
        "service-b: Deployment/service-b is paused, so its rollout would never end; resume it",
        "service-b: Deployment/service-b has no container 'app', only none",
        "data: found Deployment/data, expected StatefulSet/data",
    )


def test_a_partition_of_zero_is_no_obstacle() -> None:
    raw = workload("data", kind="StatefulSet")
    raw["spec"]["updateStrategy"] = {"type": "RollingUpdate", "rollingUpdate": {"partition": 0}}
    assert plan_of(config(data="2"), {"data": Manifest.of(raw)}).changes[0].writes


def test_a_plan_holds_while_only_other_fields_move() -> None:
    change = planned(workload())
    raw = workload()
    raw["spec"]["replicas"] = 9
    raw["spec"]["template"]["spec"]["containers"].reverse()
    raw["status"] = {"readyReplicas": 1}
    raw["metadata"]["resourceVersion"] = "6"
    assert still_holds(change, {change.ref: Manifest.of(raw)}) == ()


def test_a_plan_no_longer_holds_when_its_field_has_another_value() -> None:
    change = planned(workload())
    (conflict,) = still_holds(change, {change.ref: Manifest.of(workload(tag="1.0.9"))})
    assert conflict == FieldConflict(
        change.ref, IMAGE, "registry.internal/service-a:1.0.0", "registry.internal/service-a:1.0.9"
    )
    assert str(conflict) == (
        "Deployment/service-a spec.template.spec.containers[name=app].image: found "
        "registry.internal/service-a:1.0.9, expected registry.internal/service-a:1.0.0"
    )


def test_a_plan_no_longer_holds_when_its_workload_is_gone() -> None:
    (conflict,) = still_holds(planned(workload()), {})
    assert conflict.found is ABSENT
