"""What a service's owner says of it: `include/services/NAME.yaml`, read once and checked.

Every field has a default, so that a service without a file, or with an empty one, can be looked at.
"""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path
from typing import Annotated, Any, Final, Literal

from pydantic import Field, PlainValidator, ValidationError, WithJsonSchema

from interlock.onboarding.items import ITEMS
from interlock.trains.files import Connection, File, Label, describe, expected, text
from interlock.trains.located import Document, Problem, TrainFileError, did_you_mean

_LABEL: Final = r"[a-z0-9](?:[-a-z0-9]{0,61}[a-z0-9])?"
_NAME: Final = re.compile(_LABEL)
_CALLER: Final = re.compile(rf"(?:{_LABEL}/)?{_LABEL}")
_PATH: Final = re.compile(r"[^/\s*+][^\s*+]*")
_ROLE: Final = re.compile(r"[A-Za-z0-9_-]+(?:/[A-Za-z0-9_-]+)*/[A-Za-z0-9_.-]+")
_PROBE: Final = re.compile(r"/[^\s]*")
_QUANTITY: Final = re.compile(r"[0-9]+(?:\.[0-9]+)?(?:m|k|M|G|T|P|E|Ki|Mi|Gi|Ti|Pi|Ei)?")
_WORDS: Final = re.compile(r"(?s).*\S.*")


def _day(value: object) -> date:
    if type(value) is date:
        return value
    try:
        return date.fromisoformat(value if isinstance(value, str) else "")
    except ValueError:
        raise expected("a day such as 2027-01-31") from None


def _item(value: object) -> str:
    if isinstance(value, str) and value in ITEMS:
        return value
    hint = did_you_mean(value, ITEMS) if isinstance(value, str) else ""
    raise expected(f"an item of the checklist: {', '.join(ITEMS)}{hint}")


def _as(pattern: re.Pattern[str], what: str) -> Any:
    return PlainValidator(text(pattern, what))


def _schema(pattern: re.Pattern[str]) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "pattern": f"^{pattern.pattern}$"})


Caller = Annotated[str, _as(_CALLER, "a service account, NAME or NAMESPACE/NAME"), _schema(_CALLER)]
SecretPath = Annotated[str, _as(_PATH, "a secret's path under the mount, without a wildcard"), _schema(_PATH)]
Role = Annotated[str, _as(_ROLE, "a role as MOUNT/NAME, such as kubernetes/service-a"), _schema(_ROLE)]
ProbePath = Annotated[str, _as(_PROBE, "a path such as /readyz"), _schema(_PROBE)]
Quantity = Annotated[str, _as(_QUANTITY, "a quantity such as 100m or 128Mi"), _schema(_QUANTITY)]
Words = Annotated[str, _as(_WORDS, "some words"), WithJsonSchema({"type": "string", "minLength": 1})]
Day = Annotated[date, PlainValidator(_day), WithJsonSchema({"type": "string", "format": "date"})]
ItemId = Annotated[str, PlainValidator(_item), WithJsonSchema({"enum": list(ITEMS)})]


class Probes(File):
    """Where the service says how it is."""

    readiness: ProbePath = Field(default="/readyz", description="Path of the readiness probe")
    liveness: ProbePath = Field(default="/healthz", description="Path of the liveness probe")


class Resources(File):
    """What a container gets where it says nothing itself."""

    cpu: Quantity = Field(default="100m", description="CPU that is requested")
    memory: Quantity = Field(default="128Mi", description="Memory that is requested")
    memory_limit: Quantity = Field(default="256Mi", description="Memory that it may use at most")


class Vault(File):
    """What the service needs of Vault."""

    connection: Connection = Field(
        default="interlock_onboarding_vault", description="The connection that sees roles and secrets' keys"
    )
    role: Role | None = Field(
        default=None, description="Its role as MOUNT/NAME; default: kubernetes/SERVICE, where it has secrets"
    )
    paths: dict[SecretPath, list[str]] = Field(
        default={}, description="Its secrets under the KV mount, each with the keys it has to have"
    )


class Exemption(File):
    """An item that may be missing for a time."""

    item: ItemId = Field(description="The item's id")
    reason: Words = Field(description="Why, for who reads the checklist")
    until: Day = Field(description="The last day on which it holds")


class ServiceFile(File):
    """`include/services/NAME.yaml`: what a service is, and which items it is excepted from."""

    environment: Label | None = Field(
        default=None, description="Where it is looked at; default: the first of environments.yaml"
    )
    kind: Literal["Deployment", "StatefulSet", "DaemonSet"] | None = Field(
        default=None, description="Its workload's kind; default: as its train says, else Deployment"
    )
    workload: Label | None = Field(
        default=None, description="Its workload's name; default: as its train says, else the service's"
    )
    container: Label | None = Field(
        default=None, description="The container that serves; default: as its train says, else app"
    )
    protocol: Literal["http", "http2", "grpc", "tcp"] = Field(
        default="http", description="What ports speak whose names don't say it"
    )
    callers: list[Caller] = Field(
        default=[], description="The service accounts that call it, NAME or NAMESPACE/NAME; nobody else may"
    )
    labels: dict[str, str] = Field(default={}, description="Labels that its pods have to have")
    probes: Probes = Probes()
    resources: Resources = Resources()
    vault: Vault = Vault()
    exceptions: list[Exemption] = Field(default=[], description="Items that may be missing for a time")


def load_service(path: Path) -> ServiceFile:
    """The file of one service; one that isn't there is an empty one.

    Raises:
        TrainFileError: it can't be used; one line a problem, with file and line.
    """
    if not path.exists():
        return ServiceFile()
    document = Document.read(path)
    if not _NAME.fullmatch(path.stem):
        name = f"found the name {path.stem!r}, expected lower-case letters, digits and '-', at most 63"
        raise TrainFileError([*document.problems, Problem(str(path), 1, name)])
    try:
        found = ServiceFile.model_validate({} if document.value is None else document.value)
    except ValidationError as error:
        raise TrainFileError(document.with_further(describe(error, document, ServiceFile))) from None
    problems = list(document.problems)
    names = [one.item for one in found.exceptions]
    for n, name in enumerate(names):
        if name in names[:n]:
            line = document.line(("exceptions", n, "item"))
            text = f"exceptions: found {name} twice, expected one exception for an item"
            problems.append(Problem(str(path), line, text))
    if problems:
        raise TrainFileError(problems)
    return found


def json_schema() -> dict[str, Any]:
    """The JSON Schema of a service's file, which `include/services.schema.json` holds for editors."""
    schema = ServiceFile.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **schema, "title": "Service"}
