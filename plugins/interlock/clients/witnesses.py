"""Witnesses: places outside the log's bucket that keep its last signed head, so that a rewind is seen.

A witness takes note of each head that is shipped, and shipping compares what it kept with the log before
anything is sent. It is only as independent as whoever can write it: a file on another team's volume, a bucket
of another account. One that is away is told and passed over; one that contradicts the log stops the shipping.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Final, Protocol

from interlock.clients.object_store import ObjectStore, StoreError
from interlock.clients.spool_folder import replace_file
from interlock.clients.store_settings import StoreSettings
from interlock.connections import Connection
from interlock.settings import Settings

CONNECTION: Final = "connection:"
HEADS: Final = "heads/"
MAX_BYTES: Final = 128 * 1024
"""No signed note is larger."""
_DIGITS: Final = 20


class WitnessAway(Exception):
    """A witness can't be asked, or can't take note; the message says which and why."""


class Witness(Protocol):
    """A place that keeps the log's last head."""

    @property
    def place(self) -> str:
        """Where it is, in words."""

    def probe(self) -> None:
        """Check that a head could be kept there.

        Raises:
            WitnessAway: it could not.
        """

    def read(self) -> bytes | None:
        """The signed note that it kept last; None: none yet.

        Raises:
            WitnessAway: it can't be asked.
        """

    def keep(self, note: bytes, year: int, size: int) -> None:
        """Take note of a later head, of a log's year and size.

        Raises:
            WitnessAway: it can't.
        """


class FileWitness:
    """A file, replaced as a whole."""

    def __init__(self, path: Path) -> None:
        """Keep the path; its folder has to be there."""
        self._path = path

    @property
    def place(self) -> str:
        """The file, for people."""
        return f"file {self._path}"

    def probe(self) -> None:
        """Check that its folder can be written."""
        if not os.access(self._path.parent, os.W_OK | os.X_OK):
            raise WitnessAway(f"{self.place}: its folder is not there, or can't be written")

    def read(self) -> bytes | None:
        """The file's content; None where there is no file in its folder."""
        try:
            with self._path.open("rb") as stream:
                return stream.read(MAX_BYTES + 1)
        except FileNotFoundError:
            if self._path.parent.is_dir():
                return None
            raise WitnessAway(f"{self.place}: its folder is not there") from None
        except OSError as error:
            raise WitnessAway(f"{self.place}: {error.strerror or error}") from error

    def keep(self, note: bytes, year: int, size: int) -> None:
        """Replace the file."""
        try:
            replace_file(self._path, note)
        except OSError as error:
            raise WitnessAway(f"{self.place}: {error.strerror or error}") from error


class BucketWitness:
    """A second bucket with Object Lock: each head is an object of its own there, created once and locked.

    Heads are under `heads/<log name>/<year>/<20 digits of the size>`.
    """

    def __init__(self, settings: StoreSettings, log: str) -> None:
        """Keep the settings; nothing is sent.

        Args:
            settings: the bucket, and who writes there.
            log: the log's name.
        """
        self._settings = settings
        self._prefix = f"{HEADS}{log}/"

    @property
    def place(self) -> str:
        """The bucket, for people."""
        return f"bucket {self._settings.bucket}, {self._prefix}"

    def probe(self) -> None:
        """Check that the bucket locks what it is given."""
        with self._asked() as store:
            store.probe()

    def read(self) -> bytes | None:
        """The head with the largest size, of the latest year."""
        with self._asked() as store:
            years = [key for key in store.keys(self._prefix, delimiter="/") if key.endswith("/")]
            key = self._last(store, max(years)) if years else None
            return None if key is None else store.get(key)

    def keep(self, note: bytes, year: int, size: int) -> None:
        """Create the head's object; one that is there already is the same head."""
        key = f"{self._prefix}{year}/{size:0{_DIGITS}}"
        with self._asked() as store:
            store.create(key, note, content_type="text/plain; charset=utf-8")

    @contextmanager
    def _asked(self) -> Iterator[ObjectStore]:
        try:
            with closing(ObjectStore(self._settings)) as store:
                yield store
        except StoreError as error:
            raise WitnessAway(f"{self.place}: {error}") from error

    def _last(self, store: ObjectStore, prefix: str) -> str | None:
        """The last key under a prefix, by a search in steps that double: a year has up to 100,000."""
        key, step = next(store.keys(prefix), None), 1
        while key is not None and step:
            number = key.removeprefix(prefix)
            if len(number) != _DIGITS or not number.isdecimal():
                raise WitnessAway(f"{self.place}: {key} is none of its heads")
            after = f"{prefix}{int(number) + step - 1:0{_DIGITS}}"
            further = next(store.keys(prefix, after=after), None)
            key, step = (key, step // 2) if further is None else (further, step * 2)
        return key


class LostWitness:
    """A witness that the setting names in a way that leads nowhere."""

    def __init__(self, place: str, why: str) -> None:
        """Keep what is said about it."""
        self.place = place
        self._why = why

    def probe(self) -> None:
        """Nothing can be kept."""
        raise WitnessAway(f"{self.place}: {self._why}")

    def read(self) -> bytes | None:
        """Nothing can be asked."""
        raise WitnessAway(f"{self.place}: {self._why}")

    def keep(self, note: bytes, year: int, size: int) -> None:
        """Nothing can be kept."""
        raise WitnessAway(f"{self.place}: {self._why}")


def witnesses(settings: Settings, read: Callable[[str], Connection], log: str) -> list[Witness]:
    """The witnesses that the settings name; nothing is sent.

    Args:
        settings: Interlock's settings.
        read: gives connections.
        log: the log's name.
    """
    return [_witness(name, read, log) for part in settings.witnesses.split(",") if (name := part.strip())]


def _witness(name: str, read: Callable[[str], Connection], log: str) -> Witness:
    if name.startswith(CONNECTION):
        try:
            return BucketWitness(StoreSettings.of_connection(read(name.removeprefix(CONNECTION))), log)
        except ValueError as error:
            return LostWitness(name, str(error))
    if not os.path.isabs(name):
        said = f"the setting witnesses takes absolute paths of files, and {CONNECTION}NAME"
        return LostWitness(name, said)
    return FileWitness(Path(name))
