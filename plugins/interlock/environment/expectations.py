"""What an environment has to be like: `include/environment.yaml`, read once and checked.

What the file doesn't name is looked at where that costs nothing, and keeps nothing from passing.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Final, Literal, get_args

from pydantic import Field, PlainValidator, ValidationError

from interlock.environment.versions import Version
from interlock.trains.files import Connection, Deadline, File, Label, describe, expected, text
from interlock.trains.located import Document, TrainFileError

Role = Literal["pull", "triage", "push", "maintain", "admin"]
ROLES: Final[tuple[Role, ...]] = get_args(Role)
"""From the least to the most."""
ToolName = Literal["kubectl", "istioctl", "vault", "bao", "aws"]
TOOLS: Final[tuple[ToolName, ...]] = get_args(ToolName)
Permission = Literal["metadata", "contents", "pull_requests", "checks", "statuses"]

# Accounts that an enterprise manages end with `_` and its short name.
_OWNER: Final = r"[A-Za-z0-9][A-Za-z0-9_-]{0,38}"
_REPOSITORY: Final = re.compile(rf"{_OWNER}/[A-Za-z0-9._-]{{1,100}}")
PULL_REQUEST: Final = re.compile(rf"({_REPOSITORY.pattern})#([1-9][0-9]{{0,9}})")
_SCOPE: Final = re.compile(r"[a-z_]+(:[a-z_]+)?")
_PATH: Final = re.compile(r"[^/\s*+][^\s*+]*")


def _version(value: object) -> Version:
    found = Version.find(value) if isinstance(value, str) else None
    if found is None:
        raise expected("a version such as v1.34.1, in quotation marks")
    return found


RepositoryName = Annotated[
    str, PlainValidator(text(_REPOSITORY, "a repository with its owner, such as owner/name"))
]
PullRequestName = Annotated[
    str, PlainValidator(text(PULL_REQUEST, "a pull request such as owner/name#12, in quotation marks"))
]
Scope = Annotated[str, PlainValidator(text(_SCOPE, "a classic token's scope, such as repo or read:org"))]
SecretPath = Annotated[
    str, PlainValidator(text(_PATH, "a secret's path under the mount, without a wildcard"))
]
Pinned = Annotated[Version, PlainValidator(_version)]


class RepositoryEntry(File):
    """What the account has to be in a repository."""

    role: Role = "pull"


class GithubEntry(File):
    """Which account, with which rights on which repositories, and a sprint's pull requests."""

    connection: Connection = "interlock_github"
    repositories: dict[RepositoryName, RepositoryEntry] = Field(min_length=1)
    scopes: list[Scope] = ["repo"]
    permissions: list[Permission] = ["metadata", "pull_requests", "checks", "statuses"]
    expiry_days: int = Field(default=14, ge=0, le=3650)
    approvals: int = Field(default=1, ge=0, le=20)
    pull_requests: list[PullRequestName] = []


class VaultEntry(File):
    """What the trains need of Vault, beyond the policy that Interlock ships."""

    policies: list[str] = ["interlock"]
    secrets: dict[SecretPath, list[str]] = {}
    least_ttl: Deadline = Field(default="10m", validate_default=True)
    audit_connection: Connection | None = "interlock_audit_vault"


class ToolEntry(File):
    """Which version of a program is wanted, and whether it has to be there."""

    version: Pinned | None = None
    required: bool = False


class Expectations(File):
    """`include/environment.yaml`."""

    github: GithubEntry | None = None
    vault: VaultEntry = VaultEntry()
    tools: dict[ToolName, ToolEntry] = {}
    istio_namespace: Label = "istio-system"

    def tool(self, name: ToolName) -> ToolEntry:
        """What is said of a tool; of one that the file doesn't name, nothing is wanted."""
        return self.tools.get(name, ToolEntry())


def load_expectations(path: Path) -> Expectations:
    """Read the file.

    Raises:
        TrainFileError: it can't be used; one line a problem, with file and line.
    """
    document = Document.read(path)
    try:
        found = Expectations.model_validate({} if document.value is None else document.value)
    except ValidationError as error:
        problems = document.with_further(describe(error, document, Expectations))
        raise TrainFileError(problems) from None
    if document.problems:
        raise TrainFileError(document.problems)
    return found
