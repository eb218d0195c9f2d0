"""Trains and environments as their YAML files describe them, checked and frozen.

`load_train` and `load_environments` report everything that is wrong with a file at once, each with file,
line, what was found and what was expected. Unknown keys are refused: a misspelt `after` would let two
services move in the wrong order. `json_schema` is what editors check against while somebody types.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from interlock.trains.files import EnvironmentsFile, TrainFile, describe
from interlock.trains.located import Document, Problem, did_you_mean
from interlock.trains.order import cycles, in_order

RESERVED: Final = (
    "approve",
    "arrived",
    "change",
    "close",
    "decide",
    "environment",
    "lock",
    "plan",
    "reason",
    "rollback",
)
"""Names no service can have: the run config and the graph of a train's DAG use them."""

_TRAIN_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


class TrainFileError(ValueError):
    """A file can't be used. Its text has one line a problem: `file:line: found …, expected …`.

    Attributes:
        problems: All that is wrong, in the order of the file.
    """

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(sorted(problems))
        super().__init__("\n".join(map(str, self.problems)))


@dataclass(frozen=True, slots=True)
class Environment:
    """Where trains go.

    Attributes:
        name: Its name in `include/environments.yaml`.
        kubernetes: Airflow connection of the cluster.
        namespace: Namespace of the services.
        journal_namespace: Namespace of Interlock's own journals and leases.
        vault: Airflow connection of Vault.
        evidence_mode: `require`: a train starts only if the evidence store answers; `spool`: evidence waits.
        store: Airflow connection of the evidence store.
    """

    name: str
    kubernetes: str
    namespace: str
    journal_namespace: str
    vault: str
    evidence_mode: str
    store: str


@dataclass(frozen=True, slots=True)
class Service:
    """One service of a train.

    Attributes:
        name: Its name in the train, in the trigger form and in the graph.
        image: The repository its releases come from, without tag or digest.
        kind: `Deployment`, `StatefulSet` or `DaemonSet`.
        workload: The workload's name.
        container: The container that runs the image.
        after: The services that move before this one.
        deadline: How long the rollout may take.
        soak: How long the release must hold.
    """

    name: str
    image: str
    kind: str
    workload: str
    container: str
    after: tuple[str, ...]
    deadline: timedelta
    soak: timedelta


@dataclass(frozen=True, slots=True)
class Train:
    """The services that move together.

    Attributes:
        name: The file's name without `.yaml`.
        description: For people.
        approval: Whether a person approves each plan.
        environments: Names of the environments it may go to.
        services: In the order of the file.
    """

    name: str
    description: str
    approval: bool
    environments: tuple[str, ...]
    services: tuple[Service, ...]

    def service(self, name: str) -> Service:
        """The service of this name.

        Raises:
            KeyError: The train has no such service.
        """
        for service in self.services:
            if service.name == name:
                return service
        raise KeyError(name)

    def reversed(self) -> Train:
        """The same train with its edges turned round: what comes after others comes first."""
        after: dict[str, list[str]] = {service.name: [] for service in self.services}
        for service in self.services:
            for dependency in service.after:
                after[dependency].append(service.name)
        services = tuple(replace(service, after=tuple(after[service.name])) for service in self.services)
        return replace(self, services=services)

    def order(self) -> tuple[str, ...]:
        """The names of the services, each behind all that it comes after; else in the order of the file.

        Raises:
            DependencyError: Services wait for each other, or for one that is not in the train.
        """
        return in_order({service.name: service.after for service in self.services})


def load_environments(path: Path) -> dict[str, Environment]:
    """The environments of `include/environments.yaml`, by name.

    Raises:
        TrainFileError: The file can't be read or is wrong; all problems at once.
    """
    document = Document.read(path)
    if document.problems:
        raise TrainFileError(document.problems)
    try:
        data = EnvironmentsFile.model_validate(document.value)
    except ValidationError as error:
        raise TrainFileError(describe(error, document, EnvironmentsFile)) from None
    return {
        name: Environment(
            name=name,
            kubernetes=entry.kubernetes,
            namespace=entry.namespace,
            journal_namespace=entry.journal_namespace,
            vault=entry.vault,
            evidence_mode=entry.evidence.mode,
            store=entry.evidence.store,
        )
        for name, entry in data.environments.items()
    }


def load_train(path: Path, environments: Mapping[str, Environment] | None = None) -> Train:
    """The train of `include/trains/NAME.yaml`.

    Args:
        path: The train's file.
        environments: The environments there are. Left out, they are read from `environments.yaml` in the
            folder above the train's; if there is none, names of environments are not checked.

    Raises:
        TrainFileError: A file can't be read or is wrong; all problems at once.
    """
    if environments is None:
        beside = path.parent.parent / "environments.yaml"
        environments = load_environments(beside) if beside.exists() else None
    document = Document.read(path)
    problems = list(document.problems)
    if not _TRAIN_NAME.fullmatch(path.stem):
        problems.append(
            Problem(
                str(path),
                1,
                f"found the name {path.stem!r}, expected lower-case letters, digits and '-', at most 63",
            )
        )
    if document.problems:
        raise TrainFileError(problems)
    try:
        data = TrainFile.model_validate(document.value)
    except ValidationError as error:
        raise TrainFileError([*problems, *describe(error, document, TrainFile)]) from None
    problems += _dependencies(data, document)
    problems += _environments(data, document, environments)
    if problems:
        raise TrainFileError(problems)
    return Train(
        name=path.stem,
        description=data.description,
        approval=data.approval,
        environments=tuple(environments or ()) if data.environments is None else tuple(data.environments),
        services=tuple(
            Service(
                name=name,
                image=entry.image,
                kind=entry.kind,
                workload=entry.workload or name,
                container=entry.container,
                after=tuple(entry.after),
                deadline=data.defaults.deadline if entry.deadline is None else entry.deadline,
                soak=data.defaults.soak if entry.soak is None else entry.soak,
            )
            for name, entry in data.services.items()
        ),
    )


def json_schema() -> dict[str, Any]:
    """The JSON Schema of a train's file, which `include/trains.schema.json` holds for editors."""
    schema = TrainFile.model_json_schema()
    schema["properties"]["services"]["additionalProperties"] = False  # a name of another form
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "Promotion train"}


def _dependencies(data: TrainFile, document: Document) -> list[Problem]:
    problems: list[Problem] = []

    def report(text: str, *loc: str | int, key: bool = False) -> None:
        where = "services." + ".".join(str(step) for step in loc if isinstance(step, str))
        line = document.line(("services", *loc), key=key)
        problems.append(Problem(document.file, line, f"{where}: {text}"))

    workloads: dict[tuple[str, str], str] = {}
    for name, entry in data.services.items():
        if name in RESERVED:
            report("this name is taken by Interlock itself; expected another service name", name, key=True)
        first = workloads.setdefault((entry.kind, entry.workload or name), name)
        if first != name:
            report(
                f"found {entry.kind}/{entry.workload or name}, which is {first}'s workload already",
                name,
                key=True,
            )
        for at, other in enumerate(entry.after):
            if other == name:
                report("a service can't come after itself", name, "after", at)
            elif other not in data.services:
                hint = did_you_mean(other, data.services)
                report(f"found {other!r}, expected a service of this train{hint}", name, "after", at)
            elif other in entry.after[:at]:
                report(f"found {other!r} twice, expected it once", name, "after", at)
    for circle in cycles({n: [a for a in e.after if a != n] for n, e in data.services.items()}):
        report(f"services wait for each other: {' → '.join(circle)}", circle[0], "after", key=True)
    return problems


def _environments(
    data: TrainFile, document: Document, known: Mapping[str, Environment] | None
) -> list[Problem]:
    problems: list[Problem] = []
    for at, name in enumerate(data.environments or ()):
        line = document.line(("environments", at))
        if name in (data.environments or ())[:at]:
            problems.append(
                Problem(document.file, line, f"environments: found {name!r} twice, expected it once")
            )
        elif known is not None and name not in known:
            names = ", ".join(known) or "none at all"
            text = f"environments: found {name!r}, expected one of environments.yaml: {names}"
            problems.append(Problem(document.file, line, text + did_you_mean(name, known)))
    return problems
