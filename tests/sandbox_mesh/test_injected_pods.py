"""What the sandbox's injector makes of pods, and when the API server asks it."""

import base64
import json
from datetime import timedelta
from typing import Any

import pytest

from sandbox.mesh.capture import EXCLUDE, INCLUDE, is_captured
from sandbox.mesh.injection import PROXY_IMAGE, Refused, patch
from sandbox.mesh.injector import registration, review
from sandbox.mesh.objects import injected
from sandbox.mesh.proxy_config import ANNOTATION, ProxyConfig, ProxyConfigError

Raw = dict[str, Any]
INJECT = "sidecar.istio.io/inject"
SIDECAR = {"name": "istio-proxy", "image": PROXY_IMAGE}


def new_pod(labels: Raw | None = None, notes: Raw | None = None, **spec: Any) -> Raw:
    """A pod as a ReplicaSet sends it: without a name yet."""
    owner = {"kind": "ReplicaSet", "name": "api-5f594fcf9d", "controller": True}
    metadata = {
        "generateName": "api-5f594fcf9d-",
        "labels": {"pod-template-hash": "5f594fcf9d", **(labels or {})},
        "annotations": notes or {},
        "ownerReferences": [owner],
    }
    return {"kind": "Pod", "metadata": metadata, "spec": {"containers": [{"name": "app"}], **spec}}


def after(pod: Raw, namespace: str = "shop") -> Raw:
    """The pod with the patch applied."""
    changed: Raw = json.loads(json.dumps(pod))
    for change in patch(pod, namespace):
        assert change["op"] == "add"
        *parents, last = change["path"].strip("/").split("/")
        place: Any = changed
        for key in parents:
            place = place[key]
        if last == "-":
            place.append(change["value"])
        else:
            place[last] = change["value"]
    return changed


@pytest.mark.parametrize(
    ("pod", "expected"),
    [
        (new_pod(), True),
        (new_pod({INJECT: "true"}), True),
        (new_pod({INJECT: "false"}), False),
        (new_pod(notes={INJECT: "false"}), False),
        (new_pod({INJECT: "true"}, {INJECT: "false"}), True),
        (new_pod({INJECT: "yes"}), True),
        (new_pod(hostNetwork=True), False),
        (new_pod(hostNetwork=True, labels={INJECT: "true"}), False),
        (new_pod(containers=[{"name": "app"}, SIDECAR]), False),
    ],
)
def test_a_pod_gets_a_sidecar_unless_it_says_no_or_cannot_have_one(pod: Raw, expected: bool) -> None:
    assert bool(patch(pod, "shop")) is expected


def test_the_namespaces_of_kubernetes_are_left_out() -> None:
    assert patch(new_pod({INJECT: "true"}), "kube-system") == []


def test_an_injected_pod_has_the_container_the_labels_and_the_annotations_of_istio() -> None:
    pod = after(new_pod({"app": "api", "version": "v2"}))
    proxy = pod["spec"]["containers"][-1]
    assert injected(pod)
    assert (proxy["image"], proxy["args"]) == (PROXY_IMAGE, ["proxy", "sidecar"])
    assert proxy["ports"][0]["containerPort"] == 15090
    assert proxy["readinessProbe"]["httpGet"] == {"path": "/healthz/ready", "port": 15021}
    labels, notes = pod["metadata"]["labels"], pod["metadata"]["annotations"]
    assert labels["security.istio.io/tlsMode"] == "istio"
    assert labels["service.istio.io/canonical-name"] == "api"
    assert labels["service.istio.io/canonical-revision"] == "v2"
    assert labels["pod-template-hash"] == "5f594fcf9d"
    assert json.loads(notes["sidecar.istio.io/status"])["containers"] == ["istio-proxy"]
    assert notes["prometheus.io/scrape"] == "true"
    assert (notes["prometheus.io/port"], notes["prometheus.io/path"]) == ("15020", "/stats/prometheus")


def test_a_pod_without_an_app_label_is_called_after_its_workload() -> None:
    assert after(new_pod())["metadata"]["labels"]["service.istio.io/canonical-name"] == "api"


@pytest.mark.parametrize(
    "notes", [{"prometheus.io/scrape": "false"}, {"prometheus.istio.io/merge-metrics": "false"}]
)
def test_a_pod_can_keep_prometheus_away(notes: Raw) -> None:
    assert "prometheus.io/port" not in after(new_pod(notes=notes))["metadata"]["annotations"]


@pytest.mark.parametrize(
    "mount",
    [
        [{"name": "istio-certs", "mountPath": "/etc/istio-output-certs"}],
        {"istio-certs": {"mountPath": "/etc/istio-output-certs"}},
    ],
)
def test_a_volume_can_be_mounted_into_the_sidecar(mount: Any) -> None:
    pod = after(new_pod(notes={"sidecar.istio.io/userVolumeMount": json.dumps(mount)}))
    assert pod["spec"]["containers"][-1]["volumeMounts"] == [
        {"name": "istio-certs", "mountPath": "/etc/istio-output-certs"}
    ]


@pytest.mark.parametrize(
    "notes",
    [
        {EXCLUDE: "http"},
        {INCLUDE: "8080;9090"},
        {ANNOTATION: "["},
        {ANNOTATION: "proxyMetadata: {SECRET_TTL: soon}"},
        {ANNOTATION: "proxyMetadata: {SECRET_TTL: 99999999999999h}"},
        {"sidecar.istio.io/userVolumeMount": "[1]"},
        {"sidecar.istio.io/userVolumeMount": '[{"mountPath": "/etc"}]'},
    ],
)
def test_a_pod_whose_annotations_make_no_sense_is_refused_with_the_annotation_named(notes: Raw) -> None:
    with pytest.raises(Refused, match=next(iter(notes))):
        patch(new_pod(notes=notes), "shop")
    asked = {"request": {"uid": "u", "namespace": "shop", "object": new_pod(notes=notes)}}
    answer = review(asked)["response"]
    assert answer["allowed"] is False
    assert next(iter(notes)) in answer["status"]["message"]


def test_the_answer_to_the_api_server_carries_the_patch() -> None:
    answer = review({"request": {"uid": "u", "namespace": "shop", "object": new_pod()}})["response"]
    assert (answer["uid"], answer["allowed"], answer["patchType"]) == ("u", True, "JSONPatch")
    assert json.loads(base64.b64decode(answer["patch"])) == patch(new_pod(), "shop")


ENABLED, DISABLED = {"istio-injection": "enabled"}, {"istio-injection": "disabled"}
REVISION = {"istio.io/rev": "default"}


@pytest.mark.parametrize(
    ("namespace", "pod", "webhook"),
    [
        (ENABLED, {}, "namespace"),
        (ENABLED, {INJECT: "true"}, "namespace"),
        (ENABLED, {INJECT: "false"}, ""),
        (DISABLED, {INJECT: "true"}, ""),
        ({}, {}, ""),
        ({}, {INJECT: "true"}, "object"),
        (REVISION, {}, "rev.namespace"),
        (REVISION, {INJECT: "false"}, ""),
        ({"istio.io/rev": "canary"}, {}, ""),
        ({}, REVISION, "rev.object"),
        ({}, {"istio.io/rev": "canary"}, ""),
    ],
)
def test_one_webhook_at_most_is_asked_for_a_pod(namespace: Raw, pod: Raw, webhook: str) -> None:
    found = [
        hook["name"].removesuffix(".sidecar-injector.istio.io")
        for hook in registration(1, "pem")["webhooks"]
        if holds(hook["namespaceSelector"], namespace) and holds(hook["objectSelector"], pod)
    ]
    assert found == ([webhook] if webhook else [])


def holds(selector: Raw, labels: Raw) -> bool:
    for entry in selector["matchExpressions"]:
        key, values = entry["key"], entry.get("values")
        verdict = {
            "In": labels.get(key) in (values or ()),
            "NotIn": labels.get(key) not in (values or ()),
            "DoesNotExist": key not in labels,
        }
        if not verdict[entry["operator"]]:
            return False
    return True


def test_no_pod_comes_about_without_its_sidecar_while_the_injector_is_away() -> None:
    assert {hook["failurePolicy"] for hook in registration(1, "pem")["webhooks"]} == {"Fail"}


@pytest.mark.parametrize(
    ("notes", "captured"),
    [
        ({}, True),
        ({EXCLUDE: "9090, 8080"}, False),
        ({EXCLUDE: "9090"}, True),
        ({INCLUDE: "8080"}, True),
        ({INCLUDE: "9090"}, False),
        ({INCLUDE: ""}, False),
        ({INCLUDE: "*", EXCLUDE: "8080"}, False),
        ({INCLUDE: "8080", EXCLUDE: "8080"}, True),
    ],
)
def test_a_port_is_excluded_only_where_all_are_included(notes: Raw, captured: bool) -> None:
    assert is_captured(new_pod(notes=notes), 8080) is captured


def test_a_pod_says_how_its_sidecar_is_to_be() -> None:
    text = """
        holdApplicationUntilProxyStarts: true
        proxyMetadata: {SECRET_TTL: 1m30s, OUTPUT_CERTS: /etc/certs}
    """
    found = ProxyConfig.of(new_pod(notes={ANNOTATION: text}))
    assert found == ProxyConfig(True, timedelta(seconds=90), "/etc/certs")
    assert ProxyConfig.of(new_pod()) == ProxyConfig()


def test_a_lifetime_has_to_have_a_unit() -> None:
    with pytest.raises(ProxyConfigError, match="SECRET_TTL"):
        ProxyConfig.of(new_pod(notes={ANNOTATION: "proxyMetadata: {SECRET_TTL: 90}"}))
