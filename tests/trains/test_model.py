"""Files of trains: what is read, and what a person is told about a wrong one."""

# ruff: noqa: E501 - a case of a table is a line, with the whole message
from __future__ import annotations

import json
import re
from datetime import timedelta
from pathlib import Path

import pytest

from interlock.trains.model import (
    RESERVED,
    Environment,
    Service,
    Train,
    TrainFileError,
    json_schema,
    load_environments,
    load_train,
    refuse_other_names,
)

INCLUDE = Path(__file__).parents[2] / "include"


ENVIRONMENTS = {
    name: Environment(
        name, "interlock_kubernetes", "payments", "interlock", "interlock_vault", "require", "store"
    )
    for name in ("sandbox", "production")
}


def train_of(tmp_path: Path, text: str, name: str = "payments.yaml") -> Train:
    path = tmp_path / name
    path.write_text(text, encoding="utf-8")
    return load_train(path, ENVIRONMENTS)


def problems_of(tmp_path: Path, text: str, name: str = "payments.yaml") -> list[str]:
    with pytest.raises(TrainFileError) as error:
        train_of(tmp_path, text, name)
    return str(error.value).replace(f"{tmp_path}/", "").splitlines()


def test_a_service_takes_the_defaults_it_does_not_override(tmp_path: Path) -> None:
    train = train_of(
        tmp_path,
        """
description: The payment services
approval: true
rollback: service
defaults: {deadline: 90s, soak: 0s}
environments: [sandbox]
services:
  service-a: {image: registry.internal/service-a}
  service-b: {image: "registry.internal:5000/b", kind: StatefulSet, workload: b, container: main,
              after: [service-a], deadline: 1h30m, soak: 2m, irreversible: true}
""",
    )
    assert train == Train(
        name="payments",
        description="The payment services",
        approval=True,
        environments=("sandbox",),
        services=(
            Service(
                name="service-a",
                image="registry.internal/service-a",
                kind="Deployment",
                workload="service-a",
                container="app",
                after=(),
                deadline=timedelta(seconds=90),
                soak=timedelta(0),
            ),
            Service(
                name="service-b",
                image="registry.internal:5000/b",
                kind="StatefulSet",
                workload="b",
                container="main",
                after=("service-a",),
                deadline=timedelta(hours=1, minutes=30),
                soak=timedelta(minutes=2),
                irreversible=True,
            ),
        ),
        rollback="service",
    )


def test_a_train_that_says_nothing_else_goes_everywhere_in_five_minutes_and_soaks_fifteen_seconds(
    tmp_path: Path,
) -> None:
    train = train_of(tmp_path, "services: {a: {image: a}}")
    assert (train.description, train.approval, train.environments) == ("", False, ("sandbox", "production"))
    assert (train.rollback, train.services[0].irreversible) == ("train", False)
    assert (train.services[0].deadline, train.services[0].soak) == (
        timedelta(minutes=5),
        timedelta(seconds=15),
    )


def test_a_file_of_environments_that_can_not_be_read_keeps_no_train_from_loading(tmp_path: Path) -> None:
    (tmp_path / "trains").mkdir()
    path = tmp_path / "trains" / "t.yaml"
    path.write_text("environments: [moon]\nservices: {a: {image: a}}\n")
    for text in ("environments: [", "environments: {moon: {kubernetes: k}}"):
        (tmp_path / "environments.yaml").write_text(text)
        assert load_train(path).environments == ("moon",)


def test_environments_are_read_from_the_folder_above_unless_given(tmp_path: Path) -> None:
    (tmp_path / "trains").mkdir()
    path = tmp_path / "trains" / "t.yaml"
    path.write_text("environments: [moon]\nservices: {a: {image: a}}\n")
    assert load_train(path).environments == ("moon",)
    (tmp_path / "environments.yaml").write_text("environments: {sandbox: {kubernetes: k, namespace: n}}")
    with pytest.raises(TrainFileError, match=r"found 'moon', expected one of environments\.yaml: sandbox"):
        load_train(path)


A = "image: registry.internal/a"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # the YAML itself
        ("", "1: found nothing, expected a mapping (key: value)"),
        ("- a\n", "1: found a list, expected a mapping (key: value)"),
        ("services: [\n", "2: not YAML: while parsing a flow node, expected the node content, but found '<stream end>'"),
        ("services:\n\ta: 1\n", "2: not YAML: while scanning for the next token, found character '\\t' that cannot start any token"),
        ("a: 1\n---\nb: 2\n", "2: not YAML: expected a single document in the stream, but found another document"),
        ("a: \x01\n", "1: not YAML: special characters are not allowed"),
        ("a: *b\n", "1: not YAML: found undefined alias 'b'"),
        ("a: &a\n  - *a\n", "1: an alias stands inside its own anchor"),
        ("a: !!python/object:os.system x\n", "1: found 'x': could not determine a constructor for the tag 'tag:yaml.org,2002:python/object:os.system'"),
        ("a: 2026-02-30\n", "1: found '2026-02-30': day is out of range for month"),
        (f"services:\n  a: {{{A}}}\n  b: {{{A}}}\n  a: {{{A}}}\n", "4: 'a' stands here twice, first in line 2; expected it once"),
        (f"services:\n  a:\n    {A}\n    soak: 1s\n    soak: 2s\n", "5: 'soak' stands here twice, first in line 4; expected it once"),
        (f"services:\n  on: {{{A}}}\n", "2: a key must be text, found on; put it in quotation marks"),
        (f"services:\n  1: {{{A}}}\n", "2: a key must be text, found 1; put it in quotation marks"),
        ("services:\n  ? [a]\n  : 1\n", "2: a key must be text, found a list or mapping; put it in quotation marks"),
        # keys
        ("servces: {}\nservices: {a: {image: a}}\n", "1: unknown key 'servces', expected one of description, approval, rollback, defaults, environments, services; did you mean 'services'?"),
        (f"services:\n  a:\n    {A}\n    afer: [b]\n", "4: services.a: unknown key 'afer', expected one of image, kind, workload, container, after, deadline, soak, irreversible; did you mean 'after'?"),
        (f"defaults:\n  dead-line: 5m\nservices: {{a: {{{A}}}}}\n", "2: defaults: unknown key 'dead-line', expected one of deadline, soak; did you mean 'deadline'?"),
        (f"services:\n  a:\n    {A}\n    zzz: 1\n", "4: services.a: unknown key 'zzz', expected one of image, kind, workload, container, after, deadline, soak, irreversible"),
        ("description: x\n", "1: 'services' is missing, expected it among description, approval, rollback, defaults, environments, services"),
        ("services:\n  a:\n    soak: 1s\n", "2: services.a: 'image' is missing, expected it among image, kind, workload, container, after, deadline, soak, irreversible"),
        # types
        ("services: {}\n", "1: services: found an empty mapping, expected at least one"),
        ("services:\n  - a\n", "2: services: found a list, expected a mapping (key: value)"),
        ("services:\n  a:\n", "2: services.a: found nothing, expected a mapping (key: value)"),
        (f"approval: 'no'\nservices: {{a: {{{A}}}}}\n", "1: approval: found 'no', expected true or false"),
        (f"rollback: all\nservices: {{a: {{{A}}}}}\n", "1: rollback: found 'all', expected one of train, service"),
        (f"services:\n  a:\n    {A}\n    irreversible: sometimes\n", "4: services.a.irreversible: found 'sometimes', expected true or false"),
        (f"description: 1\nservices: {{a: {{{A}}}}}\n", "1: description: found 1, expected text"),
        (f"services:\n  a:\n    {A}\n    after: b\n", "4: services.a.after: found 'b', expected a list"),
        (f"services:\n  a:\n    {A}\n    kind: Pod\n", "4: services.a.kind: found 'Pod', expected one of Deployment, StatefulSet, DaemonSet"),
        # names
        (f"services:\n  a.b: {{{A}}}\n", "2: services.a.b: found this name, expected a DNS-1123 label: at most 63 lower-case letters, digits and '-', no dots, no '-' at either end"),
        (f"services:\n  Service: {{{A}}}\n", "2: services.Service: found this name, expected a DNS-1123 label: at most 63 lower-case letters, digits and '-', no dots, no '-' at either end"),
        (f"services:\n  a:\n    {A}\n    workload: -a\n", "4: services.a.workload: found '-a', expected a DNS-1123 label: at most 63 lower-case letters, digits and '-', no dots, no '-' at either end"),
        (f"services:\n  rollback: {{{A}}}\n", "2: services.rollback: this name is taken by Interlock itself; expected another service name"),
        (f"services:\n  a: {{{A}}}\n  b: {{{A}, workload: a}}\n", "3: services.b: found Deployment/a, which is a's workload already"),
        # durations
        (f"services:\n  a:\n    {A}\n    soak: 5 minutes\n", "4: services.a.soak: found '5 minutes', expected a duration such as 90s, 5m, 1h or 1h30m"),
        (f"services:\n  a:\n    {A}\n    soak: 15\n", "4: services.a.soak: found 15, expected a duration such as 90s, 5m, 1h or 1h30m"),
        (f"services:\n  a:\n    {A}\n    soak: ''\n", "4: services.a.soak: found '', expected a duration such as 90s, 5m, 1h or 1h30m"),
        (f"services:\n  a:\n    {A}\n    soak: -5m\n", "4: services.a.soak: found '-5m', expected a duration such as 90s, 5m, 1h or 1h30m"),
        (f"services:\n  a:\n    {A}\n    deadline: 0s\n", "4: services.a.deadline: found '0s', expected a duration longer than 0s"),
        (f"defaults: {{soak: 1d}}\nservices: {{a: {{{A}}}}}\n", "1: defaults.soak: found '1d', expected a duration such as 90s, 5m, 1h or 1h30m"),
        # images
        ("services:\n  a:\n    image: r/a:1.0\n", "3: services.a.image: found 'r/a:1.0', expected r/a without tag or digest, which each run brings itself"),
        ("services:\n  a:\n    image: r/A\n", "3: services.a.image: found 'r/A', expected an image such as registry.internal/service-a, in lower case"),
        ("services:\n  a:\n    image: 7\n", "3: services.a.image: found 7, expected an image such as registry.internal/service-a, in lower case"),
        ("services:\n  a:\n    image: r/a@sha256:12\n", "3: services.a.image: found 'r/a@sha256:12', expected a digest of sha256: and 64 hexadecimal digits after '@'"),
        # dependencies
        (f"services:\n  a: {{{A}, after: [a]}}\n", "2: services.a.after: a service can't come after itself"),
        (f"services:\n  service-a: {{{A}}}\n  b:\n    {A}\n    after:\n      - servce-a\n", "6: services.b.after: found 'servce-a', expected a service of this train; did you mean 'service-a'?"),
        (f"services:\n  a: {{{A}}}\n  b: {{{A}, after: [a, a]}}\n", "3: services.b.after: found 'a' twice, expected it once"),
        (f"services:\n  a:\n    {A}\n    after: [b]\n  b: {{{A}, after: [a]}}\n", "4: services.a.after: services wait for each other: a → b → a"),
        (f"services:\n  x: {{{A}, after: [a]}}\n  a: {{{A}, after: [c]}}\n  b: {{{A}, after: [a]}}\n  c: {{{A}, after: [b]}}\n", "3: services.a.after: services wait for each other: a → c → b → a"),
        # environments
        (f"environments: []\nservices: {{a: {{{A}}}}}\n", "1: environments: found an empty list, expected at least one"),
        (f"environments: [prodction]\nservices: {{a: {{{A}}}}}\n", "1: environments: found 'prodction', expected one of environments.yaml: sandbox, production; did you mean 'production'?"),
        (f"environments:\n  - sandbox\n  - sandbox\nservices: {{a: {{{A}}}}}\n", "3: environments: found 'sandbox' twice, expected it once"),
    ],
)  # fmt: skip
def test_a_wrong_train_file_is_refused_with_its_line_what_was_found_and_what_expected(
    tmp_path: Path, text: str, expected: str
) -> None:
    assert problems_of(tmp_path, text) == [f"payments.yaml:{expected}"]


def test_all_that_is_wrong_is_told_at_once_in_the_order_of_the_file(tmp_path: Path) -> None:
    text = "approval: 1\nservices:\n  a:\n    soak: x\n    imge: a\n  b.c: {image: b}\n"
    assert [
        problem.split(": ")[0] + ": " + problem.split(": ")[1] for problem in problems_of(tmp_path, text)
    ] == [
        "payments.yaml:1: approval",
        "payments.yaml:3: services.a",
        "payments.yaml:4: services.a.soak",
        "payments.yaml:5: services.a",
        "payments.yaml:6: services.b.c",
    ]


def test_wrong_values_do_not_hide_what_is_wrong_with_names_and_edges(tmp_path: Path) -> None:
    text = """approval: maybe
environments: [sandbox, mooon, 7]
services:
  a:
    image: registry.internal/a
    soak: soon
    after: [c, servce-b, 5]
  service-b:
    kind: Pod
  c:
    image: registry.internal/c
    after: [a]
  c: {image: registry.internal/c}
  on: {image: registry.internal/on, after: [zz]}
  d: {image: registry.internal/d, workload: c}
  rollback:
    image: 7
"""
    found = [problem.removeprefix("payments.yaml:") for problem in problems_of(tmp_path, text)]
    assert [re.sub(r"([,;] expected|; put|, which).*", "", problem) for problem in found] == [
        "1: approval: found 'maybe'",
        "2: environments: found 'mooon'",
        "2: environments: found 7",
        "6: services.a.soak: found 'soon'",
        "7: services.a.after: found 'servce-b'",
        "7: services.a.after: found 5",
        "7: services.a.after: services wait for each other: a → c → a",
        "8: services.service-b: 'image' is missing",
        "9: services.service-b.kind: found 'Pod'",
        "13: 'c' stands here twice, first in line 10",
        "14: a key must be text, found on",
        "15: services.d: found Deployment/c",
        "16: services.rollback: this name is taken by Interlock itself",
        "17: services.rollback.image: found 7",
    ]


def test_a_train_is_named_by_its_file(tmp_path: Path) -> None:
    assert problems_of(tmp_path, "services: {a: {image: a}}", "My Train.yaml") == [
        "My Train.yaml:1: found the name 'My Train', expected lower-case letters, digits and '-', at most 63"
    ]


def test_a_file_that_is_not_there_or_not_text_is_named(tmp_path: Path) -> None:
    with pytest.raises(TrainFileError, match=r"none.yaml:1: can't be read: No such file or directory"):
        load_train(tmp_path / "none.yaml", ENVIRONMENTS)
    (tmp_path / "latin.yaml").write_bytes(b"services:\n  a: \xe9\n")
    with pytest.raises(TrainFileError, match=r"latin.yaml:2: not UTF-8 text"):
        load_train(tmp_path / "latin.yaml", ENVIRONMENTS)
    (tmp_path / "deep.yaml").write_text("[" * 5000)
    with pytest.raises(TrainFileError, match=r"deep.yaml:1: nested too deeply"):
        load_train(tmp_path / "deep.yaml", ENVIRONMENTS)


@pytest.mark.parametrize("name", RESERVED)
def test_no_service_can_have_a_name_of_the_form_or_the_graph(tmp_path: Path, name: str) -> None:
    assert "taken by Interlock itself" in problems_of(tmp_path, f"services: {{{name}: {{image: a}}}}")[0]


@pytest.mark.parametrize("path", sorted((INCLUDE / "trains").glob("*.yaml")), ids=lambda path: path.stem)
def test_the_trains_of_the_project_load(path: Path) -> None:
    train = load_train(path)
    assert set(train.order()) == {service.name for service in train.services}
    assert set(train.environments) <= set(load_environments(INCLUDE / "environments.yaml"))


def test_the_committed_schema_is_that_of_the_model() -> None:
    assert json.loads((INCLUDE / "trains.schema.json").read_text()) == json.loads(json.dumps(json_schema()))


def test_an_unknown_service_is_no_service_of_the_train(tmp_path: Path) -> None:
    train = train_of(tmp_path, "services: {a: {image: a}}")
    assert train.service("a").name == "a"
    with pytest.raises(KeyError):
        train.service("b")


def test_two_trains_call_a_workload_by_one_name(tmp_path: Path) -> None:
    first = train_of(
        tmp_path, "services:\n  cart: {image: r.example/cart, workload: shop-cart}\n", "first.yaml"
    )
    text = "services:\n  other: {image: r.example/other}\n  basket: {image: r.example/cart, workload: shop-cart}\n"
    second = train_of(tmp_path, text, "second.yaml")
    with pytest.raises(
        TrainFileError,
        match=r"second.yaml:3: services.basket: found Deployment/shop-cart, which train first calls 'cart'",
    ):
        refuse_other_names(tmp_path / "second.yaml", second, [first])
    refuse_other_names(tmp_path / "first.yaml", first, [first])


def test_workloads_of_one_name_in_other_environments_are_others(tmp_path: Path) -> None:
    text = "environments: [{0}]\nservices:\n  {1}: {{image: r.example/cart, workload: shop-cart}}\n"
    first = train_of(tmp_path, text.format("sandbox", "cart"), "first.yaml")
    second = train_of(tmp_path, text.format("production", "basket"), "second.yaml")
    refuse_other_names(tmp_path / "second.yaml", second, [first])


def test_two_services_do_not_bring_the_same_manifest(tmp_path: Path) -> None:
    text = "services:\n  {0}: {{image: r.example/{0}}}\n  other: {{image: r.example/other}}\n"
    limits = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: limits}\ndata: {MAX: '1'}\n"
    for train, service in (("first", "cart"), ("second", "basket"), ("third", "cart")):
        folder = tmp_path / train / service
        folder.mkdir(parents=True)
        (folder / "limits.yaml").write_text(limits)
    first, second, third = (
        train_of(tmp_path, text.format(service), f"{train}.yaml")
        for train, service in (("first", "cart"), ("second", "basket"), ("third", "cart"))
    )
    with pytest.raises(
        TrainFileError,
        match=r"second.yaml:2: services.basket: found ConfigMap/limits among its manifests, which service cart",
    ):
        refuse_other_names(tmp_path / "second.yaml", second, [first])
    # The same service in two trains has one lock.
    refuse_other_names(tmp_path / "third.yaml", third, [first])
