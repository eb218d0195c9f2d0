"""The manifests of a release: `include/trains/NAME/SERVICE/*.yaml`, one object a file.

They go with each release of the service, whatever its image. They hold no placeholder: the image comes from
the run, the namespace from the environment, and all else from the commit that has the file.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import date, datetime
from pathlib import Path
from typing import cast

from interlock.manifest import PREFIX, Manifest
from interlock.trains.fields import FieldPath, ListKey, get
from interlock.trains.files import ServiceEntry, TrainFile
from interlock.trains.kinds import KINDS, WORKLOAD_API, WORKLOADS
from interlock.trains.located import Document, Problem, did_you_mean

_METADATA = ("name", "labels", "annotations")
_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
_TEXTS = (("metadata", "labels"), ("metadata", "annotations"), ("data",), ("binaryData",))
_NO_SECRET = "a Secret can't be part of a release: secrets come from Vault, never from a repository"


def load_manifests(folder: Path, train: TrainFile) -> tuple[dict[str, tuple[Manifest, ...]], list[Problem]]:
    """The manifests of a train's services, and all that is wrong with them.

    Args:
        folder: The folder beside the train's file, without its `.yaml`; there may be none.
        train: The train's file.
    """
    found: dict[str, tuple[Manifest, ...]] = {}
    problems: list[Problem] = []
    first: dict[tuple[str, str], str] = {}
    for path in _inside(folder):
        if not path.is_dir() or path.name not in train.services:
            hint = did_you_mean(path.name, train.services) if path.is_dir() else ""
            text = f"found {path.name!r}, expected a folder for each service of the train that has manifests"
            problems.append(Problem(str(path), 1, text + hint))
            continue
        entry = train.services[path.name]
        for file in _inside(path):
            if file.suffix != ".yaml" or file.is_dir():
                problems.append(Problem(str(file), 1, "expected a file that ends in .yaml"))
                continue
            document = Document.read(file)
            wrong = document.problems or list(_wrong(document, path.name, entry))
            problems += wrong
            if wrong:
                continue
            manifest = Manifest.of(cast("Mapping[str, object]", document.value))
            name = (manifest.kind, manifest.name)
            if name in first:
                line = document.line(("metadata", "name"))
                problems.append(
                    Problem(
                        document.file, line, f"{manifest} is given in {first[name]} already; expected it once"
                    )
                )
            first.setdefault(name, document.file)
            found[path.name] = (*found.get(path.name, ()), manifest)
    return found, problems


def _inside(folder: Path) -> list[Path]:
    """What is in a folder, sorted; hidden files are somebody else's."""
    return sorted(path for path in folder.iterdir() if path.name[0] != ".") if folder.is_dir() else []


def _wrong(document: Document, service: str, entry: ServiceEntry) -> Iterator[Problem]:
    raw = document.value
    if not isinstance(raw, Mapping):
        yield Problem(
            document.file, 1, "expected one Kubernetes object: apiVersion, kind, metadata and so on"
        )
        return

    def problem(text: str, *loc: str | int, key: bool = False) -> Problem:
        where = ".".join(str(step) for step in loc if isinstance(step, str))
        return Problem(document.file, document.line(loc, key=key), f"{where}: {text}" if where else text)

    kind = raw.get("kind")
    if kind == "Secret":
        yield problem(f"found 'Secret'; {_NO_SECRET}", "kind")
        return
    apis = {**KINDS, entry.kind: WORKLOAD_API}
    if not isinstance(kind, str) or kind not in apis:
        hint = did_you_mean(str(kind), apis)
        yield problem(f"found {_shown(kind)}, expected one of {', '.join(apis)}{hint}", "kind")
        return
    if raw.get("apiVersion") != apis[kind]:
        yield problem(
            f"found {_shown(raw.get('apiVersion'))}, expected {apis[kind]} for a {kind}", "apiVersion"
        )
    if "status" in raw:
        yield problem("a status is the cluster's; expected none", "status", key=True)
    metadata = raw.get("metadata")
    if not isinstance(metadata, Mapping):
        yield problem(f"found {_shown(metadata)}, expected a mapping with the object's name", "metadata")
        return
    name = metadata.get("name")
    if kind == entry.kind and name != (workload := entry.workload or service):
        text = f"found {_shown(name)}, expected {workload}: of workloads, only the service's own can be given"
        yield problem(text, "metadata", "name")
    elif not isinstance(name, str) or not _NAME.fullmatch(name):
        text = f"found {_shown(name)}, expected a name of lower-case letters, digits, '-' and '.'"
        yield problem(text, "metadata", "name")
    for field in metadata:
        if field == "namespace":
            yield problem("the environment names it; expected none", "metadata", field, key=True)
        elif field not in _METADATA:
            text = f"unknown key, expected one of {', '.join(_METADATA)}{did_you_mean(field, _METADATA)}"
            yield problem(text, "metadata", field, key=True)
    for at, text in _values(raw, ()):
        yield problem(text, *at)
    for texts in _TEXTS if kind == "ConfigMap" else _TEXTS[:2]:
        values = get(raw, FieldPath.of(*texts))
        for key, value in values.items() if isinstance(values, Mapping) else ():
            if isinstance(value, bool | int | float | Mapping | list):
                yield problem(f"found {_shown(value)}, expected text; put it in quotation marks", *texts, key)
            if texts[0] == "metadata" and key.startswith(PREFIX):
                yield problem("this prefix is Interlock's own; expected another key", *texts, key, key=True)
    if kind in WORKLOADS:
        containers = ("spec", "template", "spec", "containers")
        given = get(raw, FieldPath.of(*containers))
        image = get(raw, FieldPath.of(*containers, ListKey("name", entry.container), "image"))
        if isinstance(image, str) and isinstance(given, list):
            names = [item.get("name") if isinstance(item, Mapping) else None for item in given]
            text = f"the run brings the image of the container {entry.container!r}; expected none"
            yield problem(text, *containers, names.index(entry.container), "image", key=True)


def _values(value: object, at: tuple[str | int, ...]) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Values that JSON doesn't have, or that would not say what happens to a field."""
    if isinstance(value, Mapping):
        for key, item in value.items():
            yield from _values(item, (*at, str(key)))
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _values(item, (*at, number))
    elif value is None:
        yield at, "found nothing, expected a value ({} for an empty mapping)"
    elif isinstance(value, date | datetime):
        yield at, f"found the date {value}, expected text; put it in quotation marks"
    elif not isinstance(value, str | bool | int | float):
        yield at, f"found {type(value).__name__}, expected text, a number, true or false"


def _shown(value: object) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, Mapping | list):
        return "a mapping" if isinstance(value, Mapping) else "a list"
    return str(value).lower() if isinstance(value, bool) else repr(value)
