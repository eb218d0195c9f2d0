"""The shape of the YAML files, and what to tell a person whose file has another.

The models here are the border: they are read once, checked, and turned into the frozen values of
`interlock.trains.model`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, PlainValidator, ValidationError, WithJsonSchema
from pydantic_core import ErrorDetails, PydanticCustomError

from interlock.trains.image import REPOSITORY_PATTERN, Image, ImageError
from interlock.trains.located import Document, Problem, did_you_mean
from interlock.trains.order import Scope

_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_DURATION = re.compile(r"(?=.)(?:([0-9]{1,6})h)?(?:([0-9]{1,6})m)?(?:([0-9]{1,6})s)?")
_CONNECTION = re.compile(r"[A-Za-z0-9_.-]+")
_KINDS = {
    "bool_type": "true or false",
    "string_type": "text",
    "list_type": "a list",
    "dict_type": "a mapping (key: value)",
    "model_type": "a mapping (key: value)",
    "model_attributes_type": "a mapping (key: value)",
    "too_short": "at least one",
}


def expected(what: str) -> PydanticCustomError:
    """The error of a value that is something else than `what`."""
    return PydanticCustomError("expected", "{what}", {"what": what})


def text(pattern: re.Pattern[str], what: str) -> Callable[[object], str]:
    """Takes text that matches a pattern; of anything else it says that `what` was expected."""

    def check(value: object) -> str:
        if not isinstance(value, str) or not pattern.fullmatch(value):
            raise expected(what)
        return value

    return check


def duration(value: object) -> timedelta:
    """Takes a duration such as 1h30m."""
    found = _DURATION.fullmatch(value) if isinstance(value, str) else None
    if found is None:
        raise expected("a duration such as 90s, 5m, 1h or 1h30m")
    hours, minutes, seconds = (int(part or 0) for part in found.groups())
    return timedelta(hours=hours, minutes=minutes, seconds=seconds)


def _positive(value: object) -> timedelta:
    if not (found := duration(value)):
        raise expected("a duration longer than 0s")
    return found


def _repository(value: object) -> str:
    if not isinstance(value, str):
        raise expected("an image such as registry.internal/service-a, in lower case")
    try:
        image = Image.parse(value)
    except ImageError as error:
        raise expected(str(error).removeprefix("expected ")) from None
    if image.tag or image.digest:
        raise expected(f"{image.repository} without tag or digest, which each run brings itself")
    return value


def _schema(pattern: str, description: str) -> WithJsonSchema:
    return WithJsonSchema({"type": "string", "pattern": pattern, "description": description})


_LABEL_TEXT = "a DNS-1123 label: at most 63 lower-case letters, digits and '-', no dots, no '-' at either end"
_DURATION_SCHEMA = _schema(f"^{_DURATION.pattern}$", "A duration such as 90s, 5m, 1h or 1h30m")
_CONNECTION_TEXT = "the id of an Airflow connection"

Label = Annotated[
    str, PlainValidator(text(_LABEL, _LABEL_TEXT)), _schema(f"^{_LABEL.pattern}$", "A DNS-1123 label")
]
Duration = Annotated[timedelta, PlainValidator(duration), _DURATION_SCHEMA]
Deadline = Annotated[timedelta, PlainValidator(_positive), _DURATION_SCHEMA]
Repository = Annotated[
    str, PlainValidator(_repository), _schema(REPOSITORY_PATTERN, "An image without tag or digest")
]
Connection = Annotated[
    str,
    PlainValidator(text(_CONNECTION, _CONNECTION_TEXT)),
    _schema(f"^{_CONNECTION.pattern}$", "The id of an Airflow connection"),
]


class File(BaseModel):
    """A mapping of a file: only known keys, each with a value of the right type."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Defaults(File):
    """What holds for each service that says nothing else."""

    deadline: Deadline = Field(default="5m", validate_default=True, description="How long a rollout may take")
    soak: Duration = Field(default="15s", validate_default=True, description="How long a release must hold")


class ServiceEntry(File):
    """One service of a train."""

    image: Repository = Field(description="The repository its releases come from, without tag or digest")
    kind: Literal["Deployment", "StatefulSet", "DaemonSet"] = Field(
        default="Deployment", description="Kind of the workload"
    )
    workload: Label | None = Field(default=None, description="The workload; default: the service's name")
    container: Label = Field(default="app", description="The container that runs the image")
    after: list[Label] = Field(default=[], description="The services that move before this one")
    deadline: Deadline | None = Field(default=None, description="How long its rollout may take")
    soak: Duration | None = Field(default=None, description="How long its release must hold")
    irreversible: bool = Field(
        default=False, description="Whether no release of it can be taken back once it moved (a migration)"
    )


class TrainFile(File):
    """The services that move to an environment together, and what each comes after."""

    description: str = Field(default="", description="What this train is, for people")
    approval: bool = Field(default=False, description="Whether a person approves each plan")
    rollback: Scope = Field(
        default="train",
        description="What goes back when a service fails: all that moved, or all but what is verified",
    )
    defaults: Defaults = Field(
        default={}, validate_default=True, description="For services that say nothing else"
    )
    environments: list[Label] | None = Field(
        default=None, min_length=1, description="Where it may go; default: everywhere"
    )
    services: dict[Label, ServiceEntry] = Field(min_length=1, description="The services by name")


Loc = tuple[int | str, ...]


def read_train(value: object) -> tuple[TrainFile, ValidationError | None]:
    """A train's file, and what is wrong with its shape.

    Where something is, the file holds what further checks look at: names, workloads and dependencies. A wrong
    item of a list keeps its place there; other wrong values are left out.
    """
    try:
        return TrainFile.model_validate(value), None
    except ValidationError as error:
        found: dict[str, Any] = value if isinstance(value, dict) else {}
        services = found.get("services")
        entries = {
            name: _entry(entry) for name, entry in (services if isinstance(services, dict) else {}).items()
        }
        named = found.get("environments")
        environments = [str(name) for name in named] if isinstance(named, list) else None
        return TrainFile.model_construct(services=entries, environments=environments), error


def _entry(value: object) -> ServiceEntry:
    found: dict[str, Any] = value if isinstance(value, dict) else {}
    after = found.get("after")
    texts = {key: found[key] for key in ("kind", "workload", "container") if isinstance(found.get(key), str)}
    return ServiceEntry.model_construct(
        image="", after=[str(name) for name in after] if isinstance(after, list) else [], **texts
    )


def describe(error: ValidationError, document: Document, model: type[BaseModel]) -> list[Problem]:
    """What a validation found wrong, in the file's own terms."""
    return [_problem(detail, document, model) for detail in error.errors(include_url=False)]


def _problem(detail: ErrorDetails, document: Document, model: type[BaseModel]) -> Problem:
    of_key = detail["loc"][-1:] == ("[key]",)
    loc = detail["loc"][:-1] if of_key else detail["loc"]
    where = ".".join(str(step) for step in loc if isinstance(step, str))
    kind = detail["type"]
    line = document.line(loc, key=of_key or kind in ("extra_forbidden", "too_short"))
    if kind in ("extra_forbidden", "missing"):
        parent, name = where.rpartition(".")[::2]
        prefix = f"{parent}: " if parent else ""
        known = _keys(model, loc[:-1])
        if kind == "missing":
            line = document.line(loc[:-1], key=True)
            return Problem(
                document.file, line, f"{prefix}{name!r} is missing, expected it among {', '.join(known)}"
            )
        text = f"{prefix}unknown key {name!r}, expected one of {', '.join(known)}{did_you_mean(name, known)}"
        return Problem(document.file, line, text)
    if kind == "literal_error":
        wanted = f"one of {detail['ctx']['expected'].replace(' or ', ', ').replace(chr(39), '')}"
    else:
        wanted = _KINDS.get(kind, detail["msg"])
    if of_key:
        return Problem(document.file, line, f"{where}: found this name, expected {wanted}")
    prefix = f"{where}: " if where else ""
    return Problem(document.file, line, f"{prefix}found {_shown(detail['input'])}, expected {wanted}")


def _keys(model: type[BaseModel], loc: tuple[Any, ...]) -> list[str]:
    """The keys that the mapping at `loc` may have."""
    for step in loc:
        field = model.model_fields.get(str(step))
        model = (_model_in(field.annotation) if field else None) or model
    return list(model.model_fields)


def _model_in(annotation: Any) -> type[BaseModel] | None:
    """The model that a field's values are, or hold: `Model`, `Model | None`, `dict[str, Model]`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next((found for part in get_args(annotation) if (found := _model_in(part)) is not None), None)


def _shown(value: object) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, dict):
        return "a mapping" if value else "an empty mapping"
    if isinstance(value, list):
        return "a list" if value else "an empty list"
    return str(value).lower() if isinstance(value, bool) else repr(value)
