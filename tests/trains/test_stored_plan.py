"""A plan as it is stored, hashed and shown."""

from __future__ import annotations

import copy
import hashlib
import json
from typing import Any

import pytest
from planned_services import IMAGE, config, owned_by, plan_of, workload

from interlock.manifest import Manifest, ObjectRef
from interlock.trains.change import Change, FieldWrite, ObjectChange
from interlock.trains.fields import ABSENT, FieldPath
from interlock.trains.plan import Plan, PlanError, as_list, render


def test_a_plan_reads_back_from_its_json() -> None:
    writes = (
        FieldWrite(IMAGE, ABSENT, "r/a:1"),
        FieldWrite(FieldPath.of("spec", "x"), None, ABSENT, "kubectl"),
    )
    plan = Plan.of("t", "e", [Change("a", ObjectRef("apps/v1", "Deployment", "n", "a"), writes)])
    assert Plan.from_json(json.loads(json.dumps(plan.to_json()))) == plan


def test_the_hash_of_a_plan_is_of_its_canonical_json() -> None:
    plan = plan_of(config(service_a="1.1.0"), {"service-a": Manifest.of(workload())})
    canonical = (
        '{"changes":[{"ref":{"apiVersion":"apps/v1","kind":"Deployment","name":"service-a",'
        '"namespace":"payments"},"service":"service-a","writes":[{"after":"registry.internal/service-a:1.1.0",'
        '"before":"registry.internal/service-a:1.0.0","path":"spec.template.spec.containers[name=app].image"}]}],'
        '"environment":"sandbox","train":"payments","version":1}'
    )
    assert plan.hash == hashlib.sha256(canonical.encode()).hexdigest()
    again = plan_of(config(service_a="1.1.0"), {"service-a": Manifest.of(copy.deepcopy(workload()))})
    assert again == plan


def test_anything_else_gives_another_hash() -> None:
    raw = workload()
    raw["metadata"]["managedFields"] = owned_by("kubectl")
    plans = [
        plan_of(config(service_a=tag), {"service-a": Manifest.of(live)})
        for tag in ("1.1.0", "1.2.0")
        for live in (workload(), workload(tag="0.9"), raw)
    ]
    assert len({plan.hash for plan in plans}) == 6


def test_a_stored_plan_that_was_altered_is_refused() -> None:
    plan = plan_of(config(service_a="1.1.0"), {"service-a": Manifest.of(workload())})
    data = plan.to_json()
    data["changes"][0]["writes"][0]["after"] = "evil:1"
    with pytest.raises(PlanError, match=f"the plan was altered: its hash is .*, expected {plan.hash}"):
        Plan.from_json(data)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({}, "a plan of version None, expected version 1"),
        ({"version": 2}, "a plan of version 2, expected version 1"),
        ({"version": 1}, "not a plan: KeyError: 'changes'"),
        ({"version": 1, "changes": [1]}, "not a plan: TypeError"),
        (
            {"version": 1, "changes": [{"service": "a", "ref": {}, "writes": [{"path": "."}]}]},
            "not a field path",
        ),
    ],
)
def test_what_is_no_stored_plan_is_refused(data: dict[str, Any], message: str) -> None:
    with pytest.raises(PlanError, match=message):
        Plan.from_json(data)


def test_a_plan_is_shown_with_what_changes_what_stays_and_what_is_taken_over() -> None:
    raw = workload()
    raw["metadata"]["managedFields"] = owned_by("kubectl")
    live = {"service-a": Manifest.of(raw), "service-b": Manifest.of(workload("service-b"))}
    plan = plan_of(config(service_a="1.1.0", service_b="1.0.0"), live)
    assert render(plan).splitlines() == [
        f"Plan {plan.hash[:12]}: train payments to sandbox, 1 to change, 1 already live",
        "service-a: Deployment/service-a",
        "  spec.template.spec.containers[name=app].image",
        "    registry.internal/service-a:1.0.0 → registry.internal/service-a:1.1.0",
        "    taken over from kubectl",
        "service-b: Deployment/service-b is already live, nothing to do",
    ]


def test_a_plan_that_no_journal_holds_is_refused_before_anything_is_locked() -> None:
    large = FieldWrite(FieldPath.parse("data.FILE"), "a" * 500_000, "b" * 500_000, None)
    further = ObjectChange(ObjectRef("v1", "ConfigMap", "payments", "files"), (large,))
    change = Change("a", ObjectRef("apps/v1", "Deployment", "payments", "a"), (), objects=(further,))
    with pytest.raises(PlanError, match=r"takes 1000\d+ bytes, more than a run's journal holds \(900000\)"):
        Plan.of("payments", "sandbox", [change])


def test_a_plan_is_read_line_by_line_where_only_markdown_is_shown() -> None:
    text = "Plan 1: train t\na: Deployment/a\n  image\n    `1` → 2"
    assert as_list(text) == "Plan 1: train t\n\n- `a: Deployment/a`\n  - `image`\n    - `'1' → 2`"
