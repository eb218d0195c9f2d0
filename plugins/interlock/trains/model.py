"""Trains as their YAML files describe them, checked and frozen.

`load_train` reports everything that is wrong with a file at once, each with file, line, what was found and
what was expected. Unknown keys are refused: a misspelt `after` would let two
services move in the wrong order. `json_schema` is what editors check against while somebody types.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from interlock.manifest import Manifest
from interlock.trains.checks import RESERVED, dependencies, named_environments
from interlock.trains.environments import Environment, load_environments
from interlock.trains.files import Loc, TrainFile, describe, read_train
from interlock.trains.located import Document, Problem, TrainFileError
from interlock.trains.manifests import load_manifests
from interlock.trains.order import Scope, in_order

__all__ = [
    "RESERVED",
    "Environment",
    "Service",
    "Train",
    "TrainFileError",
    "json_schema",
    "load_environments",
    "load_train",
]

_SHAPE = ((), ("services",), ("kind",), ("workload",), ("container",))
"""Where a file is wrong so that nothing can be said of manifests: as a whole, or in one of these fields."""
_TRAIN_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


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
        irreversible: Whether no release of it can be taken back once it moved.
        manifests: What else its release consists of, without namespaces; the workload itself may be there.
    """

    name: str
    image: str
    kind: str
    workload: str
    container: str
    after: tuple[str, ...]
    deadline: timedelta
    soak: timedelta
    irreversible: bool = False
    manifests: tuple[Manifest, ...] = ()


@dataclass(frozen=True, slots=True)
class Train:
    """The services that move together.

    Attributes:
        name: The file's name without `.yaml`.
        description: For people.
        approval: Whether a person approves each plan.
        environments: Names of the environments it may go to.
        services: In the order of the file.
        rollback: What goes back when a service fails, unless a run says otherwise.
    """

    name: str
    description: str
    approval: bool
    environments: tuple[str, ...]
    services: tuple[Service, ...]
    rollback: Scope = "train"

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


def load_train(path: Path, environments: Collection[str] | None = None) -> Train:
    """The train of `include/trains/NAME.yaml`.

    Args:
        path: The train's file.
        environments: The names of the environments there are. Left out, they are read from
            `environments.yaml` in the folder above the train's; where that names none, they are not checked.

    Raises:
        TrainFileError: A file can't be read or is wrong; all problems at once.
    """
    if environments is None:
        environments = load_environments(path.parent.parent / "environments.yaml").names
    document = Document.read(path)
    problems: list[Problem] = []
    found: list[Problem] = []
    if not _TRAIN_NAME.fullmatch(path.stem):
        problems.append(
            Problem(
                str(path),
                1,
                f"found the name {path.stem!r}, expected lower-case letters, digits and '-', at most 63",
            )
        )
    if not document.whole:
        raise TrainFileError([*problems, *document.problems])
    data, error = read_train(document.value)
    told: list[Loc] = []
    if error is not None:
        found += describe(error, document, TrainFile)
        told = [detail["loc"] for detail in error.errors(include_url=False)]
    found += dependencies(data, document, told)
    found += named_environments(data, document, environments, told)
    manifests: dict[str, tuple[Manifest, ...]] = {}
    if not any(loc[-1:] in _SHAPE for loc in told):
        manifests, wrong = load_manifests(path.with_suffix(""), data)
        found += wrong
    problems += document.with_further(found)
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
                irreversible=entry.irreversible,
                manifests=manifests.get(name, ()),
            )
            for name, entry in data.services.items()
        ),
        rollback=data.rollback,
    )


def refuse_other_names(path: Path, train: Train, others: Iterable[Train]) -> None:
    """Refuse a train one of whose objects another service moves as well: a lock is a service's, by name.

    Raises:
        TrainFileError: another train calls a workload otherwise, or two services bring the same manifest; all
            problems at once.
    """
    names = {
        what: (service.name, other.name)
        for other in others
        if set(other.environments) & set(train.environments)
        for service in other.services
        for what in _objects(service)
    }
    wrong: list[tuple[str, str]] = []
    for service in train.services:
        for kind, called in _objects(service):
            name, other = names.get((kind, called), (service.name, ""))
            if name != service.name:
                text = (
                    f"services.{service.name}: found {kind}/{called}, which train {other} calls {name!r}, "
                    "expected that name: else both would move it without waiting for each other"
                    if (kind, called) == (service.kind, service.workload)
                    else f"services.{service.name}: found {kind}/{called} among its manifests, which service "
                    f"{name} of train {other} brings as well, expected one of them to"
                )
                wrong.append((service.name, text))
    if wrong:
        # Only now: reading a file costs more than all of the above.
        document = Document.read(path)
        raise TrainFileError(
            [Problem(str(path), document.line(("services", name), key=True), text) for name, text in wrong]
        )


def _objects(service: Service) -> tuple[tuple[str, str], ...]:
    """The kinds and names of what moves with a service's release."""
    further = ((manifest.kind, manifest.name) for manifest in service.manifests)
    return tuple(dict.fromkeys([(service.kind, service.workload), *further]))


def json_schema() -> dict[str, Any]:
    """The JSON Schema of a train's file, which `include/trains.schema.json` holds for editors."""
    schema = TrainFile.model_json_schema()
    schema["properties"]["services"]["additionalProperties"] = False  # a name of another form
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "Promotion train"}
