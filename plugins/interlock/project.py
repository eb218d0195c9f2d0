"""Where the project's files are: `include/` beside the folder that holds this package.

The environment variable INTERLOCK_INCLUDE names another folder.
"""

from __future__ import annotations

import os
from pathlib import Path


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


def environments_file() -> Path:
    """The file that names the environments."""
    return include() / "environments.yaml"
