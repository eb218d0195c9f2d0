"""The environments that `include/environments.yaml` names, each usable or not for itself.

A train that has moved has to be able to go back whatever somebody does to this file meanwhile. So reading it
raises nothing: an entry that is wrong can't be used and keeps no other from it, and a file that can't be read
names no environment.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from interlock.mesh.gate import Gate
from interlock.trains.environment_entries import EnvironmentEntry, EnvironmentsFile
from interlock.trains.files import describe
from interlock.trains.located import Document, Problem, TrainFileError


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
        mesh: What the mesh gate asks of its services; None where it is in no mesh.
        kiali: Where Kiali shows this mesh; None where it doesn't.
        checked_within: Seconds that may have passed since the environment passed its check when a train is
            planned; None: trains don't ask.
    """

    name: str
    kubernetes: str
    namespace: str
    journal_namespace: str
    vault: str
    evidence_mode: str
    store: str
    mesh: Gate | None = None
    kiali: str | None = None
    checked_within: float | None = None

    @classmethod
    def of_json(cls, found: Mapping[str, Any]) -> Environment:
        """The environment that `dataclasses.asdict` gave."""
        mesh = found.get("mesh")
        return cls(**{**found, "mesh": None if mesh is None else Gate(**mesh)})


@dataclass(frozen=True, slots=True)
class Environments(Mapping[str, Environment]):
    """The environments that can be used, by name; iterating gives these.

    Attributes:
        file: The file that names them.
        usable: Those whose entries are right.
        names: All that the file names, also those with a wrong entry; None if it can't be read at all.
        broken: By name, what is wrong with an entry.
        problems: All that is wrong with the file, in its order.
    """

    file: str
    usable: Mapping[str, Environment]
    names: tuple[str, ...] | None
    broken: Mapping[str, tuple[Problem, ...]]
    problems: tuple[Problem, ...] = ()

    def __getitem__(self, name: str) -> Environment:
        """The environment of this name; KeyError if there is none that can be used."""
        return self.usable[name]

    def __iter__(self) -> Iterator[str]:
        """The names of those that can be used."""
        return iter(self.usable)

    def __len__(self) -> int:
        """How many can be used."""
        return len(self.usable)

    def wrong(self, name: object) -> tuple[Problem, ...]:
        """What is wrong with the entry of this name, or with a file that can't be read at all."""
        return self.problems if self.names is None else self.broken.get(str(name), ())

    def named(self, name: str) -> Environment:
        """The environment of this name.

        Raises:
            TrainFileError: it can't be used, with file and line, or the file doesn't name it.
        """
        if name in self.usable:
            return self.usable[name]
        known = ", ".join(self.names or ()) or "none"
        missing = Problem(self.file, 1, f"environment {name!r} is not in this file: it has {known}")
        raise TrainFileError(self.wrong(name) or [missing])


def load_environments(path: Path) -> Environments:
    """The environments of `include/environments.yaml`; what is wrong with it is in `problems`."""
    document = Document.read(path)
    value = document.value if isinstance(document.value, dict) else {}
    entries = value.get("environments")
    if document.problems or not isinstance(entries, dict) or not entries:
        problems = document.problems or _problems(document)
        return Environments(str(path), {}, None, {}, tuple(sorted(problems)))
    usable: dict[str, Environment] = {}
    broken: dict[str, tuple[Problem, ...]] = {}
    for name, entry in entries.items():
        alone = {"environments": {name: entry}}
        try:
            usable[name] = _environment(name, EnvironmentsFile.model_validate(alone).environments[name])
        except ValidationError as error:
            broken[name] = tuple(sorted(describe(error, document, EnvironmentsFile)))
    return Environments(str(path), usable, tuple(entries), broken, tuple(sorted(_problems(document))))


def _environment(name: str, entry: EnvironmentEntry) -> Environment:
    return Environment(
        name=name,
        kubernetes=entry.kubernetes,
        namespace=entry.namespace,
        journal_namespace=entry.journal_namespace,
        vault=entry.vault,
        evidence_mode=entry.evidence.mode,
        store=entry.evidence.store,
        mesh=None if entry.mesh is None else Gate(**entry.mesh.model_dump(exclude={"kiali"})),
        kiali=None if entry.mesh is None else entry.mesh.kiali,
        checked_within=None if entry.checked_within is None else entry.checked_within.total_seconds(),
    )


def _problems(document: Document) -> list[Problem]:
    try:
        EnvironmentsFile.model_validate(document.value)
    except ValidationError as error:
        return describe(error, document, EnvironmentsFile)
    return []
