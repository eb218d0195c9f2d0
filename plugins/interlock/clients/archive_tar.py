"""The files of a .tar or .tar.gz, read in place, with limits on all that a file can claim of itself."""

from __future__ import annotations

import contextlib
import gzip
import io
import os
import tarfile
import tempfile
import zlib
from pathlib import Path
from typing import IO, Any, Final

from interlock.evidence.verification.source import ArchiveError

MAX_MEMBERS: Final = 20_000_000
MAX_MEMBER: Final = 1024**3
MAX_UNPACKED: Final = 256 * 1024**3
MAX_RATIO: Final = 200
"""Packed evidence shrinks to a tenth; a tar of many small files to a thirtieth; a bomb to a thousandth."""
RATIO_FROM: Final = 64 * 1024 * 1024
MAX_HEADER: Final = 1024 * 1024
_CHUNK: Final = 1024 * 1024
_GZIP: Final = b"\x1f\x8b"
_OTHERS: Final = (
    (b"PK", "a zip file"),
    (b"BZh", "a bzip2 file"),
    (b"\xfd7zXZ", "an xz file"),
    (b"\x28\xb5\x2f\xfd", "a zstd file"),
)


class _Bounded(io.RawIOBase):
    """A file from which no more is read at a time than a tar header can need."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream

    def read(self, size: int = -1) -> bytes:
        if size < 0 or size > MAX_HEADER:
            raise ArchiveError("a header of a member claims to be larger than any is")
        return self._stream.read(size)

    def seek(self, offset: int, whence: int = 0) -> int:
        return self._stream.seek(offset, whence)

    def tell(self) -> int:
        return self._stream.tell()


class TarFiles:
    """The members of a tar file, found by their offset.

    A .tar.gz is unpacked into a file without a name, which is gone when the process ends.
    """

    def __init__(self, path: Path) -> None:
        """Look through the archive.

        Raises:
            ArchiveError: see the module's description.
        """
        self._path = path
        self.sizes: dict[str, int] = {}
        self._offsets: dict[str, int] = {}
        with contextlib.ExitStack() as held:
            try:
                self._stream = self._opened(held)
                self._length = self._stream.seek(0, os.SEEK_END)
                self._stream.seek(0)
                self._look()
            except ArchiveError as error:
                raise ArchiveError(f"{path}: {error}") from None
            except (tarfile.TarError, OSError, EOFError, zlib.error, ValueError, RecursionError) as error:
                raise ArchiveError(f"{path}: not a whole .tar or .tar.gz: {error}"[:300]) from None
            held.pop_all()

    def _opened(self, held: contextlib.ExitStack) -> IO[bytes]:
        stream = held.enter_context(self._path.open("rb"))
        start = stream.read(6)
        stream.seek(0)
        for magic, what in _OTHERS:
            if start.startswith(magic):
                raise ArchiveError(f"{what}; an archive is a folder, a .tar or a .tar.gz")
        return self._unpacked(stream, held) if start.startswith(_GZIP) else stream

    def _unpacked(self, packed: IO[bytes], held: contextlib.ExitStack) -> IO[bytes]:
        size = os.fstat(packed.fileno()).st_size
        target = held.enter_context(tempfile.TemporaryFile())  # noqa: SIM115
        room = os.fstatvfs(target.fileno())
        free = room.f_bavail * room.f_frsize
        done = 0
        with packed, gzip.GzipFile(fileobj=packed) as stream:
            while chunk := stream.read(_CHUNK):
                done += len(chunk)
                if done > RATIO_FROM and done > MAX_RATIO * size:
                    raise ArchiveError(f"it unpacks to more than {MAX_RATIO} times its {size} bytes: a bomb")
                if done > MAX_UNPACKED or done > free // 2:
                    raise ArchiveError(
                        f"it unpacks to more than {min(MAX_UNPACKED, free // 2)} bytes; unpack it yourself"
                    )
                target.write(chunk)
        return target

    def _look(self) -> None:
        with tarfile.open(fileobj=_Bounded(self._stream), mode="r:") as tar:
            headers: Any = tar
            last, end = -1, 0
            while (member := tar.next()) is not None:
                if member.offset_data <= last:
                    raise ArchiveError("its members go backwards")
                last = member.offset_data
                end = last + (
                    -(-member.size // tarfile.BLOCKSIZE) * tarfile.BLOCKSIZE if member.isreg() else 0
                )
                headers.members.clear()
                self._take(member)
        self._check_end(end)

    def _check_end(self, end: int) -> None:
        """Behind the last member are blocks of zeros alone; tarfile also stops at what it can't read."""
        if self._length < end + 2 * tarfile.BLOCKSIZE:
            raise ArchiveError("it ends in the middle: cut off?")
        self._stream.seek(end)
        while chunk := self._stream.read(_CHUNK):
            if chunk.strip(b"\0"):
                raise ArchiveError(f"what is behind byte {end} is no member of it: damaged?")

    def _take(self, member: tarfile.TarInfo) -> None:
        name = member.name.removeprefix("./")
        shown = name[:200]
        if member.isdir():
            return
        if member.issym() or member.islnk():
            raise ArchiveError(f"{shown} is a link; an archive has only files and folders")
        if member.issparse() or any(key.startswith("GNU.sparse") for key in member.pax_headers):
            raise ArchiveError(f"{shown} is a sparse file")
        if not member.isreg():
            raise ArchiveError(f"{shown} is neither a file nor a folder")
        if name.startswith("/") or "\\" in name or ".." in name.split("/") or "\0" in name or not name:
            raise ArchiveError(f"{shown!r} leads out of the archive")
        if member.size < 0 or member.size > MAX_MEMBER:
            raise ArchiveError(f"{shown} claims {member.size} bytes; no object has more than {MAX_MEMBER}")
        if member.offset_data + member.size > self._length:
            raise ArchiveError(
                f"{shown} claims {member.size} bytes, more than are left of the file: cut off?"
            )
        if name in self.sizes:
            raise ArchiveError(f"{shown} is in it twice")
        if len(self.sizes) >= MAX_MEMBERS:
            raise ArchiveError(f"more than {MAX_MEMBERS} members")
        self.sizes[name] = member.size
        self._offsets[name] = member.offset_data

    def close(self) -> None:
        """Close the file; an unpacked one is gone with that."""
        self._stream.close()

    def open(self, path: str) -> _Member:
        """A member's content; valid until the next is opened."""
        return _Member(self._stream, self._offsets[path], self.sizes[path])


class _Member(io.RawIOBase):
    def __init__(self, stream: IO[bytes], offset: int, size: int) -> None:
        self._stream, self._left = stream, size
        stream.seek(offset)

    def readable(self) -> bool:
        return True

    def read(self, size: int = -1) -> bytes:
        found = self._stream.read(self._left if size < 0 else min(size, self._left))
        self._left -= len(found)
        return found

    def readline(self, size: int | None = -1) -> bytes:
        limit = self._left if size is None or size < 0 else min(size, self._left)
        found = self._stream.readline(limit)
        self._left -= len(found)
        return found
