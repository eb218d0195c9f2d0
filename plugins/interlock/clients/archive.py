"""Read an archive of an evidence bucket: a folder, a .tar or a .tar.gz, from somebody who is not trusted.

Nothing is unpacked, and nothing is written but nameless temporary files. A name that leaves the archive, a
link, a device, a name twice, a sparse member, a member that is larger than anything that belongs there, more
members or bytes than an archive can have, a file that unpacks to many times its size: each is refused, with
its name.

An archive has the bucket's keys below `objects/`, and `versions.jsonl`, which says what versions and locks
the exporter saw. A bare copy of a bucket (`log/` at its top) is read too; it says nothing of versions.
"""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
from typing import IO, Final, Protocol, TypeVar

from interlock.clients.archive_list import Listed, ListedVersion, read_list, read_version
from interlock.clients.archive_tar import TarFiles
from interlock.evidence.verification.source import (
    ArchiveError,
    ObjectMissing,
    ObjectTooLarge,
    Retention,
    SourceError,
    Version,
)

LIST: Final = "versions.jsonl"
OBJECTS: Final = "objects/"
MAX_FILES: Final = 20_000_000
MAX_FILE: Final = 1024**3

T = TypeVar("T")
R = TypeVar("R")


class Stream(Protocol):
    """What is read of a file."""

    def read(self, size: int = -1, /) -> bytes:
        """At most `size` bytes."""

    def readline(self, size: int = -1, /) -> bytes:
        """A line, at most `size` bytes of it."""


class Files(Protocol):
    """The files of an archive, by their path in it."""

    @property
    def sizes(self) -> Mapping[str, int]:
        """Each file's bytes."""

    def open(self, path: str) -> AbstractContextManager[Stream]:
        """A file's content."""

    def close(self) -> None:
        """Let go of it."""


class FolderFiles:
    """The files below a folder; symbolic links and whatever else is no file are refused."""

    def __init__(self, folder: Path) -> None:
        """Look through the folder.

        Raises:
            ArchiveError: it holds something that is neither a file nor a folder.
        """
        self._folder = folder
        self.sizes: dict[str, int] = {}
        try:
            self._look(str(folder), "")
        except OSError as error:
            raise ArchiveError(f"{folder}: can't be read: {error.strerror or error}") from None

    def _look(self, folder: str, prefix: str) -> None:
        waiting = [(folder, prefix)]
        while waiting:
            at, inside = waiting.pop()
            with os.scandir(at) as found:
                for one in found:
                    name = inside + one.name
                    mode = one.stat(follow_symlinks=False).st_mode
                    if stat.S_ISDIR(mode):
                        waiting.append((one.path, f"{name}/"))
                    elif stat.S_ISREG(mode):
                        self.sizes[name] = one.stat(follow_symlinks=False).st_size
                    else:
                        kind = "a symbolic link" if stat.S_ISLNK(mode) else "neither a file nor a folder"
                        raise ArchiveError(
                            f"{self._folder}: {name} is {kind}; an archive has only files and folders"
                        )
                    if len(self.sizes) > MAX_FILES:
                        raise ArchiveError(f"{self._folder}: more than {MAX_FILES} files")

    def close(self) -> None:
        """Nothing is held open."""

    def open(self, path: str) -> IO[bytes]:
        """A file's content; a link that took its place meanwhile is not followed."""
        descriptor = os.open(self._folder / path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
        return os.fdopen(descriptor, "rb")


class Archive:
    """A source for verification: an archive, opened.

    Attributes:
        name: what it is, for people.
        header: the first line of `versions.jsonl`; empty for a bare copy.
        entries: by year and index, of a part: which entries it says that it has, and the claim of each.
    """

    live = False

    def __init__(self, files: Files, name: str) -> None:
        """Read what the archive says of itself.

        Raises:
            ArchiveError: its list is malformed, or it holds no objects.
        """
        self.name = name
        self._files = files
        listed = Listed()
        self._prefix = OBJECTS if any(path.startswith(OBJECTS) for path in files.sizes) else ""
        self.knows_versions = LIST in files.sizes
        if self.knows_versions:
            with files.open(LIST) as stream:
                listed = read_list(stream, name)
        self.header, self.entries, self._lines = listed.header, listed.entries, listed.lines
        try:
            self._lines.add_files(
                path.removeprefix(self._prefix) for path in files.sizes if path.startswith(self._prefix)
            )
        except (ValueError, ArchiveError) as error:
            raise ArchiveError(f"{name}: {error}") from None

    def close(self) -> None:
        """Let go of the files."""
        self._lines.close()
        self._files.close()

    @property
    def paths(self) -> Mapping[str, int]:
        """All files with their sizes in bytes, by their path in the archive."""
        return self._files.sizes

    def file(self, path: str, limit: int) -> bytes:
        """A file of the archive, by its path.

        Raises:
            ObjectMissing: there is none.
            ObjectTooLarge: it has more than `limit` bytes.
            SourceError: it can't be read.
        """
        if path not in self._files.sizes:
            raise ObjectMissing(f"{self.name}: it has no {path}")
        if (size := self._files.sizes[path]) > limit:
            raise ObjectTooLarge(f"{path} has {size} bytes; at most {limit} belong there")
        try:
            with self._files.open(path) as stream:
                content = stream.read(limit + 1)
        except OSError as error:
            raise SourceError(f"{self.name}: {path}: {error.strerror or error}") from None
        if len(content) != size:
            raise SourceError(
                f"{self.name}: {path} has {len(content)} bytes, {size} when the archive was opened"
            )
        return content

    @property
    def taken_at(self) -> datetime | None:
        """When the archive was made, as its list says."""
        try:
            found = datetime.fromisoformat(str(self.header.get("exported_at")))
        except ValueError:
            return None
        return found if found.tzinfo is not None else None

    def versions(self, prefix: str, after: str = "") -> Iterator[Version]:
        """All versions as the exporter saw them; in a bare copy, each file."""
        for key, line in self._lines.below(prefix, after):
            if line is not None:
                yield read_version(json.loads(line)).version
            else:
                yield Version(key, "", size=self._files.sizes[self._prefix + key])

    def _listed(self, key: str) -> Iterator[ListedVersion]:
        return (read_version(json.loads(line)) for line in self._lines.of(key))

    def read(self, key: str, limit: int, version_id: str | None = None) -> bytes:
        """An object's content; a version whose content the exporter left out is missing."""
        listed = [*self._listed(key)]
        if not listed or version_id == "":
            return self.file(self._prefix + key, limit)
        for one in listed:
            if version_id in (None, one.version.version_id) and not one.version.marker:
                return self.file(one.file or self._prefix + key, limit)
            if version_id is None:
                break
        raise ObjectMissing(f"{self.name}: {key} has no such version")

    def several(self, ask: Callable[[T], R], items: Iterable[T]) -> Iterator[R]:
        """One after the other: the files are here."""
        return map(ask, items)

    def retention(self, key: str, version_id: str) -> Retention | None:
        """The lock that the exporter saw; None also for what the list doesn't name."""
        for one in self._listed(key):
            if one.version.version_id == version_id:
                return one.retention
        return None


def open_archive(path: Path) -> Archive:
    """Open an archive.

    Raises:
        ArchiveError: it isn't there, isn't one, or holds what no archive holds; the message names it.
    """
    try:
        mode = path.stat().st_mode
    except OSError as error:
        raise ArchiveError(f"{path}: {error.strerror or error}") from None
    if stat.S_ISDIR(mode):
        return Archive(FolderFiles(path), f"archive {path}")
    if not stat.S_ISREG(mode):
        raise ArchiveError(f"{path}: neither a file nor a folder")
    return Archive(TarFiles(path), f"archive {path}")
