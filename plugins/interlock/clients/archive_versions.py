"""What the list of an archive says of versions, by key: on the disk, so that no list fills the memory.

They are in a nameless temporary database, which is gone when it is closed.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from interlock.evidence.verification.source import ArchiveError

T = TypeVar("T")


class Lines:
    """The list's lines by key and in their order, and the keys of files of which it has none."""

    def __init__(self) -> None:
        """Nothing is kept yet."""
        self._base = sqlite3.connect("")
        columns = "key BLOB, number INTEGER, line BLOB, PRIMARY KEY (key, number)"
        self._base.execute(f"CREATE TABLE lines ({columns}) WITHOUT ROWID")

    def close(self) -> None:
        """Forget them."""
        self._base.close()

    def add(self, key: str, number: int, line: bytes) -> None:
        """Keep a line.

        Raises:
            ValueError: the key is not UTF-8.
            ArchiveError: there is no room for it.
        """
        self._kept(
            lambda: self._base.execute("INSERT INTO lines VALUES (?, ?, ?)", (_bytes(key), number, line))
        )

    def add_files(self, keys: Iterable[str]) -> None:
        """Keep the keys of which there is no line.

        Raises:
            ValueError, ArchiveError: as `add`.
        """
        given = ((_bytes(key),) for key in keys)
        sql = "INSERT INTO lines SELECT ?1, 0, NULL WHERE NOT EXISTS (SELECT 1 FROM lines WHERE key = ?1)"
        self._kept(lambda: self._base.executemany(sql, given))

    def of(self, key: str) -> list[bytes]:
        """The lines of a key."""
        sql = "SELECT line FROM lines WHERE key = ? AND line NOT NULL ORDER BY number"
        return [line for (line,) in self._base.execute(sql, (_bytes(key),))]

    def below(self, prefix: str, after: str) -> Iterator[tuple[str, bytes | None]]:
        """Keys that begin with `prefix` and are greater than `after`, with each line; None: it has none."""
        start, last = _bytes(prefix), _bytes(after)
        # One bound, so that the search begins there.
        sql = f"SELECT key, line FROM lines WHERE key {'>' if last >= start else '>='} ? ORDER BY key, number"
        for key, line in self._base.execute(sql, (max(start, last),)):
            if not key.startswith(start):
                return
            yield key.decode(), line

    def _kept(self, keep: Callable[[], T]) -> T:
        try:
            return keep()
        except sqlite3.Error as error:
            raise ArchiveError(f"its list of versions can't be kept: {error}") from None


def _bytes(key: str) -> bytes:
    try:
        return key.encode()
    except UnicodeEncodeError:
        raise ValueError(f"the name {ascii(key)[:300]} is not UTF-8") from None
