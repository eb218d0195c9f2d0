"""Which releases exist in the sandbox and how each behaves: `sandbox/releases.yaml`, parsed.

The file stands in for a registry and for the images in it: an image it doesn't list can't be pulled.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

_REFERENCE = re.compile(
    r"^(?P<repository>[a-z0-9]+(?:[._:/-]+[a-z0-9]+)*?)"
    r"(?::(?P<tag>[A-Za-z0-9_][A-Za-z0-9._-]{0,127}))?(?:@(?P<digest>sha256:[0-9a-f]{64}))?$"
)
_DURATION = re.compile(r"^(\d+(?:\.\d+)?)(ms|s|m|h)$")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}
PROGRAMS = ("service", "envoy", "probe")
"""What an image can stand for (`programs.py` starts them)."""


class ReleasesFileError(ValueError):
    """The releases file, or an annotation in its notation, says something that can't be understood."""


def seconds(text: str) -> float:
    """Return the seconds a duration like `500ms`, `15s`, `2m` or `1h` stands for.

    Raises:
        ReleasesFileError: It is no such duration.
    """
    match = _DURATION.match(text.strip())
    if match is None:
        raise ReleasesFileError(f"{text!r} is no duration; expected a number with a unit, such as 15s or 2m")
    return float(match.group(1)) * _SECONDS[match.group(2)]


@dataclass(frozen=True)
class Crash:
    """The program writes `log` and exits with `exit_code`, `after` seconds from its start."""

    exit_code: int = 1
    log: str = ""
    after: float = 0.0


@dataclass(frozen=True)
class Behaviour:
    """How one release behaves once it is started.

    Attributes:
        ready_after: Seconds from the start until `/readyz` answers 200; None if it never does.
        crash: How it crashes; None if it doesn't.
        error_rate: Ratio of requests to `/` that are answered with 500.
    """

    ready_after: float | None = 0.0
    crash: Crash | None = None
    error_rate: float = 0.0

    def to_json(self) -> str:
        """Return the form that `service.py` reads from its environment."""
        crash = self.crash and {
            "exit_code": self.crash.exit_code,
            "log": self.crash.log,
            "after": self.crash.after,
        }
        return json.dumps({"ready_after": self.ready_after, "crash": crash, "error_rate": self.error_rate})


@dataclass(frozen=True)
class Image:
    """An image reference, taken apart."""

    repository: str
    tag: str
    digest: str

    @classmethod
    def parse(cls, reference: str) -> Image | None:
        """Return the parts of `reference`, or None if it is no image reference."""
        match = _REFERENCE.match(reference)
        if match is None:
            return None
        digest = match.group("digest") or ""
        return cls(match.group("repository"), match.group("tag") or ("" if digest else "latest"), digest)


@dataclass(frozen=True)
class Release:
    """A release that the file lists: what a pull of its image finds.

    Attributes:
        repository: The image's name.
        tag: Its tag.
        behaviour: How the program behaves.
        program: Which program it is: one of `PROGRAMS`.
    """

    repository: str
    tag: str
    behaviour: Behaviour
    program: str = "service"

    @property
    def digest(self) -> str:
        """The digest of the stand-in image: derived from its name, so the same in every sandbox."""
        return "sha256:" + hashlib.sha256(f"{self.repository}:{self.tag}".encode()).hexdigest()

    @property
    def image_id(self) -> str:
        """What a kubelet reports as imageID."""
        return f"{self.repository}@{self.digest}"


class Releases:
    """The releases of one file."""

    def __init__(self, releases: Mapping[tuple[str, str], Release]) -> None:
        self._by_tag = dict(releases)
        self._by_digest = {(r.repository, r.digest): r for r in releases.values()}

    @classmethod
    def load(cls, path: Path) -> Releases:
        """Read the releases file.

        Raises:
            ReleasesFileError: With every mistake in the file at once.
        """
        try:
            document = yaml.safe_load(path.read_text(encoding="utf-8"))
        except yaml.YAMLError as error:
            raise ReleasesFileError(f"{path}: not YAML: {error}") from None
        images = document.get("images") if isinstance(document, Mapping) else None
        if not isinstance(images, Mapping):
            raise ReleasesFileError(f"{path}: expected a map `images` of repositories, each a map of tags")
        releases: dict[tuple[str, str], Release] = {}
        errors: list[str] = []
        for repository, tags in images.items():
            if not isinstance(tags, Mapping):
                errors.append(f"{repository}: expected a map of tags, found {tags!r}")
                continue
            for tag, value in tags.items():
                try:
                    release = Release(str(repository), str(tag), behaviour(value), program(value))
                    releases[(release.repository, release.tag)] = release
                except ReleasesFileError as error:
                    errors.append(f"{repository}:{tag}: {error}")
        if errors:
            raise ReleasesFileError(f"{path}:\n" + "\n".join(errors))
        return cls(releases)

    def find(self, reference: str) -> Release | None:
        """Return the release that an image reference names by tag or digest, or None if there is none."""
        image = Image.parse(reference)
        if image is None:
            return None
        if image.digest:
            return self._by_digest.get((image.repository, image.digest))
        return self._by_tag.get((image.repository, image.tag))

    def __len__(self) -> int:
        return len(self._by_tag)


_NAMED = {
    "good": Behaviour(),
    "never-ready": Behaviour(ready_after=None),
    "errors": Behaviour(error_rate=1.0),
    "crash": Behaviour(crash=Crash()),
}


def program(value: object) -> str:
    """Return the program that one entry of the releases file names: a service, if it names none.

    Raises:
        ReleasesFileError: There is no such program.
    """
    name = str(value.get("program", "service")) if isinstance(value, Mapping) else "service"
    if name not in PROGRAMS:
        raise ReleasesFileError(f"program: expected one of {', '.join(PROGRAMS)}, found {name!r}")
    return name


def behaviour(value: object) -> Behaviour:
    """Return the behaviour that one entry of the releases file describes.

    Raises:
        ReleasesFileError: It describes none.
    """
    if isinstance(value, str) and value in _NAMED:
        return _NAMED[value]
    if not isinstance(value, Mapping):
        raise ReleasesFileError(f"expected one of {', '.join(_NAMED)} or a map, found {value!r}")
    unknown = set(value) - {"crash", "ready_after", "errors", "program"}
    if unknown:
        raise ReleasesFileError(f"unknown: {', '.join(sorted(map(str, unknown)))}")
    crash = value.get("crash")
    if crash is not None and not isinstance(crash, Mapping):
        raise ReleasesFileError(f"crash: expected a map, found {crash!r}")
    try:
        return Behaviour(
            ready_after=seconds(str(value.get("ready_after", "0s"))),
            crash=None
            if crash is None
            else Crash(
                exit_code=int(crash.get("exit_code", 1)),
                log=str(crash.get("log", "")),
                after=seconds(str(crash.get("after", "0s"))),
            ),
            error_rate=float(value.get("errors", 0.0)),
        )
    except (TypeError, ValueError) as error:
        raise ReleasesFileError(str(error)) from None
