"""Names of single fields, and reading, writing and removing them."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from interlock.manifest import Manifest, ManifestError, ObjectRef
from interlock.trains.fields import ABSENT, FieldError, FieldPath, ListKey, get, leaves, put, remove, same

KEYS = st.text(max_size=8) | st.sampled_from(["spec", "a.b/c", "containers", "name", 'quo"te', "0"])
MERGE_NAMES = st.sampled_from(["name", "containerPort", "mountPath"])
LIST_KEYS = st.builds(ListKey, MERGE_NAMES, st.text(max_size=6) | st.integers())


@st.composite
def paths(draw: st.DrawFn) -> FieldPath:
    """Any valid path: list keys only after fields, and never followed by their own name."""
    steps: list[str | ListKey] = [draw(KEYS)]
    for _ in range(draw(st.integers(0, 5))):
        last = steps[-1]
        if isinstance(last, str) and draw(st.booleans()):
            steps.append(draw(LIST_KEYS))
        else:
            taken = last.name if isinstance(last, ListKey) else None
            steps.append(draw(KEYS.filter(lambda key, taken=taken: key != taken)))
    return FieldPath(tuple(steps))


SCALARS = st.none() | st.booleans() | st.integers() | st.text(max_size=5)
ITEMS = st.lists(
    st.fixed_dictionaries(
        {"name": st.text(max_size=4)}, optional={"image": SCALARS, "args": st.lists(SCALARS)}
    ),
    max_size=3,
    unique_by=lambda item: item["name"],
)
OBJECTS = st.dictionaries(
    KEYS,
    st.recursive(
        SCALARS | ITEMS,
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                KEYS | st.sampled_from(["containers", "env", "ports"]), inner | ITEMS, max_size=3
            )
        ),
        max_leaves=10,
    ),
    max_size=4,
)


def holds(raw: dict[str, Any], path: FieldPath) -> bool:
    """Whether the path can be put: no parent of another type on the way."""
    try:
        put(raw, path, item_value(path))
    except FieldError:
        return False
    return True


def item_value(path: FieldPath) -> object:
    last = path.steps[-1]
    return {last.name: last.value, "image": "x"} if isinstance(last, ListKey) else {"new": [1, None]}


@given(paths())
def test_the_text_of_a_path_reads_back_as_the_path(path: FieldPath) -> None:
    assert FieldPath.parse(str(path)) == path


@given(paths())
def test_what_is_put_is_got_and_what_is_removed_is_gone(path: FieldPath) -> None:
    value = item_value(path)
    written = put({}, path, value)
    assert get(written, path) == value
    removed = remove(written, path)
    assert get(removed, path) is ABSENT
    assert put(removed, path, value) == written


@given(OBJECTS, paths())
def test_put_and_remove_leave_what_they_are_given_unchanged(raw: dict[str, Any], path: FieldPath) -> None:
    before = copy.deepcopy(raw)
    if holds(raw, path):
        remove(put(raw, path, item_value(path)), path)
    assert raw == before


@given(OBJECTS, paths())
def test_putting_the_old_value_back_restores_the_object(raw: dict[str, Any], path: FieldPath) -> None:
    old = get(raw, path)
    if old is ABSENT or not holds(raw, path):
        return
    assert same(put(put(raw, path, item_value(path)), path, old), raw)


@given(OBJECTS)
def test_the_leaves_of_an_object_put_together_are_the_object(raw: dict[str, Any]) -> None:
    built: dict[str, Any] = {}
    for path in leaves(raw):
        built = put(built, path, get(raw, path))
    assert same(built, raw)


@given(OBJECTS)
def test_no_leaf_holds_another(raw: dict[str, Any]) -> None:
    found = [path.steps for path in leaves(raw)]
    assert len(set(found)) == len(found)
    assert not any(a != b and b[: len(a)] == a for a in found for b in found)


DEPLOYMENT: dict[str, Any] = {
    "metadata": {"annotations": {"a.b/c": "1"}},
    "spec": {
        "replicas": 2,
        "template": {
            "spec": {
                "containers": [
                    {"name": "proxy", "image": "p:1"},
                    {"name": "app", "image": "a:1", "args": ["x", "y"], "ports": [{"containerPort": 8080}]},
                ]
            }
        },
    },
}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("spec.replicas", 2),
        ("spec.template.spec.containers[name=app].image", "a:1"),
        ("spec.template.spec.containers[name=app].args", ["x", "y"]),
        ("spec.template.spec.containers[name=app].ports[containerPort=8080]", {"containerPort": 8080}),
        ('metadata.annotations["a.b/c"]', "1"),
        ("spec.template.spec.containers[name=other].image", ABSENT),
        ('spec.template.spec.containers[name=app].ports[containerPort="8080"]', ABSENT),
        ("spec.replicas.deeper", ABSENT),
        ("spec.containers[name=app]", ABSENT),
        ("metadata[name=app]", ABSENT),
    ],
)
def test_a_path_reads_one_field(text: str, value: object) -> None:
    path = FieldPath.parse(text)
    assert get(DEPLOYMENT, path) == value
    assert str(path) == text


def test_the_leaves_name_list_items_by_their_merge_key() -> None:
    assert [str(path) for path in leaves(DEPLOYMENT)] == [
        'metadata.annotations["a.b/c"]',
        "spec.replicas",
        "spec.template.spec.containers[name=proxy].image",
        "spec.template.spec.containers[name=app].image",
        "spec.template.spec.containers[name=app].args",
        "spec.template.spec.containers[name=app].ports[containerPort=8080]",
    ]


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ({"ports": [{"port": 80, "name": "http"}]}, ["ports[port=80].name"]),
        ({"ports": [{"containerPort": 53}, {"containerPort": 53, "protocol": "UDP"}]}, ["ports"]),
        ({"volumeMounts": [{"mountPath": "/a b", "name": "v"}]}, ['volumeMounts[mountPath="/a b"].name']),
        ({"containers": [{"image": "nameless"}]}, ["containers"]),
        ({"tolerations": [{"name": "x"}]}, ["tolerations"]),
        ({"emptyDir": {}, "env": []}, ["emptyDir", "env"]),
    ],
)
def test_a_list_without_distinct_merge_keys_is_one_value(raw: dict[str, Any], expected: list[str]) -> None:
    assert [str(path) for path in leaves(raw)] == expected


def test_putting_into_a_list_changes_the_named_item_alone() -> None:
    path = FieldPath.parse("spec.template.spec.containers[name=app].image")
    containers = put(DEPLOYMENT, path, "a:2")["spec"]["template"]["spec"]["containers"]
    assert [c["image"] for c in containers] == ["p:1", "a:2"]


def test_putting_absent_removes_the_field_and_keeps_its_parent() -> None:
    assert put({"a": {"b": 1}}, FieldPath.of("a", "b"), ABSENT) == {"a": {}}


def test_removing_a_list_item_keeps_the_others() -> None:
    raw = {"env": [{"name": "A"}, {"name": "B"}]}
    assert remove(raw, FieldPath.parse("env[name=A]")) == {"env": [{"name": "B"}]}


def test_a_null_parent_counts_as_missing() -> None:
    assert put({"a": None}, FieldPath.parse("a.b"), 1) == {"a": {"b": 1}}


def test_true_is_not_one_and_one_is_one_point_zero() -> None:
    assert not same({"a": [True]}, {"a": [1]})
    assert same({"a": [1]}, {"a": [1.0]})
    assert not same({"a": None}, {})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "at least one step"),
        (".a", r"at position 1, found '\.a'"),
        ("a.", r"at position 2, found '\.'"),
        ("a..b", r"at position 2"),
        ("a[name=]", r"at position 2, found '\[name=\]'"),
        ("a b", r"expected \.field, \[\"field\"\] or \[key=value\] at position 2, found ' b'"),
        (r'a["\x"]', "no JSON string"),
        ("[name=app]", "begins with a field"),
        ("a[x=1][y=2]", "can't be such a list itself"),
        ("a[name=app].name", "no field of its own"),
    ],
)
def test_text_that_is_no_path_is_refused_with_the_place(text: str, message: str) -> None:
    with pytest.raises(FieldError, match=message):
        FieldPath.parse(text)


@pytest.mark.parametrize(
    ("raw", "path", "value", "message"),
    [
        ({"a": 1}, "a.b", 2, "expected an object before 'b', found int"),
        ({"a": {}}, "a[name=x].b", 2, r"expected a list before \[name=x\], found dict"),
        ({}, "env[name=x]", {"name": "y"}, "must be an object with name: 'x'"),
        ({}, "env[name=x]", "text", "must be an object with name: 'x'"),
        ({"env": [{"name": "x"}, {"name": "x"}]}, "env[name=x].value", 1, "2 items have name: 'x'"),
    ],
)
def test_a_field_that_can_not_be_put_is_refused(
    raw: dict[str, Any], path: str, value: object, message: str
) -> None:
    with pytest.raises(FieldError, match=message):
        put(raw, FieldPath.parse(path), value)


def test_a_merge_key_is_text_or_a_whole_number() -> None:
    with pytest.raises(FieldError, match="text or a whole number, not True"):
        ListKey("port", True)
    with pytest.raises(FieldError, match="can't be a merge key"):
        ListKey("a.b", "x")


def test_a_manifest_reads_its_metadata() -> None:
    manifest = Manifest.of(
        {
            "apiVersion": "apps/v1",
            "kind": "Deployment",
            "metadata": {
                "name": "service-a",
                "namespace": "payments",
                "uid": "u",
                "resourceVersion": "7",
                "generation": 3,
                "labels": {"app": "a"},
                "annotations": None,
            },
        }
    )
    assert str(manifest.ref) == str(manifest) == "Deployment/service-a"
    assert ObjectRef.from_json(manifest.ref.to_json()) == manifest.ref
    assert (manifest.uid, manifest.resource_version, manifest.generation) == ("u", "7", 3)
    assert (manifest.labels, manifest.annotations, manifest.spec) == ({"app": "a"}, {}, {})


def test_an_item_of_a_list_response_gets_the_kind_of_its_list() -> None:
    pod = Manifest.of({"metadata": {"name": "p"}}, api_version="v1", kind="Pod")
    assert (pod.api_version, pod.kind, pod.namespace, pod.generation) == ("v1", "Pod", "", 0)
    assert pod == Manifest.of({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "p"}})


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        ([], "not list"),
        ({}, "needs kind; found None"),
        ({"kind": "Pod"}, "needs apiVersion"),
        ({"kind": "Pod", "apiVersion": "v1"}, r"Pod: a Kubernetes object needs metadata\.name"),
        ({"kind": "Pod", "apiVersion": "v1", "metadata": {"name": 1}}, r"needs metadata\.name"),
    ],
)
def test_what_is_no_kubernetes_object_is_refused(raw: Any, message: str) -> None:
    with pytest.raises(ManifestError, match=message):
        Manifest.of(raw)


def test_a_reference_that_lacks_a_part_is_refused() -> None:
    with pytest.raises(ManifestError, match="it has kind"):
        ObjectRef.from_json({"kind": "Pod"})
