"""Where the project's files are, and which trains they hold: `include/` beside the folder of this package.

The environment variable INTERLOCK_INCLUDE names another folder.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from interlock.trains.model import Train, TrainFileError, load_train, refuse_other_names


@dataclass(frozen=True)
class Trains:
    """The trains of some files.

    Attributes:
        loaded: those that load, in the order of their files.
        broken: by train, what is wrong with the file of one that doesn't: it has no DAG.
    """

    loaded: tuple[Train, ...]
    broken: Mapping[str, str]


def include() -> Path:
    """The folder with trains/, environments.yaml and deploy/."""
    given = os.environ.get("INTERLOCK_INCLUDE")
    return Path(given) if given else Path(__file__).resolve().parents[2] / "include"


def train_files() -> list[Path]:
    """One file for each train, sorted by name."""
    return sorted((include() / "trains").glob("*.yaml"))


def train_file(name: str) -> Path:
    """The file of the train with this name."""
    return include() / "trains" / f"{name}.yaml"


def service_file(name: str) -> Path:
    """The file of the service with this name, which need not be there."""
    return include() / "services" / f"{name}.yaml"


def service_names(trains: Iterable[Train]) -> list[str]:
    """The services that have a file, and those of trains, sorted."""
    files = (include() / "services").glob("*.yaml")
    return sorted({file.stem for file in files} | {s.name for train in trains for s in train.services})


def environments_file() -> Path:
    """The file that names the environments."""
    return include() / "environments.yaml"


def expectations_file() -> Path:
    """The file that says what an environment has to be like."""
    return include() / "environment.yaml"


def load_trains(environments: Collection[str] | None, files: Iterable[Path] | None = None) -> Trains:
    """The trains, and which of their files don't load: one that is wrong keeps no other from loading.

    Args:
        environments: the names of the environments there are; None: the trains' are not checked.
        files: the files to read; left out, all of them.
    """
    loaded: list[Train] = []
    broken: dict[str, str] = {}
    for path in train_files() if files is None else files:
        try:
            train = load_train(path, environments)
            refuse_other_names(path, train, loaded)
        except TrainFileError as error:
            broken[path.stem] = str(error)
        else:
            loaded.append(train)
    return Trains(tuple(loaded), broken)
