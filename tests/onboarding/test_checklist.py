"""Each item of the checklist: done, not done in each way, and done once its fix is applied."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import yaml

from interlock.environment.check import Unseen
from interlock.manifest import Manifest
from interlock.onboarding.applying import as_yaml
from interlock.onboarding.checklist import RULES, Checklist, Item
from interlock.onboarding.facts import Alerts, Facts, Promotion, VaultFacts, VaultRole
from interlock.onboarding.items import GROUPS, ITEMS
from tests.mesh.mesh_objects import SIDECAR
from tests.onboarding.onboarded_service import (
    NAMESPACE,
    OBSERVED,
    Raw,
    after,
    facts,
    named,
    of,
    pod_of,
    remove,
    train,
    workload,
)


def item(made: Facts, id: str) -> Item:
    return next(one for one in Checklist.of(made, "sandbox").items if one.id == id)


def left(made: Facts) -> list[tuple[str, str]]:
    """What isn't done, but for the traffic of pods that were only just made."""
    items = Checklist.of(made, "sandbox").items
    return [(o.id, o.said) for o in items if o.verdict != "done" and o.id != "monitoring.golden-signals"]


def test_each_item_has_a_rule_and_a_group() -> None:
    assert set(RULES) == set(ITEMS)
    assert {id.partition(".")[0] for id in ITEMS} == set(GROUPS)


def test_a_service_with_everything_is_ready() -> None:
    made = Checklist.of(facts(), "sandbox")
    assert [(one.id, one.said) for one in made.items if one.verdict != "done"] == []
    assert made.ready
    assert made.manifests == ()


# What is missing, and a manifest mends


def _container(raws: list[Raw], **changes: Any) -> None:
    container = pod_of(raws)["spec"]["containers"][0]
    for key, value in changes.items():
        if value is None:
            del container[key]
        else:
            container[key] = value


def _no_sidecar(raws: list[Raw]) -> None:
    pod = of(raws, "Pod", "service-c-0")
    pod["spec"]["containers"].remove(SIDECAR)


def _peer(raws: list[Raw], mode: str, **spec: Any) -> None:
    of(raws, "PeerAuthentication", "default")["spec"] = {"mtls": {"mode": mode}, **spec}


def _older(raws: list[Raw], kind: str, name: str = "older", **spec: Any) -> None:
    group = "networking" if kind == "DestinationRule" else "security"
    made = named(f"{group}.istio.io/v1", kind, name, spec=spec)
    made["metadata"]["creationTimestamp"] = "2025-01-01T00:00:00Z"
    raws.append(made)


_CHOSEN = {"matchLabels": {"app": "service-c"}}
_MENDED: list[tuple[str, str, Callable[[list[Raw]], object]]] = [
    ("structure.labels", "a label of the pods", lambda r: pod_of(r)["metadata"]["labels"].pop("team")),
    ("structure.labels", "another value", lambda r: pod_of(r)["metadata"]["labels"].update(team="x")),
    (
        "structure.labels",
        "a label of its own",
        lambda r: of(r, "Deployment", "service-c")["metadata"].pop("labels"),
    ),
    ("structure.ports", "no name", lambda r: of(r, "Service", "service-c")["spec"]["ports"][0].pop("name")),
    (
        "structure.ports",
        "a name that says nothing",
        lambda r: of(r, "Service", "service-c")["spec"]["ports"][0].update(name="web"),
    ),
    ("structure.ports", "no Service", lambda r: remove(r, "Service")),
    ("structure.probes", "no readiness probe", lambda r: _container(r, readinessProbe=None)),
    (
        "structure.probes",
        "no probe, and a port without a name",
        lambda r: _container(r, readinessProbe=None, livenessProbe=None, ports=[{"containerPort": 8080}]),
    ),
    ("structure.resources", "none", lambda r: _container(r, resources=None)),
    (
        "structure.resources",
        "a limit that is less than the default request",
        lambda r: _container(r, resources={"limits": {"memory": "8Mi"}}),
    ),
    (
        "structure.resources",
        "no limit",
        lambda r: _container(r, resources={"requests": {"cpu": "1", "memory": "4Gi"}}),
    ),
    (
        "structure.service-account",
        "the default",
        lambda r: pod_of(r)["spec"].pop("serviceAccountName"),
    ),
    (
        "structure.service-account",
        "another's",
        lambda r: pod_of(r)["spec"].update(serviceAccountName="service-a"),
    ),
    (
        "structure.service-account",
        "one that isn't there",
        lambda r: remove(r, "ServiceAccount", name="service-c"),
    ),
    ("structure.disruption-budget", "none", lambda r: remove(r, "PodDisruptionBudget")),
    (
        "structure.disruption-budget",
        "one that lets nothing go",
        lambda r: of(r, "PodDisruptionBudget", "service-c").update(
            spec={"minAvailable": "100%", "selector": _CHOSEN}
        ),
    ),
    (
        "structure.disruption-budget",
        "one that lets none go",
        lambda r: of(r, "PodDisruptionBudget", "service-c").update(
            spec={"maxUnavailable": 0, "selector": _CHOSEN}
        ),
    ),
    (
        "structure.topology",
        "none",
        lambda r: pod_of(r)["spec"].pop("topologySpreadConstraints"),
    ),
    (
        "structure.topology",
        "for other pods",
        lambda r: pod_of(r)["spec"]["topologySpreadConstraints"][0].update(
            labelSelector={"matchLabels": {"app": "x"}}
        ),
    ),
    ("mesh.injection", "pods from before", _no_sidecar),
    (
        "mesh.injection",
        "opted out",
        lambda r: (
            _no_sidecar(r),
            pod_of(r)["metadata"]["labels"].update({"sidecar.istio.io/inject": "false"}),
        ),
    ),
    (
        "mesh.injection",
        "a namespace that is disabled",
        lambda r: (
            _no_sidecar(r),
            of(r, "Namespace", NAMESPACE)["metadata"].update(labels={"istio-injection": "disabled"}),
        ),
    ),
    (
        "mesh.injection",
        "disabled, and opted out",
        lambda r: (
            _no_sidecar(r),
            of(r, "Namespace", NAMESPACE)["metadata"].update(labels={"istio-injection": "disabled"}),
            pod_of(r)["metadata"]["labels"].update({"sidecar.istio.io/inject": "false"}),
        ),
    ),
    ("mesh.strict", "PERMISSIVE", lambda r: _peer(r, "PERMISSIVE")),
    ("mesh.strict", "no policy", lambda r: remove(r, "PeerAuthentication")),
    ("mesh.strict", "no sidecar", lambda r: (_no_sidecar(r), _peer(r, "PERMISSIVE"))),
    (
        "mesh.strict",
        "an older policy of its own",
        lambda r: _older(r, "PeerAuthentication", selector=_CHOSEN, mtls={"mode": "PERMISSIVE"}),
    ),
    (
        "mesh.strict",
        "a port of an older policy",
        lambda r: _older(
            r,
            "PeerAuthentication",
            selector=_CHOSEN,
            mtls={"mode": "STRICT"},
            portLevelMtls={"8080": {"mode": "DISABLE"}},
        ),
    ),
    (
        "mesh.strict",
        "a port that passes the sidecar by",
        lambda r: [
            one["metadata"]
            .setdefault("annotations", {})
            .update({"traffic.sidecar.istio.io/excludeInboundPorts": "8080"})
            for one in (pod_of(r), of(r, "Pod", "service-c-0"))
        ],
    ),
    ("mesh.authorization", "no policy", lambda r: remove(r, "AuthorizationPolicy")),
    (
        "mesh.authorization",
        "everybody",
        lambda r: of(r, "AuthorizationPolicy", "service-c")["spec"].update(rules=[{}]),
    ),
    (
        "mesh.authorization",
        "the caller is not named",
        lambda r: of(r, "AuthorizationPolicy", "service-c")["spec"].update(rules=[]),
    ),
    (
        "mesh.authorization",
        "another policy lets others in",
        lambda r: _older(
            r,
            "AuthorizationPolicy",
            selector=_CHOSEN,
            rules=[{"from": [{"source": {"namespaces": [NAMESPACE]}}]}],
        ),
    ),
    ("mesh.destination-rule", "none", lambda r: remove(r, "DestinationRule")),
    ("mesh.destination-rule", "no Service", lambda r: remove(r, "DestinationRule", "Service")),
    (
        "mesh.destination-rule",
        "plaintext",
        lambda r: of(r, "DestinationRule", "service-c")["spec"].update(
            trafficPolicy={"tls": {"mode": "DISABLE"}}
        ),
    ),
    (
        "mesh.destination-rule",
        "an older one sends plaintext",
        lambda r: _older(
            r,
            "DestinationRule",
            host="service-c",
            trafficPolicy={"tls": {"mode": "DISABLE"}},
        ),
    ),
    (
        "monitoring.scraped",
        "switched off",
        lambda r: [
            one["metadata"].setdefault("annotations", {}).update({"prometheus.io/scrape": "false"})
            for one in (pod_of(r), of(r, "Pod", "service-c-0"))
        ],
    ),
    ("monitoring.scraped", "no sidecar", _no_sidecar),
]


@pytest.mark.parametrize(
    ("id", "change"), [(id, change) for id, _, change in _MENDED], ids=[f"{i}: {w}" for i, w, _ in _MENDED]
)
def test_what_is_missing_is_done_once_its_manifest_is_applied(
    id: str, change: Callable[[list[Raw]], object]
) -> None:
    before = facts(change)
    found = item(before, id)
    assert found.verdict == "missing", found
    assert found.fix is not None
    assert found.fix.manifests, found.fix
    # As somebody would who copies it from the page.
    copied = tuple(Manifest.of(raw) for raw in yaml.safe_load_all(as_yaml(found.fix.manifests)))
    done = item(after(before, copied), id)
    assert done.verdict == "done", (found, done)


@pytest.mark.parametrize("id", sorted({id for id, _, _ in _MENDED}))
def test_a_manifest_leaves_alone_what_is_done(id: str) -> None:
    change = next(change for other, _, change in _MENDED if other == id)
    before = facts(change)
    checklist = Checklist.of(before, "sandbox")
    assert left(after(before, checklist.manifests)) == []


def test_all_that_is_missing_is_one_manifest_for_each_object() -> None:
    def bare(raws: list[Raw]) -> None:
        remove(raws, "PodDisruptionBudget", "AuthorizationPolicy", "DestinationRule", "PeerAuthentication")
        _no_sidecar(raws)
        _container(raws, readinessProbe=None, livenessProbe=None, resources=None)
        pod_of(raws)["spec"].pop("topologySpreadConstraints")
        pod_of(raws)["spec"].pop("serviceAccountName")

    before = facts(bare)
    checklist = Checklist.of(before, "sandbox")
    refs = [one.ref for one in checklist.manifests]
    assert len(refs) == len(set(refs))
    (deployment,) = (one for one in checklist.manifests if one.kind == "Deployment")
    (container,) = deployment.spec["template"]["spec"]["containers"]
    assert set(container) == {"name", "readinessProbe", "livenessProbe", "resources"}
    assert "replicas" not in deployment.spec
    assert left(after(before, checklist.manifests)) == []


def test_what_was_applied_before_is_applied_again_with_what_is_missing_now() -> None:
    applied_before = {
        "manager": "interlock-onboarding",
        "operation": "Apply",
        "fieldsV1": {
            "f:spec": {
                "f:template": {
                    "f:spec": {
                        "f:containers": {
                            'k:{"name":"app"}': {
                                ".": {},
                                "f:name": {},
                                "f:resources": {"f:limits": {"f:memory": {}}},
                            }
                        }
                    }
                }
            }
        },
    }

    def change(raws: list[Raw]) -> None:
        of(raws, "Deployment", "service-c")["metadata"]["managedFields"] = [applied_before]
        _container(raws, readinessProbe=None)

    (made,) = Checklist.of(facts(change), "sandbox").manifests
    (container,) = made.spec["template"]["spec"]["containers"]
    assert container["resources"] == {"limits": {"memory": "64Mi"}}
    assert set(container) == {"name", "readinessProbe", "resources"}


# What is missing, and no manifest mends


_ROLE = VaultRole(("service-c",), ("service-c",), (NAMESPACE,))
_SECRETS = {"services/service-c": ("key",)}
_NOTHING = Unseen("nothing is there", "missing")


def _vault(role: VaultRole | Unseen = _ROLE, secrets: Any = None) -> dict[str, Any]:
    return {"vault": VaultFacts("secret", 2, role, _SECRETS if secrets is None else secrets)}


def _train(*trains: Any, broken: Any = None, dry_run: Any = ()) -> dict[str, Any]:
    return {"promotion": Promotion(trains, broken or {}, dry_run)}


_FULL = train(service_a=(), service_b=(), service_c=("service-a",))
_TOLD: list[tuple[str, dict[str, Any], str]] = [
    (
        "monitoring.golden-signals",
        {"observed": replace(OBSERVED, timed=frozenset())},
        "istio_request_duration_milliseconds",
    ),
    ("vault.role", _vault(_NOTHING), "there is no role kubernetes/service-c"),
    ("vault.role", _vault(replace(_ROLE, policies=("default",))), "no policy of its own"),
    ("vault.role", _vault(replace(_ROLE, policies=("root",))), "it has the policy root"),
    ("vault.role", _vault(replace(_ROLE, service_accounts=("*",))), "not for service-c alone"),
    ("vault.role", _vault(replace(_ROLE, namespaces=("a", NAMESPACE))), "namespaces a, payments"),
    ("vault.paths", _vault(secrets={"services/service-c": _NOTHING}), "is not there"),
    ("vault.paths", _vault(secrets={"services/service-c": ("other",)}), "has no key key"),
    ("promotion.train", _train(train(service_a=())), "no train"),
    (
        "promotion.train",
        _train(broken={"payments": "payments.yaml:3: found 'service-q'"}),
        "payments.yaml:3: found 'service-q'",
    ),
    ("promotion.dependencies", _train(train(service_c=("service-q",))), "which the train doesn't have"),
    (
        "promotion.dependencies",
        _train(train(service_a=("service-c",), service_c=("service-a",))),
        "services wait for each other",
    ),
    (
        "promotion.dependencies",
        _train(train(service_q=(), service_c=("service-q",))),
        "no Deployment service-q",
    ),
    ("promotion.dependencies", _train(train(service_a=())), "it is in no train"),
    ("promotion.dry-run", _train(_FULL, dry_run=("it is paused",)), "it is paused"),
    ("promotion.dry-run", _train(_FULL, dry_run=_NOTHING), "nothing is there"),
]


@pytest.mark.parametrize(("id", "fields", "said"), _TOLD)
def test_what_no_manifest_mends_says_what_to_do(id: str, fields: dict[str, Any], said: str) -> None:
    found = item(facts(**fields), id)
    assert found.verdict == "missing"
    assert said in found.said
    assert found.fix is not None
    assert found.fix.said
    assert not found.fix.manifests


def test_the_commands_for_vault_are_whole() -> None:
    fix = item(facts(**_vault(_NOTHING)), "vault.role").fix
    assert fix is not None
    assert fix.text == (
        "vault policy write service-c - <<'EOF'\n"
        'path "secret/data/services/service-c" { capabilities = ["read"] }\n'
        "EOF\n"
        "vault write auth/kubernetes/role/service-c bound_service_account_names=service-c "
        "bound_service_account_namespaces=payments token_policies=service-c token_ttl=1h\n"
    )


def test_a_service_without_a_train_is_told_its_entry() -> None:
    fix = item(facts(**_train(train(service_a=()))), "promotion.train").fix
    assert fix is not None
    assert yaml.safe_load(fix.text) == {"services": {"service-c": {"image": "registry.internal/service-c"}}}
    assert fix.file == "include/trains/payments.yaml"


@pytest.mark.parametrize("operator", [True, False])
def test_alert_rules_are_an_object_or_a_file_and_name_the_service(operator: bool) -> None:
    before = facts(alerts=Alerts((), operator))
    found = item(before, "monitoring.alert-rules")
    assert found.verdict == "missing"
    assert found.fix is not None
    if operator:
        assert item(after(before, found.fix.manifests), "monitoring.alert-rules").verdict == "done"
    else:
        assert len(yaml.safe_load(found.fix.text)["groups"][0]["rules"]) == 3


def test_a_rule_about_a_service_with_a_longer_name_is_no_rule_of_it() -> None:
    rules = replace(facts().alerts, rules=(replace(facts().alerts.rules[0], expression='x{w="service-c2"}'),))  # type: ignore[union-attr, type-var]
    assert item(facts(alerts=rules), "monitoring.alert-rules").verdict == "missing"


def test_a_label_in_an_immutable_selector_is_not_patched() -> None:
    def change(raws: list[Raw]) -> None:
        pod_of(raws)["metadata"]["labels"]["app"] = "other"
        of(raws, "Deployment", "service-c")["spec"]["selector"]["matchLabels"] = {"app": "other"}

    found = item(facts(change), "structure.labels")
    assert found.verdict == "missing"
    assert found.fix is not None
    assert not found.fix.manifests
    assert "can't be changed" in found.fix.said


def test_labels_of_the_mesh_are_none_that_services_have_to_share() -> None:
    def change(raws: list[Raw]) -> None:
        for name in ("service-a", "service-b"):
            template = of(raws, "Deployment", name)["spec"]["template"]
            template["metadata"]["labels"]["sidecar.istio.io/inject"] = "false"

    assert item(facts(change), "structure.labels").verdict == "done"


def test_several_budgets_are_one_too_many() -> None:
    def change(raws: list[Raw]) -> None:
        raws.append(named("policy/v1", "PodDisruptionBudget", "two", spec={"selector": {}}))

    assert item(facts(change), "structure.disruption-budget").verdict == "missing"


def test_whether_callers_may_call_is_not_told_where_an_outside_authorizer_decides() -> None:
    def change(raws: list[Raw]) -> None:
        asked = {"action": "CUSTOM", "provider": {"name": "outside"}, "selector": _CHOSEN, "rules": [{}]}
        raws.append(named("security.istio.io/v1", "AuthorizationPolicy", "outside", spec=asked))

    found = item(facts(change), "mesh.authorization")
    assert found.verdict == "not-checked"
    assert "service-b" in found.said
    assert "payments/outside" in found.said


def test_a_policy_that_no_manifest_of_the_namespace_outweighs_is_named() -> None:
    def change(raws: list[Raw]) -> None:
        deny = {"action": "DENY", "rules": [{}]}
        raws.append(named("security.istio.io/v1", "AuthorizationPolicy", "stop", spec=deny))

    found = item(facts(change), "mesh.authorization")
    assert found.verdict == "missing"
    assert found.fix is not None
    assert not found.fix.manifests


def test_a_service_that_nothing_runs_is_missing_everything_of_its_structure() -> None:
    made = Checklist.of(facts(lambda raws: remove(raws, "Deployment", "Pod", name="service-c")), "sandbox")
    lacking = {one.id for one in made.items if one.verdict == "missing"}
    assert {id for id in ITEMS if id.startswith(("structure", "mesh"))} <= lacking


@pytest.mark.parametrize("kind", ["StatefulSet", "DaemonSet"])
def test_other_kinds_of_workloads_are_looked_at_as_well(kind: str) -> None:
    def change(raws: list[Raw]) -> None:
        remove(raws, "Deployment", name="service-c")
        raws.append(workload("service-c", kind))

    made = Checklist.of(facts(change, file={"kind": kind}), "sandbox")
    assert [one.id for one in made.items if not one.complete and one.group != "promotion"] == []
    assert item(facts(change), "structure.labels").verdict == "missing"


# What could not be seen


_AWAY = Unseen("the API server said 403", "forbidden")


@pytest.mark.parametrize("kind", ["Deployment", "Service", "ServiceAccount", "PodDisruptionBudget"])
def test_a_kind_that_may_not_be_listed_is_not_checked(kind: str) -> None:
    before = facts()
    made = Checklist.of(replace(before, objects={**before.objects, kind: _AWAY}), "sandbox")
    unseen = [one for one in made.items if one.verdict == "not-checked"]
    assert unseen
    assert all(one.said == _AWAY.why for one in unseen)
    assert not made.ready


@pytest.mark.parametrize(
    ("field", "group"),
    [
        ("mesh", "mesh."),
        ("observed", "monitoring.golden"),
        ("alerts", "monitoring.alert"),
        ("vault", "vault."),
    ],
)
def test_what_could_not_be_looked_at_never_passes(field: str, group: str) -> None:
    made = Checklist.of(facts(**{field: _AWAY}), "sandbox")
    unseen = {one.id for one in made.items if one.verdict == "not-checked"}
    assert {id for id in ITEMS if id.startswith(group)} <= unseen
    assert not made.ready


def test_secrets_and_a_plan_that_could_not_be_looked_at_are_not_checked() -> None:
    made = facts(**_vault(secrets={"services/service-c": _AWAY}), **_train(_FULL, dry_run=_AWAY))
    assert item(made, "vault.paths").verdict == item(made, "promotion.dry-run").verdict == "not-checked"
    assert item(facts(**_vault(_AWAY)), "vault.role").verdict == "not-checked"


# Exceptions


def _excepted(until: str, **fields: Any) -> Item:
    exception = {"item": "vault.role", "reason": "the role comes with the next sprint", "until": until}
    return item(facts(file={"exceptions": [exception]}, **fields), "vault.role")


@pytest.mark.parametrize("until", ["2026-11-30", "2027-01-01"])
@pytest.mark.parametrize("role", [_NOTHING, _AWAY])
def test_an_exception_holds_through_its_last_day(until: str, role: Unseen) -> None:
    found = _excepted(until, **_vault(role))
    assert (found.verdict, found.complete) == ("excepted", True)
    assert found.reason == "the role comes with the next sprint"


@pytest.mark.parametrize(("role", "verdict"), [(_NOTHING, "missing"), (_AWAY, "not-checked")])
def test_an_exception_that_ended_no_longer_counts_and_says_so(role: Unseen, verdict: str) -> None:
    found = _excepted("2026-11-29", **_vault(role))
    assert (found.verdict, found.complete) == (verdict, False)
    assert "its exception ended on 2026-11-29: the role comes with the next sprint" in found.said


def test_what_is_done_needs_no_exception() -> None:
    assert _excepted("2027-01-01").verdict == "done"


def test_an_exception_counts_for_its_own_item_alone() -> None:
    exception = {"item": "vault.role", "reason": "later", "until": "2027-01-01"}
    made = Checklist.of(facts(file={"exceptions": [exception]}, vault=_AWAY), "sandbox")
    assert [one.id for one in made.items if not one.complete] == ["vault.paths"]
    assert not made.ready


def test_the_text_names_each_item_and_what_to_do() -> None:
    made = Checklist.of(facts(**_vault(_NOTHING)), "sandbox")
    text = made.text()
    assert text.startswith("service-c in sandbox: NOT READY for promotion: 18 done, 1 missing")
    assert all(f"[{id}]" in text for id in ITEMS)
    assert "vault write auth/kubernetes/role/service-c" in text


def test_what_looks_like_a_secret_is_withheld() -> None:
    token = "hvs." + "A" * 90
    made = Checklist.of(facts(vault=Unseen(f"refused for {token}")), "sandbox")
    assert token not in str(made.page()) + str(made.evidence()) + made.text()
