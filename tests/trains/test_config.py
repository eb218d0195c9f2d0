"""The configuration of a run: who is on board, and what a person is told about a wrong one."""

# ruff: noqa: E501 - a case of a table is a line, with the whole message
from __future__ import annotations

import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st
from planned_services import service

from interlock.trains.config import RELEASE_PATTERN, Release, RunConfigError, parse_run_config
from interlock.trains.image import Image, ImageError, release_image
from interlock.trains.model import Environment, Train

DIGEST = "sha256:" + "0a" * 32


TRAIN = Train(
    name="payments",
    description="",
    approval=False,
    environments=("sandbox", "staging"),
    services=(service("service-b", "service-a"), service("service-a"), service("service-c", "service-a")),
)
ENVIRONMENTS = {
    name: Environment(
        name, "interlock_kubernetes", "payments", "interlock", "interlock_vault", "require", "store"
    )
    for name in ("sandbox", "staging", "production")
}
GOOD: dict[str, object] = {"service-a": "1.1.0", "environment": "sandbox"}


def test_a_config_has_its_releases_in_dependency_order() -> None:
    conf = {
        "service-b": " 2.0 ",
        "service-a": "1.1.0",
        "service-c": "",
        "environment": "sandbox",
        "dry_run": True,
        "change": " PAY-7 ",
        "reason": None,
    }
    config = parse_run_config(TRAIN, ENVIRONMENTS, conf)
    assert list(config.board.items()) == [
        ("service-a", Release("registry.internal/service-a:1.1.0")),
        ("service-b", Release("registry.internal/service-b:2.0")),
    ]
    assert config.environment is ENVIRONMENTS["sandbox"]
    assert (config.dry_run, config.change, config.reason) == (True, "PAY-7", "")


@pytest.mark.parametrize("blank", ["", "  \n", None])
def test_a_service_whose_release_is_blank_is_not_on_board(blank: str | None) -> None:
    config = parse_run_config(TRAIN, ENVIRONMENTS, {**GOOD, "service-b": blank})
    assert list(config.board) == ["service-a"]


@pytest.mark.parametrize(
    ("text", "image"),
    [
        ("1.1.0", "registry.internal/service-a:1.1.0"),
        ("v1_2-rc.1", "registry.internal/service-a:v1_2-rc.1"),
        (f"@{DIGEST}", f"registry.internal/service-a@{DIGEST}"),
        (f"1.1.0@{DIGEST}", f"registry.internal/service-a:1.1.0@{DIGEST}"),
        ("registry.internal/service-a:1.1.0", "registry.internal/service-a:1.1.0"),
        (f"registry.internal/service-a@{DIGEST}", f"registry.internal/service-a@{DIGEST}"),
        (f"registry.internal/service-a:1@{DIGEST}", f"registry.internal/service-a:1@{DIGEST}"),
    ],
)
def test_a_release_is_a_tag_a_digest_or_a_full_reference(text: str, image: str) -> None:
    config = parse_run_config(TRAIN, ENVIRONMENTS, {**GOOD, "service-a": text})
    assert config.board["service-a"] == Release(image)
    assert re.search(RELEASE_PATTERN, text)


@pytest.mark.parametrize(
    ("value", "expected"),
    [(True, True), (False, False), ("true", True), ("False", False), (" TRUE ", True), (None, False)],
)
def test_a_dry_run_is_told_by_true_and_false_also_as_text(value: object, expected: bool) -> None:
    assert parse_run_config(TRAIN, ENVIRONMENTS, {**GOOD, "dry_run": value}).dry_run is expected


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"service-d": "1"}, "service-d: unknown, expected a service of train payments (service-a, service-b, service-c) or environment, rollback, irreversible, dry_run, change, reason; did you mean 'service-c'?"),
        ({"enviroment": "sandbox"}, "enviroment: unknown, expected a service of train payments (service-a, service-b, service-c) or environment, rollback, irreversible, dry_run, change, reason; did you mean 'environment'?"),
        ({"zzz": None}, "zzz: unknown, expected a service of train payments (service-a, service-b, service-c) or environment, rollback, irreversible, dry_run, change, reason"),
        ({"service-a": 1.1}, "service-a: found 1.1, expected a release as text such as 1.1.0; put it in quotation marks"),
        ({"service-a": ["1"]}, "service-a: found ['1'], expected a release as text such as 1.1.0; put it in quotation marks"),
        ({"service-a": False}, "service-a: found false, expected a release as text such as 1.1.0; put it in quotation marks"),
        ({"service-a": ""}, "nobody is on board: expected a release for at least one service of train payments: service-a, service-b, service-c"),
        ({"service-a": "1 0"}, "service-a: found '1 0', expected an image such as registry.internal/service-a, in lower case"),
        ({"service-a": ":1.0"}, "service-a: found ':1.0', expected an image such as registry.internal/service-a, in lower case"),
        ({"service-a": "registry.internal/service-a:"}, "service-a: found 'registry.internal/service-a:', expected a tag of at most 128 letters, digits, '_', '.' and '-' after ':'"),
        ({"service-a": "@sha256:12"}, "service-a: found '@sha256:12', expected a digest of sha256: and 64 hexadecimal digits after '@'"),
        ({"service-a": "x" * 129}, f"service-a: found '{'x' * 129}', expected a release of registry.internal/service-a"),
        ({"service-a": "registry.internal/service-a"}, "service-a: found 'registry.internal/service-a', expected a tag or a digest, as without one it would be whatever is latest"),
        ({"service-a": "registry.internal/service-b:1"}, "service-a: found 'registry.internal/service-b:1', expected a release of registry.internal/service-a"),
        ({"service-a": "Registry/Service-A:1"}, "service-a: found 'Registry/Service-A:1', expected an image such as registry.internal/service-a, in lower case"),
        ({"environment": "sanbox"}, "environment: found 'sanbox', expected one of sandbox, staging; did you mean 'sandbox'?"),
        ({"environment": "production"}, "environment: train payments does not go to production, expected one of sandbox, staging"),
        ({"environment": ""}, "environment: missing, expected one of sandbox, staging"),
        ({"environment": None}, "environment: missing, expected one of sandbox, staging"),
        ({"environment": 3}, "environment: found 3, expected one of sandbox, staging"),
        ({"rollback": "all"}, "rollback: found 'all', expected train or service"),
        ({"rollback": True}, "rollback: found true, expected train or service"),
        ({"irreversible": "service-b"}, "irreversible: found 'service-b', expected services on board: service-a; did you mean 'service-a'?"),
        ({"irreversible": "service-a, x"}, "irreversible: found 'x', expected services on board: service-a"),
        ({"irreversible": True}, "irreversible: found true, expected names of services as text, separated by commas"),
        ({"dry_run": "yes"}, "dry_run: found 'yes', expected true or false"),
        ({"dry_run": 1}, "dry_run: found 1, expected true or false"),
        ({"dry_run": ""}, "dry_run: found '', expected true or false"),
        ({"change": 4711}, "change: found 4711, expected a ticket or pull request as text; put it in quotation marks"),
        ({"reason": {"why": "x"}}, "reason: found {'why': 'x'}, expected text"),
    ],
)  # fmt: skip
def test_a_wrong_config_is_refused_with_what_was_found_and_what_expected(
    change: dict[str, object], expected: str
) -> None:
    with pytest.raises(RunConfigError) as error:
        parse_run_config(TRAIN, ENVIRONMENTS, {**GOOD, **change})
    assert str(error.value) == expected


def test_the_file_says_what_goes_back_and_what_can_not_and_a_run_may_say_more() -> None:
    services = tuple(replace(s, irreversible=s.name == "service-b") for s in TRAIN.services)
    train = replace(TRAIN, services=services, rollback="service")
    both = {**GOOD, "service-b": "2", "service-c": "3"}
    config = parse_run_config(train, ENVIRONMENTS, both)
    assert (config.rollback, config.irreversible) == ("service", {"service-b"})
    config = parse_run_config(
        train, ENVIRONMENTS, {**both, "rollback": "train", "irreversible": "service-a, service-c"}
    )
    assert (config.rollback, config.irreversible) == ("train", {"service-a", "service-b", "service-c"})
    assert parse_run_config(train, ENVIRONMENTS, GOOD).irreversible == frozenset()


def test_all_mistakes_are_told_at_once() -> None:
    with pytest.raises(RunConfigError) as error:
        parse_run_config(TRAIN, ENVIRONMENTS, {"service-b": "@", "x": 1, "dry_run": "?", "reason": 1})
    assert [problem.split(":")[0] for problem in error.value.problems] == [
        "x",
        "service-b",
        "environment",
        "dry_run",
        "reason",
    ]


def test_a_train_without_environments_goes_to_any_that_is_set_up() -> None:
    anywhere = Train("payments", "", False, (), TRAIN.services)
    config = parse_run_config(anywhere, ENVIRONMENTS, {**GOOD, "environment": "production"})
    assert config.environment.name == "production"
    with pytest.raises(
        RunConfigError, match="environment: found 'sandbox', but no environment is set up for it"
    ):
        parse_run_config(anywhere, {}, GOOD)


@given(st.text(alphabet="ab1.:/@-_A ", max_size=20) | st.just(f"a@{DIGEST}"))
def test_what_the_form_accepts_or_not_contradicts_no_release_that_is_accepted(text: str) -> None:
    try:
        image = release_image("registry.internal/a", text)
    except ImageError:
        return
    assert re.search(RELEASE_PATTERN, text)
    assert image.repository == "registry.internal/a"
    assert Image.parse(str(image)) == image
