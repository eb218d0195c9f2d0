"""The folder that an export writes into."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from interlock.clients.archive import LIST
from interlock.clients.archive_list import encode_header
from interlock.evidence.verification.source import Retention, Source, Version
from interlock.evidence.verification.trust import Trust
from interlock.evidence.verification.verify import Progress


class Folder:
    """Writes an archive's files, and counts them.

    Attributes:
        source: what is copied.
        trust: the keys.
        progress: told how far it is.
        files: how many were written.
        left_out: objects whose content was not copied, and why.
    """

    def __init__(self, folder: Path, source: Source, trust: Trust, progress: Progress) -> None:
        """Nothing is written yet."""
        self._folder = folder
        self.source, self.trust, self.progress = source, trust, progress
        self.files = 0
        self.left_out: list[str] = []
        self._began = datetime.now(UTC)

    def put(self, path: str, content: bytes) -> None:
        """Write a file."""
        file = self._folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
        self.files += 1

    def leave_out(self, key: str, why: str) -> None:
        """Say that the content of an object is not copied; the list of versions has it."""
        self.left_out.append(f"{key}: {why}")

    def versions(self) -> AbstractContextManager[IO[bytes]]:
        """The list of versions, to be written."""
        self.files += 1
        return (self._folder / LIST).open("wb")

    def header(self, kind: str, what: str, **more: Any) -> bytes:
        """The list's first line; the archive was made when the export began: what came later isn't in it."""
        return encode_header(
            {
                "kind": kind,
                "source": self.source.name,
                "log": self.trust.log,
                "what": what,
                "exported_at": self._began.isoformat(),
                **more,
            }
        )

    def locked(self, versions: Iterable[Version]) -> Iterable[tuple[Version, Retention | None]]:
        """Each version, and how it is locked."""

        def ask(one: Version) -> tuple[Version, Retention | None]:
            return one, None if one.marker else self.source.retention(one.key, one.version_id)

        return self.source.several(ask, versions)
