"""The manifests of a release: what is read, and what a person is told about a wrong one."""

# ruff: noqa: E501 - a case of a table is a line, with the whole message
from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from interlock.trains.kinds import KINDS
from interlock.trains.model import Train, TrainFileError, load_train

INCLUDE = Path(__file__).parents[2] / "include"
TRAIN = """
services:
  service-a: {image: registry.internal/service-a}
  service-b: {image: registry.internal/service-b, kind: StatefulSet, workload: b, container: main}
"""
LIMITS = """apiVersion: v1
kind: ConfigMap
metadata:
  name: limits
data:
  DAY: "5"
"""


def train_of(tmp_path: Path, **files: str) -> Train:
    """The train with manifests: `a_limits` is service-a/limits.yaml."""
    (tmp_path / "payments.yaml").write_text(TRAIN)
    for name, text in files.items():
        service, _, file = name.partition("_")
        folder = tmp_path / "payments" / f"service-{service}"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{file}.yaml").write_text(text)
    return load_train(tmp_path / "payments.yaml", {})


def problems_of(tmp_path: Path, **files: str) -> list[str]:
    with pytest.raises(TrainFileError) as error:
        train_of(tmp_path, **files)
    return str(error.value).replace(f"{tmp_path}/payments/", "").splitlines()


def test_a_service_has_the_manifests_of_its_folder(tmp_path: Path) -> None:
    train = train_of(tmp_path, a_limits=LIMITS)
    assert [m.raw for m in train.service("service-a").manifests] == [yaml.safe_load(LIMITS)]
    assert train.service("service-b").manifests == ()


def test_the_workload_itself_may_be_given(tmp_path: Path) -> None:
    text = """
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: b}
spec:
  template:
    spec:
      containers:
        - name: main
          env: [{name: LOG, value: debug}]
"""
    assert [str(m) for m in train_of(tmp_path, b_workload=text).service("service-b").manifests] == [
        "StatefulSet/b"
    ]


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_the_list_may_be_given(tmp_path: Path, kind: str) -> None:
    text = f"apiVersion: {KINDS[kind]}\nkind: {kind}\nmetadata: {{name: x}}\n"
    (manifest,) = train_of(tmp_path, a_x=text).service("service-a").manifests
    assert str(manifest) == f"{kind}/x"


HEAD = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n"
WORKLOAD = "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: service-a}\n"
ALL = "ServiceAccount, ConfigMap, Service, DestinationRule, VirtualService, PeerAuthentication, AuthorizationPolicy, NetworkPolicy, PodDisruptionBudget, HorizontalPodAutoscaler, Deployment"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "1: expected one Kubernetes object: apiVersion, kind, metadata and so on"),
        ("- a\n", "1: expected one Kubernetes object: apiVersion, kind, metadata and so on"),
        (LIMITS + "---\n" + LIMITS, "7: not YAML: expected a single document in the stream, but found another document"),
        ("apiVersion: v1\nkind: Secret\nmetadata: {name: x}\n", "2: kind: found 'Secret'; a Secret can't be part of a release: secrets come from Vault, never from a repository"),
        ("apiVersion: v1\nkind: Pod\nmetadata: {name: x}\n", f"2: kind: found 'Pod', expected one of {ALL}"),
        ("apiVersion: v1\nkind: Configmap\nmetadata: {name: x}\n", f"2: kind: found 'Configmap', expected one of {ALL}; did you mean 'ConfigMap'?"),
        ("apiVersion: v1\nkind: StatefulSet\nmetadata: {name: x}\n", f"2: kind: found 'StatefulSet', expected one of {ALL}"),
        ("apiVersion: v1\nmetadata: {name: x}\n", f"1: kind: found nothing, expected one of {ALL}"),
        ("apiVersion: v2\nkind: ConfigMap\nmetadata: {name: x}\n", "1: apiVersion: found 'v2', expected v1 for a ConfigMap"),
        ("apiVersion: v1\nkind: ConfigMap\n", "1: metadata: found nothing, expected a mapping with the object's name"),
        ("apiVersion: v1\nkind: ConfigMap\nmetadata: {}\n", "3: metadata.name: found nothing, expected a name of lower-case letters, digits, '-' and '.'"),
        ("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: A_b\n", "4: metadata.name: found 'A_b', expected a name of lower-case letters, digits, '-' and '.'"),
        ("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: x\n  namespace: payments\n", "5: metadata.namespace: the environment names it; expected none"),
        ("apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: x\n  label: {}\n", "5: metadata.label: unknown key, expected one of name, labels, annotations; did you mean 'labels'?"),
        (HEAD + "status: {}\n", "4: status: a status is the cluster's; expected none"),
        (HEAD + "data:\n  DAY: 5\n", "5: data.DAY: found 5, expected text; put it in quotation marks"),
        (HEAD + "data:\n  LOUD: yes\n", "5: data.LOUD: found true, expected text; put it in quotation marks"),
        (HEAD + "data:\n  DAY: 2026-01-01\n", "5: data.DAY: found the date 2026-01-01, expected text; put it in quotation marks"),
        (HEAD + "data:\n  DAY:\n", "5: data.DAY: found nothing, expected a value ({} for an empty mapping)"),
        ("apiVersion: v1\nkind: ServiceAccount\nmetadata:\n  name: x\n  labels:\n    tier: 1\n", "6: metadata.labels.tier: found 1, expected text; put it in quotation marks"),
        ("apiVersion: v1\nkind: ServiceAccount\nmetadata:\n  name: x\n  annotations:\n    interlock.internal/fence: '9'\n", "6: metadata.annotations.interlock.internal/fence: this prefix is Interlock's own; expected another key"),
        ("apiVersion: apps/v1\nkind: Deployment\nmetadata:\n  name: other\n", "4: metadata.name: found 'other', expected service-a: of workloads, only the service's own can be given"),
        (WORKLOAD + "spec:\n  template:\n    spec:\n      containers:\n        - name: proxy\n          image: p:1\n        - name: app\n          image: a:1\n", "11: spec.template.spec.containers.image: the run brings the image of the container 'app'; expected none"),
    ],
)  # fmt: skip
def test_a_wrong_manifest_is_refused_with_its_line_what_was_found_and_what_expected(
    tmp_path: Path, text: str, expected: str
) -> None:
    assert problems_of(tmp_path, a_x=text) == [f"service-a/x.yaml:{expected}"]


def test_an_object_is_given_once_in_a_train(tmp_path: Path) -> None:
    assert problems_of(tmp_path, a_limits=LIMITS, b_same=LIMITS) == [
        "service-b/same.yaml:4: ConfigMap/limits is given in service-a/limits.yaml already; expected it once"
    ]


def test_what_is_no_folder_of_a_service_and_no_manifest_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "payments"
    (folder / "servce-a").mkdir(parents=True)
    (folder / "service-b" / "more").mkdir(parents=True)
    (folder / "notes.txt").touch()
    (folder / "service-b" / "limits.yml").touch()
    (folder / "service-b" / ".limits.yaml.swp").touch()
    each = "expected a folder for each service of the train that has manifests"
    assert problems_of(tmp_path) == [
        f"notes.txt:1: found 'notes.txt', {each}",
        f"servce-a:1: found 'servce-a', {each}; did you mean 'service-a'?",
        "service-b/limits.yml:1: expected a file that ends in .yaml",
        "service-b/more:1: expected a file that ends in .yaml",
    ]


def test_the_rights_that_are_granted_are_those_on_the_kinds_of_a_release() -> None:
    documents = yaml.safe_load_all((INCLUDE / "deploy" / "kubernetes" / "rbac.yaml").read_text())
    (role,) = (d for d in documents if d["kind"] == "Role" and d["metadata"]["name"] == "interlock-trains")
    may_create = {
        (group, resource)
        for rule in role["rules"]
        if "create" in rule["verbs"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }
    wanted = {(api.rpartition("/")[0], resource_of(kind)) for kind, api in KINDS.items()}
    assert may_create == wanted
    for rule in role["rules"]:
        if "create" in rule["verbs"]:
            assert set(rule["verbs"]) == {"get", "list", "watch", "create", "patch", "update", "delete"}


def resource_of(kind: str) -> str:
    from interlock.clients.kubernetes_api import plural

    return plural(kind)
