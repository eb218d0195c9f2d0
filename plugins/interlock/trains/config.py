"""The configuration of one train run: which releases are on board, and where they go.

The border between Airflow's params and the rest: what a person typed is checked once, and every mistake is
named in one error before anything is touched. A service whose release is blank is not on board; its
dependents still run.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import get_args

from interlock.trains.image import RELEASE_PATTERN, ImageError, release_image
from interlock.trains.located import did_you_mean
from interlock.trains.model import Environment, Train
from interlock.trains.order import Scope

__all__ = ["RELEASE_PATTERN", "Release", "RunConfig", "RunConfigError", "parse_run_config"]

_OWN = ("environment", "rollback", "irreversible", "dry_run", "change", "reason")


class RunConfigError(ValueError):
    """A run can't start like this. Its text has one line a problem: `key: found …, expected …`.

    Attributes:
        problems: All that is wrong.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


@dataclass(frozen=True, slots=True)
class Release:
    """What of one service is to run.

    Attributes:
        image: A full image reference with tag, digest or both.
    """

    image: str


@dataclass(frozen=True, slots=True)
class RunConfig:
    """A checked run configuration.

    Attributes:
        board: The releases by service, in dependency order; at least one.
        environment: Where they go.
        dry_run: Whether the run ends after the plan.
        change: Ticket or pull request; may be empty.
        reason: Why, in somebody's words; may be empty.
        rollback: What goes back when a service fails.
        irreversible: Those on board whose release can't be taken back, by the train's file or by this run.
    """

    board: dict[str, Release]
    environment: Environment
    dry_run: bool
    change: str
    reason: str
    rollback: Scope = "train"
    irreversible: frozenset[str] = frozenset()


def parse_run_config(
    train: Train, environments: Mapping[str, Environment], conf: Mapping[str, object]
) -> RunConfig:
    """The run configuration that somebody gave.

    Args:
        train: The train.
        environments: All environments, by name.
        conf: The run's params: a release for each service (a tag, `@sha256:…` or a full reference; blank:
            not on board), `environment`, and optionally `rollback` (`train` or `service`; default: as the
            train's file says), `irreversible` (names of services on board, separated by commas or spaces),
            `dry_run`, `change` and `reason`.

    Raises:
        RunConfigError: Something is wrong; all problems at once.
    """
    problems: list[str] = []
    order = train.order()
    known = (*order, *_OWN)
    for key in conf:
        if key not in known:
            expected = f"expected a service of train {train.name} ({', '.join(order)}) or {', '.join(_OWN)}"
            problems.append(f"{key}: unknown, {expected}{did_you_mean(str(key), known)}")
    board: dict[str, Release] = {}
    for name in order:
        text = _text(conf, name, problems, "a release as text such as 1.1.0; put it in quotation marks")
        if text:
            try:
                board[name] = Release(str(release_image(train.service(name).image, text)))
            except ImageError as error:
                problems.append(f"{name}: found {text!r}, {error}")
    if not any(_given(conf.get(name)) for name in order):
        problems.append(
            f"nobody is on board: expected a release for at least one service of train {train.name}: "
            f"{', '.join(order)}"
        )
    environment = _environment(train, environments, conf, problems)
    rollback = _scope(train, conf, problems)
    irreversible = _irreversible(train, conf, board, problems)
    dry_run = _flag(conf, "dry_run", problems)
    change = _text(conf, "change", problems, "a ticket or pull request as text; put it in quotation marks")
    reason = _text(conf, "reason", problems, "text")
    if problems or environment is None:
        raise RunConfigError(problems)
    return RunConfig(board, environment, dry_run, change, reason, rollback, irreversible)


def _given(value: object) -> bool:
    return bool(value.strip()) if isinstance(value, str) else value is not None


def _text(conf: Mapping[str, object], key: str, problems: list[str], expected: str) -> str:
    value = conf.get(key)
    if value is None:
        return ""
    if not isinstance(value, str):
        problems.append(f"{key}: found {_shown(value)}, expected {expected}")
        return ""
    return value.strip()


def _flag(conf: Mapping[str, object], key: str, problems: list[str]) -> bool:
    value = conf.get(key)
    if isinstance(value, bool):
        return value
    word = value.strip().lower() if isinstance(value, str) else None
    if word in ("true", "false"):
        return word == "true"
    # A dry run that a typo turns into a real one would be the worst reading of all.
    if value is not None:
        problems.append(f"{key}: found {_shown(value)}, expected true or false")
    return False


def _environment(
    train: Train, environments: Mapping[str, Environment], conf: Mapping[str, object], problems: list[str]
) -> Environment | None:
    open_to = [name for name in train.environments or tuple(environments) if name in environments]
    value = conf.get("environment")
    name = value.strip() if isinstance(value, str) else None
    if name in open_to:
        return environments[name]
    expected = f"expected one of {', '.join(open_to)}" if open_to else "but no environment is set up for it"
    if name and name in environments:
        problems.append(f"environment: train {train.name} does not go to {name}, {expected}")
    elif not _given(value):
        problems.append(f"environment: missing, {expected}")
    else:
        hint = did_you_mean(name, open_to) if name else ""
        problems.append(f"environment: found {_shown(value)}, {expected}{hint}")
    return None


def _scope(train: Train, conf: Mapping[str, object], problems: list[str]) -> Scope:
    value = conf.get("rollback")
    if not _given(value):
        return train.rollback
    scopes: tuple[Scope, ...] = get_args(Scope)
    for scope in scopes:
        if isinstance(value, str) and value.strip() == scope:
            return scope
    problems.append(f"rollback: found {_shown(value)}, expected {' or '.join(scopes)}")
    return train.rollback


def _irreversible(
    train: Train, conf: Mapping[str, object], board: Collection[str], problems: list[str]
) -> frozenset[str]:
    always = {name for name in board if train.service(name).irreversible}
    text = _text(conf, "irreversible", problems, "names of services as text, separated by commas")
    named = text.replace(",", " ").split()
    for name in named:
        # A name that nothing answers to would be a release that goes back against its owner's word.
        if name not in board and not _given(conf.get(name)):
            on_board = ", ".join(board) or "none"
            problems.append(
                f"irreversible: found {name!r}, expected services on board: {on_board}"
                f"{did_you_mean(name, board)}"
            )
    return frozenset(always | set(named))


def _shown(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else repr(value)
