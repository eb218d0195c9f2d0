from __future__ import annotations

import pytest

from interlock.mesh.injection import injection
from interlock.mesh.mesh import Mesh
from interlock.mesh.settings import MeshSettings
from interlock.mesh.verdict import Answer
from tests.mesh.mesh_objects import APP, SIDECAR, Raw, deployment, mesh_of, only, pod

YES, NO, OPEN = Answer.YES, Answer.NO, Answer.INDETERMINATE
ENABLED = {"istio-injection": "enabled"}
DISABLED = {"istio-injection": "disabled"}
INJECT = "sidecar.istio.io/inject"


def space(labels: dict[str, str]) -> Raw:
    return {"kind": "Namespace", "metadata": {"name": "shop", "labels": labels}}


def template(
    labels: dict[str, str] | None = None, notes: dict[str, str] | None = None, **spec: object
) -> Raw:
    metadata = {"labels": {"app": "api", **(labels or {})}, "annotations": notes or {}}
    return deployment(metadata=metadata, spec={"containers": [APP], **spec})


CASES: list[tuple[str, dict[str, str], Raw, Answer]] = [
    ("a namespace without labels", {}, template(), NO),
    ("an enabled namespace", ENABLED, template(), YES),
    ("a disabled namespace", DISABLED, template(), NO),
    ("another value is not enabled", {"istio-injection": "true"}, template(), NO),
    ("a pod that says false", ENABLED, template({INJECT: "false"}), NO),
    ("a pod that says true in a namespace without labels", {}, template({INJECT: "true"}), YES),
    ("but not in a disabled one", DISABLED, template({INJECT: "true"}), NO),
    ("the annotation alone doesn't reach the webhook", {}, template(notes={INJECT: "true"}), NO),
    ("the annotation can opt out", ENABLED, template(notes={INJECT: "false"}), NO),
    ("the label is over the annotation", ENABLED, template({INJECT: "true"}, {INJECT: "false"}), YES),
    ("a value that doesn't exist counts as not set", ENABLED, template({INJECT: "maybe"}), YES),
    ("hostNetwork", ENABLED, template(hostNetwork=True), NO),
    ("the revision of the namespace", {"istio.io/rev": "default"}, template(), YES),
    ("a revision that isn't installed", {"istio.io/rev": "canary"}, template(), NO),
    ("the revision of the pod", {}, template({"istio.io/rev": "default"}), YES),
    (
        "the namespace's revision is over the pod's",
        {"istio.io/rev": "canary"},
        template({"istio.io/rev": "default"}),
        NO,
    ),
    ("istio-injection is over the revision", {**ENABLED, "istio.io/rev": "canary"}, template(), YES),
    ("disabled is over the revision", {**DISABLED, "istio.io/rev": "default"}, template(), NO),
    ("image: auto of a template", ENABLED, template(containers=[APP, SIDECAR | {"image": "auto"}]), YES),
    ("a sidecar that was put in by hand", {}, template(containers=[APP, SIDECAR]), YES),
    ("a pod that has one", {}, pod(), YES),
    ("a pod that has none, whatever its namespace says", ENABLED, pod(sidecar=False), NO),
]


@pytest.mark.parametrize(("labels", "raw", "expected"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_whether_a_workload_has_a_sidecar(labels: dict[str, str], raw: Raw, expected: Answer) -> None:
    mesh = mesh_of(space(labels), raw)
    found = injection(mesh, only(mesh))
    assert found.sidecar is expected, found.reasons
    assert found.reasons


def test_a_namespace_whose_labels_are_not_known() -> None:
    for raw, expected in ((template(), OPEN), (template({INJECT: "false"}), NO), (pod(), YES)):
        mesh = mesh_of(raw)
        assert injection(mesh, only(mesh)).sidecar is expected


@pytest.mark.parametrize(
    ("settings", "labels", "raw", "expected"),
    [
        ({"inject_by_default": True}, {}, template(), YES),
        ({"inject_by_default": True}, {}, template({INJECT: "false"}), NO),
        ({"inject_by_default": True}, DISABLED, template(), NO),
        ({"inject_policy_enabled": False}, ENABLED, template(), NO),
        ({"inject_policy_enabled": False}, ENABLED, template({INJECT: "true"}), YES),
        ({"revisions": ("canary",)}, ENABLED, template(), NO),
        ({"revisions": ("canary",)}, {"istio.io/rev": "canary"}, template(), YES),
        ({"revisions": ("default", "canary")}, {}, template({"istio.io/rev": "canary"}), YES),
    ],
)
def test_the_injector_s_settings(
    settings: dict[str, object], labels: dict[str, str], raw: Raw, expected: Answer
) -> None:
    mesh = mesh_of(space(labels), raw, **settings)
    assert injection(mesh, only(mesh)).sidecar is expected


def test_webhooks_that_are_given_are_believed() -> None:
    hook = {
        "kind": "MutatingWebhookConfiguration",
        "metadata": {"name": "mine"},
        "webhooks": [
            {
                "name": "x.sidecar-injector.istio.io",
                "namespaceSelector": {"matchLabels": {"team": "pay"}},
                "objectSelector": {"matchExpressions": [{"key": "skip", "operator": "DoesNotExist"}]},
            },
            {"name": "policy.example.com"},
        ],
    }
    for labels, raw, expected in (
        ({"team": "pay"}, template(), YES),
        ({"team": "pay"}, template({"skip": ""}), NO),
        (ENABLED, template(), NO),
    ):
        mesh = mesh_of(hook, space(labels), raw)
        assert injection(mesh, only(mesh)).sidecar is expected


def test_namespaces_that_the_injector_leaves_out() -> None:
    raw = template()
    raw["metadata"]["namespace"] = "kube-system"
    mesh = mesh_of({"kind": "Namespace", "metadata": {"name": "kube-system", "labels": ENABLED}}, raw)
    assert injection(mesh, only(mesh)).sidecar is NO


OURS = [{"matchLabels": {"app": "api"}}]
ANY_APP = [{"matchExpressions": [{"key": "app", "operator": "Exists"}]}]
NO_VALUES = [{"matchExpressions": [{"key": "app", "operator": "NotIn", "values": []}]}]
SELECTORS: list[tuple[str, dict[str, str], Raw, Answer]] = [
    ("never leaves out", {}, {"neverInjectSelector": OURS}, NO),
    ("an empty selector is passed over", {}, {"neverInjectSelector": [{}]}, YES),
    ("an invalid selector is passed over", {}, {"neverInjectSelector": NO_VALUES}, YES),
    ("a pod that asks is not left out", {INJECT: "true"}, {"neverInjectSelector": OURS}, YES),
    ("a value that is odd does not ask", {INJECT: "odd"}, {"neverInjectSelector": OURS}, NO),
    ("never before always", {}, {"neverInjectSelector": ANY_APP, "alwaysInjectSelector": OURS}, NO),
]


@pytest.mark.parametrize(
    ("labels", "values", "expected"), [case[1:] for case in SELECTORS], ids=[case[0] for case in SELECTORS]
)
def test_the_injectors_selectors_decide_for_pods_that_say_nothing(
    labels: dict[str, str], values: Raw, expected: Answer
) -> None:
    settings = MeshSettings.of({}, {"sidecarInjectorWebhook": values})
    mesh = Mesh.of([template(labels), space(ENABLED)], settings)
    assert injection(mesh, only(mesh)).sidecar is expected


@pytest.mark.parametrize(("selectors", "expected"), [([], NO), (OURS, YES)])
def test_a_disabled_injector_injects_only_what_it_always_takes(
    selectors: list[Raw], expected: Answer
) -> None:
    values = {
        "global": {"proxy": {"autoInject": "disabled"}},
        "sidecarInjectorWebhook": {"alwaysInjectSelector": selectors},
    }
    mesh = Mesh.of([template(), space(ENABLED)], MeshSettings.of({}, values))
    assert injection(mesh, only(mesh)).sidecar is expected


@pytest.mark.parametrize(("revision", "expected"), [("canary", YES), ("prod", YES), ("default", NO)])
def test_a_revision_is_injected_by_its_name_and_by_its_tags(revision: str, expected: Answer) -> None:
    settings = MeshSettings.of({}, {"revision": "canary", "revisionTags": ["prod"]})
    mesh = Mesh.of([template(), space({"istio.io/rev": revision})], settings)
    assert injection(mesh, only(mesh)).sidecar is expected
