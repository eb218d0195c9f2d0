"""What a manifest of the checklist must not do: take something from others, or from who calls today."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import yaml

from interlock.manifest import Manifest
from interlock.mesh.traffic import Requests, Security, Source
from interlock.onboarding.checklist import Checklist, Item
from interlock.onboarding.facts import Facts
from interlock.onboarding.found import Fix
from interlock.onboarding.service_file import ServiceFile
from tests.onboarding.onboarded_service import OBSERVED, Raw, after, facts, named, of, remove

ISTIO = "security.istio.io/v1"


def item(made: Facts, id: str) -> Item:
    return next(one for one in Checklist.of(made, "sandbox").items if one.id == id)


def fix(made: Facts, id: str) -> Fix:
    found = item(made, id)
    assert found.verdict == "missing", found
    assert found.fix is not None
    return found.fix


def mended(before: Facts, id: str) -> Facts:
    """The facts once the item's manifests were applied; then it is done."""
    made = after(before, fix(before, id).manifests)
    assert item(made, id).verdict == "done"
    return made


def in_mesh(made: Facts, kind: str, name: str) -> Manifest:
    return next(one for one in made.mesh.objects if (one.kind, one.name) == (kind, name))  # type: ignore[union-attr]


def called_by(principal: str, security: Security = Security.MUTUAL_TLS, code: int = 200) -> dict[str, Any]:
    source = Source("web", "shop", principal)
    found = Requests("service-c-0", "service-c", "service-c", source, code, security, 3.0)
    return {"observed": replace(OBSERVED, requests=(found,))}


@pytest.mark.parametrize("selector", [{}, {"selector": {"matchLabels": {"team": "payments"}}}])
def test_a_policy_that_lets_others_be_called_too_is_named_and_not_changed(selector: Raw) -> None:
    def change(raws: list[Raw]) -> None:
        raws.append(named(ISTIO, "AuthorizationPolicy", "open", spec={**selector, "rules": [{}]}))

    found = fix(facts(change), "mesh.authorization")
    assert found.manifests == ()
    assert "AuthorizationPolicy/open" in found.said


def test_who_calls_is_asked_of_the_owner_before_a_manifest_would_lock_out_all() -> None:
    def change(raws: list[Raw]) -> None:
        remove(raws, "AuthorizationPolicy")

    silent = replace(
        facts(change, **called_by("spiffe://cluster.local/ns/shop/sa/web")),
        file=ServiceFile(kind="Deployment"),
    )
    found = fix(silent, "mesh.authorization")
    assert found.manifests == ()
    assert found.file == "include/services/service-c.yaml"
    assert yaml.safe_load(found.text) == {"callers": ["shop/web"]}
    told = replace(silent, file=ServiceFile.model_validate(yaml.safe_load(found.text)))
    assert fix(told, "mesh.authorization").manifests
    nobody = replace(silent, file=ServiceFile(callers=[]))
    assert fix(nobody, "mesh.authorization").manifests


def test_a_manifest_that_ends_calls_of_today_says_whose() -> None:
    def change(raws: list[Raw]) -> None:
        remove(raws, "AuthorizationPolicy", "PeerAuthentication")

    stranger = "spiffe://cluster.local/ns/shop/sa/web"
    assert "shop/web" in fix(facts(change, **called_by(stranger)), "mesh.authorization").said
    assert "let in" not in fix(facts(change, **called_by(stranger)), "mesh.strict").said
    assert "let in" not in fix(facts(change, **called_by(stranger, code=403)), "mesh.authorization").said
    friend = called_by("spiffe://cluster.local/ns/payments/sa/service-b")
    assert "let in" not in fix(facts(change, **friend), "mesh.authorization").said
    assert "shop/web" in fix(facts(change, **called_by("unknown", Security.NONE)), "mesh.strict").said


def test_a_rule_that_says_more_than_who_calls_stays_as_it_is() -> None:
    rule = {
        "from": [{"source": {"principals": ["cluster.local/ns/payments/sa/service-b"]}}],
        "to": [{"operation": {"methods": ["GET"]}}],
    }

    def change(raws: list[Raw]) -> None:
        of(raws, "AuthorizationPolicy", "service-c")["spec"]["rules"] = [rule]

    before = facts(change, file={"callers": ["service-b", "shop/web"]})
    made = mended(before, "mesh.authorization")
    rules = in_mesh(made, "AuthorizationPolicy", "service-c").spec["rules"]
    assert rules == [rule, {"from": [{"source": {"principals": ["cluster.local/ns/shop/sa/web"]}}]}]


def test_an_object_that_has_the_service_s_name_and_another_purpose_is_left_as_it_is() -> None:
    other = {"matchLabels": {"app": "service-b"}}
    strangers = [{"from": [{"source": {"principals": ["cluster.local/ns/shop/sa/web"]}}]}]
    deny = {"action": "DENY", "selector": {"matchLabels": {"app": "service-c"}}, "rules": strangers}
    specs = {
        "AuthorizationPolicy": deny,
        "PeerAuthentication": {"selector": other, "mtls": {"mode": "STRICT"}},
        "DestinationRule": {"host": "elsewhere.example.com", "trafficPolicy": {"tls": {"mode": "SIMPLE"}}},
        "PodDisruptionBudget": {"maxUnavailable": 2, "selector": other},
    }
    apis = {"DestinationRule": "networking.istio.io/v1", "PodDisruptionBudget": "policy/v1"}

    def change(raws: list[Raw]) -> None:
        for kind, spec in specs.items():
            remove(raws, kind)
            raws.append(named(apis.get(kind, ISTIO), kind, "service-c", spec=spec))

    before = facts(change)
    for id in ("mesh.authorization", "mesh.strict", "mesh.destination-rule", "structure.disruption-budget"):
        made = mended(before, id)
        assert {kind: in_mesh(made, kind, "service-c").spec for kind in specs} == specs, id


def test_a_service_that_leads_elsewhere_is_not_turned_round() -> None:
    def change(raws: list[Raw]) -> None:
        of(raws, "Service", "service-c")["spec"]["selector"] = {"app": "older"}
        remove(raws, "DestinationRule")

    for id in ("structure.ports", "mesh.destination-rule"):
        assert fix(facts(change), id).manifests == ()


def test_what_is_chosen_by_expressions_is_chosen_by_all_labels_of_its_pods() -> None:
    expressions = [{"key": "app", "operator": "In", "values": ["service-c"]}]
    kinds = ("AuthorizationPolicy", "PeerAuthentication", "PodDisruptionBudget", "Service", "DestinationRule")

    def change(raws: list[Raw]) -> None:
        of(raws, "Deployment", "service-c")["spec"]["selector"] = {"matchExpressions": expressions}
        remove(raws, *kinds)

    found = Checklist.of(facts(change), "sandbox")
    made = {one.kind: one for one in found.manifests}
    labels = {"app": "service-c", "team": "payments"}
    for kind in kinds[:3]:
        assert made[kind].spec["selector"] == {"matchLabels": labels}, kind
    assert made["Service"].spec["selector"] == labels


@pytest.mark.parametrize("least", ["100%", 0])
def test_the_budget_of_what_is_scaled_to_nothing_is_none_that_the_api_refuses(least: Any) -> None:
    def change(raws: list[Raw]) -> None:
        of(raws, "Deployment", "service-c")["spec"]["replicas"] = 0
        of(raws, "PodDisruptionBudget", "service-c")["spec"] = {
            "minAvailable": least,
            "selector": {"matchLabels": {"app": "service-c"}},
        }

    made = facts(change)
    if least == 0:
        assert item(made, "structure.disruption-budget").verdict == "done"
    else:
        [budget] = fix(made, "structure.disruption-budget").manifests
        assert budget.spec == {"minAvailable": 0}
